"""FIFOs whose readers are killed: what one has taken and not released, the next one gets again."""

import os
from pathlib import Path

import pytest

from wherry.core.tasks.fifos import FifoReader, make_fifos, reading_ends, remove_fifos
from wherry.core.tasks.spool import SUFFIX, Spool
from wherry.core.tasks.tasks import TaskIO


@pytest.fixture
def io(tmp_path: Path) -> TaskIO:
    return make_fifos(str(tmp_path / "io"))


async def test_the_next_reader_begins_where_it_is_told_to(io: TaskIO) -> None:
    first = FifoReader(io.stdout, 0)
    writer = os.open(io.stdout, os.O_RDWR)
    os.write(writer, b"one two three")
    assert await first.read(8) == b"one two "
    first.close()
    second = FifoReader(io.stdout, 4)
    assert await second.read() == b"two "
    assert await second.read() == b"three"
    os.write(writer, b" four")
    second.close()
    third = FifoReader(io.stdout, 13)
    os.close(writer)
    assert await third.read() == b" four"
    assert await third.read() == b""
    third.close()


async def test_the_end_comes_after_what_was_kept(io: TaskIO) -> None:
    reader = FifoReader(io.stdout, 0)
    writer = os.open(io.stdout, os.O_WRONLY)
    os.write(writer, b"last words")
    assert await reader.read() == b"last words"
    reader.close()
    os.close(writer)
    again = FifoReader(io.stdout, 5)
    again.expire()
    assert [await again.read(), await again.read()] == [b"words", b""]
    again.close()


async def test_what_is_released_takes_no_room(io: TaskIO) -> None:
    reader = FifoReader(io.stdout, 0)
    writer = os.open(io.stdout, os.O_RDWR)
    done = 0
    for _ in range(8):
        os.write(writer, b"x" * 60_000)
        done += len(await reader.read())
        reader.release(done)
    kept = os.stat(io.stdout + SUFFIX)
    assert kept.st_size == done == 480_000
    assert kept.st_blocks * 512 < 200_000
    reader.close()
    os.close(writer)


async def test_a_silent_process_costs_no_file(io: TaskIO) -> None:
    reader = FifoReader(io.stdout, 0)
    writer = os.open(io.stdout, os.O_WRONLY)
    os.close(writer)
    reader.expire()
    assert await reader.read() == b""
    reader.close()
    plain = FifoReader(io.stderr)
    plain.release(5)
    plain.close()
    assert not os.path.exists(io.stderr + SUFFIX)


@pytest.mark.parametrize("start", [100, 1 << 62])
async def test_a_place_behind_the_end_is_the_end(io: TaskIO, start: int) -> None:
    reader = FifoReader(io.stdout, start)
    writer = os.open(io.stdout, os.O_RDWR)
    os.write(writer, b"new")
    assert await reader.read() == b"new"
    reader.close()
    os.close(writer)


async def test_without_room_it_is_read_all_the_same(io: TaskIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    reader = FifoReader(io.stdout, 0)
    writer = os.open(io.stdout, os.O_RDWR)
    os.write(writer, b"first ")
    assert await reader.read() == b"first "
    with monkeypatch.context() as patched:
        patched.setattr(os, "splice", full)
        os.write(writer, b"second ")
        assert await reader.read() == b"second "
    os.write(writer, b"third")
    assert await reader.read() == b"third"
    reader.close()
    os.close(writer)
    spool = Spool(io.stdout + SUFFIX, 13)
    assert spool.take(-1, 100) == b"third", "places count on"
    spool.close()
    os.symlink("/etc/passwd", io.stderr + SUFFIX)
    bad = FifoReader(io.stderr, 0)
    writer = os.open(io.stderr, os.O_RDWR)
    os.write(writer, b"by plain reads")
    assert await bad.read() == b"by plain reads"
    bad.close()
    os.close(writer)


def test_new_fifos_begin_anew_and_go_without_a_trace(io: TaskIO) -> None:
    folder = Path(os.path.dirname(io.stdout))
    for name in ("stdout.kept", "ledger"):
        (folder / name).write_text("of the run before")
    make_fifos(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["stderr", "stdout"]
    (folder / "ledger").touch()
    (folder / "stderr.kept").touch()
    remove_fifos(io)
    assert not folder.exists()
    remove_fifos(io)


def test_what_lies_in_a_fifo_stays_while_somebody_has_its_reading_end(io: TaskIO) -> None:
    with reading_ends(io) as ends:
        assert len(ends) == 2
        writer = os.open(io.stdout, os.O_WRONLY)
        os.write(writer, b"kept")
        os.close(writer)
        reader = os.open(io.stdout, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 10) == b"kept"
    os.close(reader)
    with reading_ends(TaskIO(stdout="/nowhere/stdout")) as ends:
        assert ends == []


async def test_nothing_is_kept_of_what_never_said_anything(tmp_path: Path) -> None:
    io = make_fifos(str(tmp_path / "io"))
    reader = FifoReader(io.stderr, 0)
    writer = os.open(io.stderr, os.O_WRONLY)
    reader.expire()
    assert await reader.read() == b""  # somebody holds it open still
    os.close(writer)
    assert await reader.read() == b""
    assert not os.path.exists(io.stderr + SUFFIX)
    writer = os.open(io.stderr, os.O_WRONLY)
    os.write(writer, b"late")
    os.close(writer)
    assert await reader.read() == b"late"
    assert os.path.exists(io.stderr + SUFFIX)
    assert await reader.read() == b""
    reader.close()
