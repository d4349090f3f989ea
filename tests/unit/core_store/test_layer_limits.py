"""Layers that are more than they seem: bombs, archives of endless entries, windows that would take all memory."""

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from wherry.core.diff.apply import apply
from wherry.core.diff.limits import LIMITS, Limits
from wherry.core.diff.target import Target
from wherry.errors import InvalidArgument

SMALL = Limits(size=20 << 20, free=1 << 20, ratio=10, entries=100)


def archive(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, folder: Path, limits: Limits = SMALL) -> int:
    folder.mkdir(exist_ok=True)
    return apply(io.BytesIO(data), Target(str(folder)), packed=len(data), limits=limits).entries


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("inside", [True, False], ids=["file", "padding"])
def test_a_bomb_is_put_out(tmp_path: Path, pack, inside: bool) -> None:
    zeros = bytes(12 << 20)
    data = pack(archive(("zeros", zeros)) if inside else archive(("a", b"1")) + zeros)
    with pytest.raises(InvalidArgument, match=r"unpacks to more than 1048576 bytes.*--max-layer-size"):
        unpack(data, tmp_path / "root")


def test_what_does_not_shrink_may_be_large(tmp_path: Path) -> None:
    noise = bytes(3 << 20)
    assert unpack(archive(("f", noise)), tmp_path / "root") == 1
    with pytest.raises(InvalidArgument, match="more than 20971520 bytes"):
        unpack(archive(("f", bytes(21 << 20))), tmp_path / "other")


def test_ten_gigabytes_of_zeros_in_ten_megabytes_are_too_much_by_default() -> None:
    assert LIMITS.largest(10 << 20) < 10 << 30
    assert LIMITS.largest(2 << 30) == LIMITS.size


def test_a_million_entries(tmp_path: Path) -> None:
    """The same folder again and again; nothing but the number is wrong with it. It ends at the limit, early."""
    assert LIMITS.entries < 1_000_000
    header = tarfile.TarInfo("d/").tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(InvalidArgument, match=r"more than 20000 entries \(wherryd --max-layer-entries\)"):
        unpack(gzip.compress(header * 1_000_000, 1), tmp_path / "root", replace(LIMITS, entries=20_000))


@pytest.mark.parametrize("size", [1 << 40, 2**63 - 1])
def test_a_sparse_file_of_a_terabyte(tmp_path: Path, size: int) -> None:
    with pytest.raises(InvalidArgument, match="files of more than 68719476736 bytes, holes included"):
        unpack(sparse(f"0,1,{size},0".encode(), size), tmp_path / "root", LIMITS)
    assert unpack(sparse(b"0,1,5000000,0", 5_000_000), tmp_path / "fine") == 1
    assert (tmp_path / "fine/f").stat().st_blocks < 100


@pytest.mark.parametrize("stretches", [b"0,1,0,1", b"5,1,1,1", b"0,9", b"0,1,9223372036854775807,9", b"0", b"-1,1"])
def test_sparse_maps_that_do_not_fit(tmp_path: Path, stretches: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"sparse|map"):
        unpack(sparse(stretches, 5000), tmp_path / "root")


def sparse(stretches: bytes, size: int) -> bytes:
    """One file of one stored byte, by pax 0.1."""
    entry = tarfile.TarInfo("f")
    entry.size = 1
    entry.pax_headers = {"GNU.sparse.map": stretches.decode(), "GNU.sparse.size": str(size)}
    return entry.tobuf(tarfile.PAX_FORMAT) + b"x".ljust(512, b"\0") + bytes(1024)


def test_entries_are_counted(tmp_path: Path) -> None:
    assert unpack(archive(*((f"f{number}", b"") for number in range(100))), tmp_path / "root") == 100
    with pytest.raises(InvalidArgument, match="more than 100 entries"):
        unpack(archive(*((f"f{number}", b"") for number in range(101))), tmp_path / "root2")
    with pytest.raises(InvalidArgument, match="more than 100 entries"):  # also when they are the same again and again
        unpack(archive(*(("f", b"") for _ in range(101))), tmp_path / "root3")


def test_a_zstd_window_of_gigabytes_is_refused(tmp_path: Path) -> None:
    window = bytes([(31 - 10) << 3])  # 2 GiB, in the frame's header
    with pytest.raises(InvalidArgument, match="compressed data cannot be read"):
        unpack(b"\x28\xb5\x2f\xfd\x00" + window + bytes(100), tmp_path / "root")


def test_names_of_64_kib(tmp_path: Path) -> None:
    for name in ("x" * (64 << 10), "x/" * (32 << 10)):
        with pytest.raises(InvalidArgument, match=r"name|path|long"):
            unpack(archive((name, b"")), tmp_path / "root")
