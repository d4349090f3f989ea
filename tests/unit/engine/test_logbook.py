"""A container's log while it is being closed: who asks then is told all that was said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from wherry.core.logs.log import LogEntry
from wherry.engine.containers.logbook import Logbook, LogQuery


class SlowLog:
    """Has its one line when it is closed, which takes until ``go`` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def aclose(self) -> None:
        await self.go.wait()

    async def read(self, **_: Any) -> AsyncIterator[Sequence[LogEntry]]:
        await self.go.wait()
        yield [LogEntry("stdout", 0, b"kept")]


class Logs:
    """Opens that log once; who opens another finds nothing in it."""

    def __init__(self, log: SlowLog) -> None:
        self.logs = [log]

    async def open(self, *_: Any, **__: Any) -> Any:
        return self.logs.pop()


CONTAINER = cast("Any", SimpleNamespace(id="one", host_config={"LogConfig": {"Type": "json-file", "Config": {}}}))


async def test_who_asks_while_it_is_closed_is_told_all() -> None:
    container, log = CONTAINER, SlowLog()
    book = Logbook(cast("Any", Logs(log)), "/nowhere", "/nowhere")
    await book.open(container)
    closing = asyncio.create_task(book.close(container.id))
    await asyncio.sleep(0)
    reading = await book.read(container, LogQuery(follow=True))
    log.go.set()
    assert [batch async for batch in reading] == [[("stdout", b"kept")]]
    await closing
