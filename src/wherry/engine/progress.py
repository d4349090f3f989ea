"""Long work for a client that watches: its messages as docker's JSON stream, thinned out, with its failure as the last.

Source: Docker Engine API v1.51, ImageCreate and ImagePush; the words are those that docker's clients show.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from wherry.build.classic import failure
from wherry.errors import WherryError

Json = dict[str, Any]
_INTERVAL = 0.1
"""Seconds between two messages on how far a layer is."""
_WAITING = 2000
"""Messages for a client that does not read; what tells of progress is dropped then."""
_BAR = 50
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Report:
    """Where work tells how it gets on. Of the event loop's thread; never waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue: asyncio.Queue[Json | None] = asyncio.Queue()
        self._clock = clock
        self._told: dict[str, float] = {}

    def status(self, text: str, what: str = "") -> None:
        """One line; ``what`` is the layer or tag that it is about."""
        self._queue.put_nowait({"status": text, "id": what} if what else {"status": text})

    def state(self, what: str, text: str) -> None:
        """What now goes on with a layer."""
        self._told.pop(what, None)
        self._queue.put_nowait({"status": text, "progressDetail": {}, "id": what})

    def progress(self, what: str, text: str, current: int, total: int) -> None:
        """How far it is, in bytes; not every time."""
        now = self._clock()
        if now - self._told.get(what, -1e9) < _INTERVAL or self._queue.qsize() > _WAITING:
            return
        self._told[what] = now
        detail = {"current": current, "total": total}
        self._queue.put_nowait({"status": text, "progressDetail": detail, "progress": bar(current, total), "id": what})

    def aux(self, document: Json) -> None:
        """For programs: what came of it."""
        self._queue.put_nowait({"progressDetail": {}, "aux": document})

    def message(self, document: Json) -> None:
        """One made elsewhere."""
        self._queue.put_nowait(document)

    def close(self) -> None:
        """No more will come."""
        self._queue.put_nowait(None)

    async def messages(self) -> AsyncIterator[Json]:
        """Every message until `close`."""
        while (message := await self._queue.get()) is not None:
            yield message


async def streamed(work: Callable[[Report], Awaitable[None]]) -> AsyncGenerator[Json, None]:
    """The messages of ``work``. A failure before the first one is raised; a later one is the last message.

    Closing the iterator cancels the work.
    """
    report = Report()
    task = asyncio.create_task(_told(work, report))
    async with aclosing(followed(task, _until_done(task, report))) as messages:
        async for message in messages:
            yield message


async def followed(task: asyncio.Task[Any], messages: AsyncGenerator[Json, None]) -> AsyncGenerator[Json, None]:
    """The messages of a task, which raise what it fails with: before the first one that is raised, later it is the last
    message. Closing the iterator cancels the task."""
    began = False
    try:
        async with aclosing(messages):
            async for message in messages:
                began = True
                yield message
    except WherryError as error:
        if not began:
            raise
        yield failure(error)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_done(task: asyncio.Task[None], report: Report) -> AsyncGenerator[Json, None]:
    async for message in report.messages():
        yield message
    await task


async def _told(work: Callable[[Report], Awaitable[None]], report: Report) -> None:
    try:
        await work(report)
    except BaseExceptionGroup as group:
        raise innermost(group) from None
    finally:
        report.close()


def innermost(group: BaseException) -> BaseException:
    """The first error of a group of tasks: the others were cancelled for it."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def bar(current: int, total: int) -> str:
    """``[==>  ]  1.2MB/3.4MB``, as docker's clients of old print it."""
    done = min(_BAR, current * _BAR // total) if total > 0 else 0
    drawn = "=" * done + (">" if done < _BAR else "")
    return f"[{drawn:<{_BAR}}]  {_size(current)}/{_size(total)}"


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.4g}{_UNITS[unit]}"


def short(digest: str) -> str:
    """The twelve digits that stand for a layer."""
    return digest.rpartition(":")[2][:12]
