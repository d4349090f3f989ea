"""FIFOs' folders that are used again: only when nobody holds them, and as if they were new."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.core.spares import Spares
from wherry.core.tasks.fifos import FifoFolders, FifoReader
from wherry.core.tasks.spool import SUFFIX
from wherry.core.tasks.tasks import TaskIO


@pytest.fixture
def spares(tmp_path: Path) -> Spares:
    made = Spares(str(tmp_path / "spares"))
    made.clear()
    return made


@pytest.fixture
def folders(spares: Spares) -> FifoFolders:
    return FifoFolders(spares)


def inodes(io: TaskIO) -> list[int]:
    return [os.stat(path).st_ino for path in (io.stdout, io.stderr)]


async def test_the_next_run_has_them(tmp_path: Path, folders: FifoFolders) -> None:
    io = folders.make(str(tmp_path / "io/a"))
    before = inodes(io)
    for path in (io.stdout, io.stderr):
        reader = FifoReader(path, 0)
        writer = os.open(path, os.O_WRONLY)
        os.write(writer, b"secret\n")
        os.close(writer)
        assert await reader.read() == b"secret\n"
        reader.close()
        assert os.path.getsize(path + SUFFIX)
    (tmp_path / "io/a/ledger").write_bytes(b"how far")
    tidy = folders.retire(io)
    assert not (tmp_path / "io/a").exists()
    tidy()
    again = folders.make(str(tmp_path / "io/b"))
    assert again == TaskIO("", str(tmp_path / "io/b/stdout"), str(tmp_path / "io/b/stderr"), terminal=False)
    assert inodes(again) == before
    assert sorted(os.listdir(tmp_path / "io/b")) == ["stderr", "stdout"]
    assert os.listdir(tmp_path / "spares") == []
    for path in (again.stdout, again.stderr):
        reader = FifoReader(path, 0)
        writer = os.open(path, os.O_WRONLY)
        os.write(writer, b"own\n")
        os.close(writer)
        assert await reader.read() == b"own\n"
        assert await reader.read() == b""
        reader.close()


HOLDS: dict[str, Callable[[str], int]] = {
    "reads": lambda path: os.open(path, os.O_RDONLY | os.O_NONBLOCK),
    "writes": lambda path: os.open(path, os.O_RDWR),
}


@pytest.mark.parametrize("how", [*HOLDS, "has written"])
@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_what_somebody_holds_is_nobodys(tmp_path: Path, folders: FifoFolders, how: str, which: str) -> None:
    io = folders.make(str(tmp_path / "io/a"))
    path = getattr(io, which)
    held = [HOLDS["writes" if how == "has written" else how](path)]
    if how == "has written":
        os.write(held[0], b"still there")
    elif how == "writes":  # and only that
        held.append(os.open(path, os.O_WRONLY))
        os.close(held.pop(0))
    tidy = folders.retire(io)
    tidy()
    before = [os.fstat(fd).st_ino for fd in held]
    assert not set(before) & set(inodes(folders.make(str(tmp_path / "io/b"))))
    assert os.listdir(tmp_path / "spares") == []
    for fd in held:
        os.close(fd)


def spoil_mode(folder: Path) -> None:
    (folder / "stdout").chmod(0o666)


def spoil_kind(folder: Path) -> None:
    (folder / "stdout").unlink()
    (folder / "stdout").touch(0o600)


def spoil_link(folder: Path) -> None:
    (folder / "stderr").unlink()
    (folder / "stderr").symlink_to("stdout")


def spoil_name(folder: Path) -> None:
    os.link(folder / "stdout", folder / "../linked")


def spoil_more(folder: Path) -> None:
    (folder / "exec").mkdir()


def spoil_less(folder: Path) -> None:
    (folder / "stderr").unlink()


def spoil_kept(folder: Path) -> None:
    (folder / f"stdout{SUFFIX}").mkdir()


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_kind, spoil_link, spoil_name, spoil_more, spoil_less, spoil_kept])
def test_what_is_not_as_made_goes(tmp_path: Path, folders: FifoFolders, spoil: Callable[[Path], None]) -> None:
    io = folders.make(str(tmp_path / "io/a"))
    spoil(tmp_path / "io/a")
    folders.retire(io)()
    assert os.listdir(tmp_path / "spares") == []
    again = folders.make(str(tmp_path / "io/b"))
    for path in (again.stdout, again.stderr):
        assert os.stat(path, follow_symlinks=False).st_mode == stat.S_IFIFO | 0o600


def test_who_has_input_or_a_terminal_has_new_ones(tmp_path: Path, folders: FifoFolders) -> None:
    folders.retire(folders.make(str(tmp_path / "io/a")))()
    assert len(os.listdir(tmp_path / "spares")) == 1
    assert os.path.exists(folders.make(str(tmp_path / "io/b"), stdin=True).stdin)
    terminal = folders.make(str(tmp_path / "io/c"), terminal=True)
    assert terminal.stderr == ""
    for io in (TaskIO(str(tmp_path / "io/b/stdin"), str(tmp_path / "io/b/stdout")), terminal):
        folders.retire(io)()
    assert len(os.listdir(tmp_path / "spares")) == 1  # theirs are nobody's


def test_leftovers_of_the_same_name_are_replaced(tmp_path: Path, folders: FifoFolders) -> None:
    folders.retire(folders.make(str(tmp_path / "io/a")))()
    (tmp_path / "io/b").mkdir()
    (tmp_path / "io/b/stdout.kept").write_bytes(b"of before")
    folders.make(str(tmp_path / "io/b"))
    assert sorted(os.listdir(tmp_path / "io/b")) == ["stderr", "stdout"]
    folders.make(str(tmp_path / "io/c"))
    assert os.listdir(tmp_path / "spares") == []


def test_one_that_is_gone_is_no_error(tmp_path: Path, folders: FifoFolders) -> None:
    folders.retire(TaskIO("", str(tmp_path / "io/none/stdout"), ""))()
    assert os.listdir(tmp_path / "spares") == []


def test_no_more_than_128_are_kept(tmp_path: Path, folders: FifoFolders, spares: Spares) -> None:
    made = [folders.make(str(tmp_path / f"io/{number}")) for number in range(130)]
    for tidy in [folders.retire(io) for io in made]:
        tidy()
    assert len(os.listdir(tmp_path / "spares")) == 128
    assert os.listdir(tmp_path / "io") == []
    spares.clear()
    assert os.listdir(tmp_path / "spares") == []
    assert not spares.take(str(tmp_path / "io/x"))


def test_a_place_that_was_removed_is_made_again(tmp_path: Path, folders: FifoFolders) -> None:
    os.rmdir(tmp_path / "spares")
    folders.retire(folders.make(str(tmp_path / "io/a")))()
    assert len(os.listdir(tmp_path / "spares")) == 1


def test_what_has_been_kept_for_long_goes(tmp_path: Path, folders: FifoFolders, spares: Spares) -> None:
    for name in ("a", "b"):
        folders.make(str(tmp_path / "io" / name))
    for name in ("a", "b"):
        folders.retire(TaskIO("", str(tmp_path / "io" / name / "stdout")))()
    assert spares.trim(60)
    assert len(os.listdir(tmp_path / "spares")) == 2
    assert spares.take(str(tmp_path / "io/c"))
    assert not spares.trim(-1)
    assert os.listdir(tmp_path / "spares") == []
    assert not spares.trim(-1)
    assert not spares.take(str(tmp_path / "io/d"))


def test_one_that_somebody_removed_is_not_kept_in_vain(tmp_path: Path, folders: FifoFolders, spares: Spares) -> None:
    folders.retire(folders.make(str(tmp_path / "io/a")))()
    (gone,) = (tmp_path / "spares").iterdir()
    gone.rename(tmp_path / "elsewhere")
    assert spares.has_any()
    assert not spares.take(str(tmp_path / "io/b"))
    assert not spares.has_any()
