"""What the kernel is told about memory."""

import ctypes
import mmap
from pathlib import Path

import pytest

from wherry.linux import memory


@pytest.mark.parametrize(("says", "merging"), [(b"1\n", True), (b"0\n", False), (b"2\n", False), (b"", False)])
def test_ksm_is_on_when_the_kernel_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes, merging: bool
) -> None:
    (tmp_path / "run").write_bytes(says)
    monkeypatch.setattr(memory, "_KSM", str(tmp_path / "run"))
    assert memory.is_merging() is merging


def test_a_kernel_without_ksm_does_not_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_KSM", str(tmp_path / "none"))
    assert memory.is_merging() is False


def test_memory_is_offered() -> None:
    with mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as region:
        address = ctypes.addressof(ctypes.c_char.from_buffer(region))
        memory.offer_to_merge(address, len(region))
        smaps = Path("/proc/self/smaps").read_text().split("\n")
        flags, inside = "", False
        for line in smaps:
            span = line.split(" ")[0]
            if "-" in span and not span.endswith(":"):
                first, last = (int(end, 16) for end in span.split("-"))
                inside = first <= address < last
            elif inside and line.startswith("VmFlags:"):
                flags = line
        assert " mg" in flags


def test_an_address_of_nothing_is_an_error() -> None:
    with pytest.raises(OSError, match="allocate"):
        memory.offer_to_merge(0x10000 - 0x8000, 4096)
