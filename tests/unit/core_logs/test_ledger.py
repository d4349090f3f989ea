"""A log's ledger: whoever goes on after a kill, at whatever moment, gives each line once, also across rotations."""

import struct
from pathlib import Path
from typing import Any

import pytest

from wherry.core.logs.drivers import LogDrivers
from wherry.core.logs.ledger import Ledger
from wherry.core.logs.log import Log

OUTPUT = {
    "stdout": b"".join(b"line %d of output\n" % number for number in range(60)) + b"x" * 40_000 + b"\nlast, unended",
    "stderr": b"".join(b"warning %d\n" % number for number in range(30)),
}
PIECE = 333


class Killed(BaseException):
    """Nothing that follows is done."""


async def opened(folder: Path, driver: str, **options: str) -> Log:
    ledger = str(folder / "ledger")
    given = {key.replace("_", "-"): value for key, value in options.items()}
    return await LogDrivers().open(driver, given, str(folder / "c.log"), ledger=ledger)


def bury(log: Any) -> None:
    """Close its files, as the kernel does for the dead; what it held in memory is gone."""
    log._files.close()


async def run(log: Log) -> None:
    """All that has not been taken yet, the streams by turns, to the end."""
    places = {stream: log.taken(stream) or 0 for stream in OUTPUT}
    while any(places[stream] < len(data) for stream, data in OUTPUT.items()):
        for stream, data in OUTPUT.items():
            piece = data[places[stream] : places[stream] + PIECE]
            places[stream] += len(piece)
            if piece:
                await log.write(stream, 1, piece)
    await log.aclose()


async def read(log: Log) -> dict[str, bytes]:
    found = dict.fromkeys(OUTPUT, b"")
    async for batch in log.read():
        for entry in batch:
            found[entry.stream] += entry.data
    return found


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, *, before: bool) -> None:
    """SIGKILL at the ``number``th note, before or after it is written."""
    note = Ledger.note
    left = [number]

    def counted(self: Ledger, inode: int, size: int) -> None:
        left[0] -= 1
        if left[0] == 0 and before:
            raise Killed
        note(self, inode, size)
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(Ledger, "note", counted)


@pytest.mark.parametrize("driver", ["json-file", "local"])
@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("before", [True, False])
async def test_a_kill_at_any_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, rotated: bool, before: bool
) -> None:
    options = {"max_size": "2k", "max_file": "90", **({"compress": "false"} if driver == "local" else {})}
    chosen = options if rotated else {}
    for number in range(1, 400):
        folder = tmp_path / str(number)
        folder.mkdir()
        log = await opened(folder, driver, **chosen)
        with monkeypatch.context() as patched:
            kill_at(patched, number, before=before)
            try:
                await run(log)
            except Killed:
                bury(log)
            else:
                break
        log = await opened(folder, driver, **chosen)
        await run(log)
        assert await read(await opened(folder, driver, **chosen)) == OUTPUT, number
    assert 10 < number < 399


async def test_what_was_written_and_not_noted_is_cut_off_and_asked_for_again(tmp_path: Path) -> None:
    log = await opened(tmp_path, "json-file")
    assert log.taken("stdout") == 0
    await log.write("stdout", 1, b"one\ntw")
    assert log.taken("stdout") == 4, "what waits for its newline is not there for good"
    bury(log)
    with open(tmp_path / "c.log", "ab") as file:
        file.write(b'{"log":"two\\n","stream":"stdout","time":"1970-01-01T00:00:00Z"}\n{"log":"to')
    again = await opened(tmp_path, "json-file")
    assert again.taken("stdout") == 4
    await again.write("stdout", 2, b"two\n")
    await again.aclose()
    assert (await read(again))["stdout"] == b"one\ntwo\n"
    again = await opened(tmp_path, "json-file")
    again.begin()
    assert again.taken("stdout") == 0, "the next run counts from nought"
    await again.write("stdout", 3, b"three\n")
    assert (await read(again))["stdout"] == b"one\ntwo\nthree\n"
    await again.aclose()


@pytest.mark.parametrize("found", [b"", b"short", b"\xff" * 32, b"\0" * 33, struct.pack("<4Q", 1, 0, 0, 0)])
async def test_a_ledger_that_somebody_was_at_harms_no_log(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "c.log").write_bytes(b'{"log":"old\\n","stream":"stdout","time":"1970-01-01T00:00:00Z"}\n')
    (tmp_path / "ledger").write_bytes(found)
    assert (await read(await opened(tmp_path, "json-file")))["stdout"] == b"old\n"


async def test_without_a_place_for_it_the_log_is_written_all_the_same(tmp_path: Path) -> None:
    log = await LogDrivers().open("json-file", {}, str(tmp_path / "c.log"), ledger=str(tmp_path / "no/ledger"))
    await run(log)
    assert await read(log) == OUTPUT
    plain = await LogDrivers().open("json-file", {}, str(tmp_path / "c.log"))
    assert plain.taken("stdout") is None
    nothing = await LogDrivers().open("none", {}, "", ledger=str(tmp_path / "ledger"))
    nothing.begin()
    assert nothing.taken("stdout") is None
    assert not (tmp_path / "ledger").exists()
