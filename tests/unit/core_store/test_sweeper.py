"""Tidying up: all of it is done, in any case, and what fails is told."""

import threading

import pytest

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
