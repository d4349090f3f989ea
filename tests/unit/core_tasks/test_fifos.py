"""FIFOs from the engine's end: when they begin, when they end, how they push back."""

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wherry.core.tasks.fifos import FifoReader, FifoWriter, held, make_fifos, note_start, noted_start, remove_fifos
from wherry.core.tasks.tasks import TaskIO
from wherry.errors import InvalidArgument, Unavailable

DEADLINE = 30


@pytest.fixture
def io(tmp_path: Path) -> TaskIO:
    return make_fifos(str(tmp_path / "io"), stdin=True)


@pytest.fixture
async def reader(io: TaskIO) -> AsyncIterator[FifoReader]:
    made = FifoReader(io.stdout)
    yield made
    made.close()


def writer_of(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK)


def test_which_fifos_are_made(tmp_path: Path) -> None:
    plain = make_fifos(str(tmp_path / "a"))
    assert plain == TaskIO("", str(tmp_path / "a/stdout"), str(tmp_path / "a/stderr"), terminal=False)
    terminal = make_fifos(str(tmp_path / "b"), stdin=True, terminal=True)
    assert terminal == TaskIO(str(tmp_path / "b/stdin"), str(tmp_path / "b/stdout"), "", terminal=True)
    for path in (plain.stdout, terminal.stdin):
        assert stat.S_ISFIFO(os.stat(path).st_mode)
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert make_fifos(str(tmp_path / "a")) == plain  # leftovers are replaced
    remove_fifos(plain)
    assert not (tmp_path / "a").exists()
    remove_fifos(plain)


def test_no_place_for_fifos(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot make FIFOs"):
        make_fifos(str(tmp_path / "file"))


async def test_no_end_before_the_first_writer(io: TaskIO, reader: FifoReader) -> None:
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    assert not reading.done()
    fd = writer_of(io.stdout)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not reading.done()
    os.write(fd, b"x")
    async with asyncio.timeout(DEADLINE):
        assert await reading == b"x"
        os.write(fd, b"y")
        os.close(fd)
        assert await reader.read() == b"y"
        assert await reader.read() == b""
        assert await reader.read() == b""


async def test_a_writer_that_came_and_went_unseen(io: TaskIO, reader: FifoReader) -> None:
    fd = writer_of(io.stdout)
    os.write(fd, b"quick")
    os.close(fd)
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"quick"
        assert await reader.read() == b""


async def test_expiring_takes_what_is_there(io: TaskIO, reader: FifoReader) -> None:
    fd = writer_of(io.stdout)
    os.write(fd, b"last")
    async with asyncio.timeout(DEADLINE):
        assert await reader.read(2) == b"la"
        reader.expire()
        assert await reader.read() == b"st"
        assert await reader.read() == b""
    os.close(fd)


async def test_expiring_wakes_a_reader_nobody_ever_wrote_to(reader: FifoReader) -> None:
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reader.expire()
    async with asyncio.timeout(DEADLINE):
        assert await reading == b""


async def test_closing_under_a_reader(reader: FifoReader) -> None:
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reader.close()
    reader.close()
    with pytest.raises(Unavailable):
        await reading
    with pytest.raises(Unavailable):
        await reader.read()


async def test_a_cancelled_reader_can_read_again(io: TaskIO, reader: FifoReader) -> None:
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    fd = writer_of(io.stdout)
    os.write(fd, b"z")
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"z"
    os.close(fd)


async def test_writing_before_anybody_reads_and_pushing_back(io: TaskIO) -> None:
    writer = FifoWriter(io.stdin)
    payload = os.urandom(4 << 20)
    writing = asyncio.ensure_future(writer.write(payload))
    await asyncio.sleep(0)
    assert not writing.done()
    got = bytearray()

    def drain() -> None:
        with open(io.stdin, "rb") as file:
            while data := file.read(65536):
                got.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    async with asyncio.timeout(DEADLINE):
        await writing
    writer.close()
    writer.close()
    await asyncio.to_thread(thread.join)
    assert bytes(got) == payload
    with pytest.raises(Unavailable):
        await writer.write(b"x")


async def test_a_blocked_writer_is_let_go_by_cancelling(io: TaskIO) -> None:
    writer = FifoWriter(io.stdin)
    writing = asyncio.ensure_future(writer.write(b"x" * (8 << 20)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    writer.close()


def test_held_lets_both_ends_open_at_once(io: TaskIO) -> None:
    with held(io):
        for path in (io.stdin, io.stdout, io.stderr):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    with pytest.raises(OSError):
        os.open(io.stdout, os.O_WRONLY | os.O_NONBLOCK)
    with held(TaskIO()):
        pass


async def test_paths_that_are_no_fifo(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot open FIFO"):
        FifoReader(str(tmp_path / "nothing"))
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(Unavailable):
        FifoReader(str(tmp_path / "link"))


def test_word_of_a_start_goes_with_the_fifos(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    io = make_fifos(str(folder))
    assert noted_start(str(folder)) == 0
    note_start(io, 1234567890123456789)
    note_start(io, 5)
    assert noted_start(str(folder)) == 1234567890123456789
    make_fifos(str(folder))
    assert noted_start(str(folder)) == 0
    for damaged in ("-", "\udcff"):
        (folder / "started").unlink(missing_ok=True)
        (folder / "started").symlink_to(damaged)
        assert noted_start(str(folder)) == 0
    remove_fifos(io)
    assert not folder.exists()
    note_start(io, 1)  # nobody's folder is made for it
    assert not folder.exists()
