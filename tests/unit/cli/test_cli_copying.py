"""The host's side of `cp`: what goes in comes out, and a hostile archive leaves nothing outside of its folder."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.copying import Unpacker, archive_of, document_of, landing
from wherry.errors import InvalidArgument, NotFound, WherryError


def pieces(entries: list[tuple[str, bytes, str]]) -> Iterator[bytes]:
    """A tar of (name, type, link name)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, link in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            archive.addfile(entry)
    data = made.getvalue()
    yield from (data[start : start + 700] for start in range(0, len(data), 700))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/file").write_bytes(os.urandom(3_000_000))
    (source / "link").symlink_to("nowhere")
    os.mkfifo(source / "fifo", 0o600)
    os.utime(source / "deep", (1_600_000_000, 1_600_000_000))
    unpacker = Unpacker(str(tmp_path), "target")
    unpacker.take(archive_of(str(source), "source"))
    target = tmp_path / "target"
    assert sorted(os.listdir(target)) == ["deep", "fifo", "link"]
    assert (target / "deep/file").read_bytes() == (source / "deep/file").read_bytes()
    assert os.readlink(target / "link") == "nowhere"
    assert (target / "deep").stat().st_mtime == 1_600_000_000
    assert unpacker.size == 3_000_000


@pytest.mark.parametrize(
    "entries",
    [
        [("x/../../planted", tarfile.REGTYPE, "")],
        [("x/link", tarfile.SYMTYPE, ".."), ("x/link/planted", tarfile.REGTYPE, "")],
        [("x/link", tarfile.SYMTYPE, "/tmp"), ("x/link/planted", tarfile.DIRTYPE, "")],
        [("x/hard", tarfile.LNKTYPE, "x/../../secret")],
        [("x/link", tarfile.SYMTYPE, ".."), ("x/hard", tarfile.LNKTYPE, "x/link/secret")],
    ],
)
def test_nothing_leaves_the_folder(tmp_path: Path, entries: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises((WherryError, FileNotFoundError)):
        Unpacker(str(folder), "named").take(pieces(entries))
    assert sorted(os.listdir(tmp_path)) == ["folder", "secret"]
    assert not (folder / "named/hard").exists()


@given(st.binary(max_size=2000))
def test_noise_is_no_archive(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    with contextlib.suppress(InvalidArgument):
        Unpacker(str(folder), "x").take([noise])
    assert os.listdir(folder) == []


def test_where_it_lands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    there = str(tmp_path)
    assert landing(there, "n", is_folder=True, contents=False) == (there, "n")
    assert landing(there, "n", is_folder=True, contents=True) == (there, "")
    assert landing(f"{there}/new", "n", is_folder=False, contents=False) == (there, "new")
    assert landing(f"{there}/file", "n", is_folder=False, contents=False) == (there, "file")
    for wrong, is_folder in ((f"{there}/file", True), (f"{there}/a/b", False), (f"{there}/new/", False)):
        with pytest.raises((InvalidArgument, NotFound)):
            landing(wrong, "n", is_folder=is_folder, contents=False)


@pytest.mark.parametrize("header", ["", "%%%", "bm90IGpzb24=", "W10="])
def test_headers_that_say_nothing(header: str) -> None:
    with pytest.raises(InvalidArgument):
        document_of(header)
