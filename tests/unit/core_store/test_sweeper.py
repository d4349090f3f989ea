"""Tidying up: all of it is done, in any case, and what fails is told."""

import asyncio
import threading

import pytest

from wherry.core import sweeper as sweepers
from wherry.core.sweeper import Sweeper
from wherry.errors import FailedPrecondition


async def test_all_is_done_and_many_together() -> None:
    sweeper, done = Sweeper(), list[tuple[int, int]]()
    for number in range(20):
        sweeper.later(lambda number=number: done.append((number, threading.get_ident())))
    assert done == []
    await sweeper.close()
    assert [number for number, _ in done] == list(range(20))
    assert len({thread for _, thread in done}) == 1
    assert threading.get_ident() not in {thread for _, thread in done}


async def test_what_fails_is_told_and_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    sweeper, done = Sweeper(), list[str]()

    def fail() -> None:
        raise FailedPrecondition("busy")

    def fail_too() -> None:
        raise PermissionError("no")

    for work in (fail, lambda: done.append("one"), fail_too, lambda: done.append("two")):
        sweeper.later(work)
    await sweeper.close()
    assert done == ["one", "two"]
    assert "busy" in caplog.text
    sweeper.later(lambda: done.append("three"))  # it can be used on
    await sweeper.close()
    assert done[-1] == "three"


async def test_what_was_kept_goes_a_while_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweepers, "_KEPT", 0.01)
    asked, done, gone = list[float](), list[str](), asyncio.Event()
    loop, left = asyncio.get_running_loop(), [True, True, False, False]

    def trim(seconds: float) -> bool:
        asked.append(seconds)
        if len(asked) in (3, 4):
            loop.call_soon_threadsafe(gone.set)
        return left.pop(0)

    sweeper = Sweeper(trim)
    async with asyncio.timeout(30):
        for asked_by_then in (3, 4):  # until nothing is left; and again when there is more to do
            sweeper.later(lambda: done.append("one"))
            await gone.wait()
            gone.clear()
            assert len(asked) == asked_by_then
    await sweeper.close()
    assert (done, asked, left) == (["one", "one"], [0.01] * 4, [])


async def test_nobody_asks_for_it_once_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def trim(seconds: float) -> bool:
        asked.append(seconds)
        return True

    sweeper = Sweeper(trim)
    sweeper.later(lambda: None)
    await sweeper.close()
    assert sweeper._trimming is None
    assert asked == []
