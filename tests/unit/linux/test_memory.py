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


def _mapping(first: str, *, inode: str = "1234", mode: str = "r-xp", **fields: int) -> str:
    lines = {"Size": 8, "Rss": 8, "Anonymous": 0, "Swap": 0, "Locked": 0} | fields
    rest = "".join(f"{name}: {value:14} kB\n" for name, value in lines.items())
    return f"{first} {mode} 00000000 fe:00 {inode}   /a folder/b: c.so (deleted)\n{rest}VmFlags: rd ex mr mw me\n"


CLEAN = _mapping("7f0000000000-7f0000002000")


@pytest.mark.parametrize(
    "kept",
    [
        _mapping("1000-3000", mode="rw-p"),
        _mapping("1000-3000", mode="rw-s"),
        _mapping("1000-3000", inode="0"),  # memory of no file: [heap], [vdso]
        _mapping("1000-3000", mode="r--p", Anonymous=4),  # written to, then protected: relocations
        _mapping("1000-3000", mode="r--p", Swap=4),  # the same, and swapped out
        _mapping("1000-3000", Locked=8),
        "1000-3000 r-xp 00000000 fe:00 1234 /cut.so\nSize: 8 kB\nRss: 8 kB\n",  # nothing is known of its pages
        "",
    ],
)
def test_only_what_nobody_wrote_to_is_given_back(kept: str) -> None:
    after = _mapping("8000-9000", mode="r--s")
    found = memory.unwritten((CLEAN + kept + after).splitlines())
    assert found == [(0x7F0000000000, 0x2000), (0x8000, 0x1000)]


def test_files_are_given_back_and_come_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (1 << 20))
    with file.open("r+b") as opened:
        clean = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        written = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
    with clean, written:
        written[4096] = ord("y")
        assert clean[:] == b"x" * (1 << 20)
        before = _of_files()
        memory.give_back_files()
        assert _of_files() <= before - 900
        assert clean[:] == b"x" * (1 << 20)
        assert written[4095:4098] == b"xyx"


def _of_files() -> int:
    """KiB that this process has mapped of files."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssFile:")[2].split()[0])


def test_an_address_of_nothing_is_an_error() -> None:
    with pytest.raises(OSError, match="allocate"):
        memory.offer_to_merge(0x10000 - 0x8000, 4096)


@pytest.mark.parametrize(
    ("line", "blocks"),
    [
        ("00400000-00800000 rw-p 00000000 00:00 0", [0x400000, 0x600000]),
        ("00400000-00800000 rw-p 00000000 00:00 0    [heap]", [0x400000, 0x600000]),
        ("00401000-00801000 rw-p 00000000 00:00 0", [0x600000]),
        ("00401000-007ff000 rw-p 00000000 00:00 0", []),
        ("00400000-005ff000 rw-p 00000000 00:00 0", []),
        ("00400000-00800000 rw-p 00000000 00:00 0    [stack]", []),
        ("00400000-00800000 rw-p 00000000 00:00 0    [anon: guest]", []),
        ("00400000-00800000 r--p 00000000 00:00 0", []),
        ("00400000-00800000 rw-s 00000000 00:00 0", []),
        ("00400000-00800000 rw-p 00000000 fe:00 11    /usr/lib/libx.so", []),
    ],
)
def test_large_pages_are_for_the_heap_alone(line, blocks):
    assert memory.heap_blocks([line + "\n"]) == blocks


def test_what_lies_in_the_heap_is_the_same_after_it_was_gathered():
    held = [bytes([number % 256]) * 100 for number in range(100_000)]
    memory.gather()
    assert all(data == bytes([number % 256]) * 100 for number, data in enumerate(held))
