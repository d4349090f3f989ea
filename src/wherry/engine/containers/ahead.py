"""Making a WASM container's task before its start is asked for: the sandbox takes long, the start is one byte.

Between `docker create` and `docker start` clients attach and look; meanwhile the shim works. A task nobody starts is
given up after a while. What goes wrong here is not told: the start does the same again and tells it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from wherry.core.tasks.tasks import Task
from wherry.engine.background import Background
from wherry.engine.containers.launch import Laid
from wherry.engine.containers.live import Live
from wherry.engine.run import Run
from wherry.errors import WherryError

_MOST: Final = 32
_SECONDS: Final = 10.0

Make = Callable[[Live, Laid | None], Awaitable[tuple[Run, Task]]]
Undo = Callable[[Run, Task], Awaitable[None]]


@dataclass(slots=True)
class _Making:
    """``made`` is None in the end when it went wrong; ``timer`` sees to one that nobody takes."""

    made: asyncio.Future[tuple[Run, Task] | None]
    timer: asyncio.TimerHandle


class Ahead:
    """At most 32 at a time. `take` and `drop` are called with the container's lock held."""

    def __init__(self, make: Make, undo: Undo, background: Background) -> None:
        self.make = make
        self._undo = undo
        self._background = background
        self._making: dict[str, _Making] = {}
        self._places = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there is room for one more, which is kept meanwhile for whoever then calls `begin`."""
        free = len(self._making) + self._places < _MOST
        self._places += free
        try:
            yield free
        finally:
            self._places -= free

    def begin(self, live: Live, laid: Laid | None) -> None:
        """Make the task of a new container in the background, from what was ``laid`` for it already."""
        self._background.spawn(self._fill(live, laid, self._expect(live).made))

    def adopt(self, live: Live, run: Run, task: Task) -> None:
        """Take in a task that was made for a container before that was asked for."""
        self._expect(live).made.set_result((run, task))

    def _expect(self, live: Live) -> _Making:
        made: asyncio.Future[tuple[Run, Task] | None] = asyncio.get_running_loop().create_future()
        making = self._making[live.record.id] = _Making(made, self._timer(live))
        return making

    def _timer(self, live: Live) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(
            _SECONDS, lambda: self._background.spawn(self._give_up_unused(live))
        )

    async def _fill(self, live: Live, laid: Laid | None, made: asyncio.Future[tuple[Run, Task] | None]) -> None:
        result = None
        try:
            with contextlib.suppress(WherryError, OSError):
                result = await self.make(live, laid)
        finally:
            made.set_result(result)

    async def take(self, live: Live) -> Task | None:
        """The container's task, made ahead and not started; None when there is none."""
        making = self._making.get(live.record.id)
        if making is None:
            return None
        # Whoever is cancelled here leaves it as it is: to the next one, or to its timer.
        found = await asyncio.shield(making.made)
        making.timer.cancel()
        if self._making.pop(live.record.id, None) is None:
            return None  # the engine stops, and gave it up
        return None if found is None else found[1]

    async def drop(self, live: Live) -> None:
        """Give the task up: the container is being changed or removed."""
        making = self._making.get(live.record.id)
        if making is not None:
            await self._give_up(live, making)
            making.timer.cancel()

    async def _give_up(self, live: Live, making: _Making) -> None:
        found = await asyncio.shield(making.made)
        if self._making.pop(live.record.id, None) is not None and found is not None:
            run, task = found
            if live.run is run:
                live.run = None
            await self._undo(run, task)

    async def _give_up_unused(self, live: Live) -> None:
        async with live.lock:
            making = self._making.get(live.record.id)
            if making is None:
                return
            # A client that is attached expects to see the run that will be.
            if live.run is None or not live.run.streams.clients:
                await self._give_up(live, making)
            else:
                making.timer = self._timer(live)

    async def close(self) -> None:
        """Give all of them up: the engine stops."""
        while self._making:  # one may begin meanwhile
            making = self._making.pop(next(iter(self._making)))
            making.timer.cancel()
            found = await making.made
            if found is not None:
                await self._undo(*found)
