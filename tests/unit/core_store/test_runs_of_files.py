"""Files that come one after another are made in fewer steps: what comes of it is the same; and a layer's plain bytes
are read ahead."""

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from wherry.core.diff.apply import apply
from wherry.core.diff.plain import PIECE, Plain
from wherry.core.diff.target import Target
from wherry.errors import DataLoss, InvalidArgument
from wherry.oci.digest import Digest

Fields = dict[str, object]


def block(name: str, data: bytes = b"", format: int = tarfile.USTAR_FORMAT, **fields: object) -> bytes:  # noqa: A002 (tarfile's word)
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 7
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(format) + data + bytes(-len(data) % 512)


def unpacked(plain: bytes, root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Each file's data, mode and time."""
    root.mkdir()
    applied = apply(io.BytesIO(plain), Target(str(root)))
    assert applied.diff_id == Digest.of(plain)
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            found[str(path.relative_to(root))] = (path.read_bytes(), status.st_mode & 0o7777, int(status.st_mtime))
    assert applied.entries >= len(found)
    return found


@pytest.mark.parametrize(
    ("odd", "wanted"),
    [
        (block("d/o", b"odd", mode=0o755), (b"odd", 0o755, 7)),
        (block("d/o", b"odd", mode=0o4755), (b"odd", 0o4755, 7)),
        (block("d/o", b"odd", mtime=9), (b"odd", 0o644, 9)),
        (block("d/o", b"odd", tarfile.PAX_FORMAT, mode=0o711, mtime=9.5), (b"odd", 0o711, 9)),
        (block("d/o", b"odd", tarfile.GNU_FORMAT), (b"odd", 0o644, 7)),
        (block("d/o") + block("d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("e/f") + block("d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("d/.wh.x") + block("d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("d/./o", b"odd"), (b"odd", 0o644, 7)),
        (block("./d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("d/l", type=tarfile.SYMTYPE, linkname="x") + block("d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("d/s", type=tarfile.LNKTYPE, linkname="d/2") + block("d/o", b"odd"), (b"odd", 0o644, 7)),
        (block("d/o", bytes(3 * PIECE)), (bytes(3 * PIECE), 0o644, 7)),
    ],
)
def test_what_comes_between(tmp_path: Path, odd: bytes, wanted: tuple[bytes, int, int]) -> None:
    """An entry that is unlike the others is itself, and they are as they would be without it."""
    before = b"".join(block(f"d/{number}", b"%d" % number) for number in range(3))
    after = b"".join(block(f"d/{number}", b"%d" % number) for number in range(3, 6))
    found = unpacked(before + odd + after + bytes(1024), tmp_path / "root")
    assert found["d/o"] == wanted
    assert {name: found[f"d/{name}"] for name in "012345"} == {name: (name.encode(), 0o644, 7) for name in "012345"}


def test_an_entry_that_comes_again_is_as_it_came_last(tmp_path: Path) -> None:
    plain = block("a", b"1") + block("b", b"1") + block("a", b"22") + block("b/c", b"3") + bytes(1024)
    with pytest.raises(InvalidArgument, match=r"entry b/c: .*is not a folder"):
        unpacked(plain, tmp_path / "first")
    folder = block("b/", type=tarfile.DIRTYPE, mode=0o755)
    found = unpacked(plain.replace(block("b/c", b"3"), folder + block("b/c", b"3")), tmp_path / "second")
    assert {name: data for name, (data, _, _) in found.items()} == {"a": b"22", "b/c": b"3"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("d/..", "leaves the root"),
        ("d/../../x", "leaves the root"),
        ("/d/x", "is absolute"),
        (".", "must be a folder"),
    ],
)
def test_odd_names_within_a_run(tmp_path: Path, name: str, wrong: str) -> None:
    plain = block("d/1") + block("d/2") + block(name, b"out") + bytes(1024)
    with pytest.raises(InvalidArgument, match=wrong):
        unpacked(plain, tmp_path / "root")
    assert os.listdir(tmp_path) == ["root"]
    assert (tmp_path / "root/d").is_dir()


def test_a_link_in_a_files_place_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    link = block("d/2", type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
    found = unpacked(link + block("d/1") + block("d/2", b"theirs") + bytes(1024), tmp_path / "root")
    assert found["d/2"][0] == b"theirs"
    assert (tmp_path / "outside").read_bytes() == b"mine"


@pytest.mark.parametrize("place", [0, 148, 124, 100])
def test_a_header_that_rotted_within_a_run(tmp_path: Path, place: int) -> None:
    good = b"".join(block(f"d/{number}", b"data") for number in range(5))
    bad = bytearray(good)
    bad[3 * 1024 + place] ^= 1
    with pytest.raises(InvalidArgument, match="corrupt"):
        unpacked(bytes(bad) + bytes(1024), tmp_path / "root")


@pytest.mark.parametrize("left", [3 * 1024 + 300, 3 * 1024 + 512, 3 * 1024 + 513])
def test_an_archive_that_ends_within_a_run(tmp_path: Path, left: int) -> None:
    good = b"".join(block(f"d/{number}", b"data") for number in range(5))
    with pytest.raises(InvalidArgument, match="truncated"):
        unpacked(good[:left], tmp_path / "root")


def test_runs_across_pieces(tmp_path: Path) -> None:
    """Headers and data are cut wherever a piece ends."""
    given = {f"d{number // 700}/{number}": b"%d" % number * (number % 400) for number in range(2500)}
    plain = b"".join(block(name, data) for name, data in given.items()) + bytes(1024)
    assert len(plain) > 2 * PIECE
    assert {name: data for name, (data, _, _) in unpacked(plain, tmp_path / "root").items()} == given


class Failing(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise DataLoss("it rotted")
        return data


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wherry-layer"]


def test_what_is_read_ahead_comes_in_order_and_to_the_end() -> None:
    data = os.urandom(5 * PIECE + 17)
    with Plain(io.BytesIO(data), "x", len(data)) as plain:
        pieces = []
        while piece := plain.read():
            pieces.append(piece)
        assert max(map(len, pieces)) <= PIECE
        assert plain.read() == b""
    assert b"".join(pieces) == data
    assert (plain.digester.digest(), plain.digester.size) == (Digest.of(data), len(data))
    assert not readers()


def test_an_error_comes_after_what_was_good() -> None:
    with Plain(Failing(bytes(4 * PIECE)), "x", 1 << 40) as plain:
        assert sum(len(plain.read()) for _ in range(4)) == 4 * PIECE
        for _ in range(2):
            with pytest.raises(DataLoss, match="it rotted"):
                plain.read()
    assert not readers()


def test_who_stops_early_leaves_no_thread_and_the_stream_to_others() -> None:
    stream = io.BytesIO(bytes(100 * PIECE))
    with Plain(stream, "x", 1 << 40) as plain:
        for _ in range(3):
            plain.read()
        assert readers()
    assert not readers()
    assert stream.tell() <= 8 * PIECE  # and was not read to its end behind anybody's back


def test_too_much_is_told_where_it_comes() -> None:
    with Plain(io.BytesIO(bytes(4 * PIECE)), "layer x", 3 * PIECE) as plain:
        for _ in range(3):
            assert len(plain.read()) == PIECE
        with pytest.raises(InvalidArgument, match=f"layer x unpacks to more than {3 * PIECE} bytes"):
            plain.read()


def test_a_short_stream_is_read_without_a_thread() -> None:
    with Plain(io.BytesIO(bytes(PIECE - 1)), "x", 1 << 40) as plain:
        assert len(plain.read()) == PIECE - 1
        assert plain.read() == b""
        assert not readers()
