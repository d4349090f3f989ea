"""The next container of a kind that was just asked for: all made but its name and its record.

What takes long of a container is its sandbox, and nothing of that depends on who asks. So once the same was asked for
twice within ten seconds, the one after that is made before it is asked for, and thrown away if nobody asks in time. How
one is made and what becomes of it is creation.py's.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wherry.core.snapshots.snapshotter import LaidSnapshot
from wherry.core.tasks.tasks import Task
from wherry.engine.background import Background
from wherry.engine.containers.ahead import Undo
from wherry.engine.containers.folders import Folders
from wherry.engine.containers.live import Live
from wherry.engine.containers.logbook import Logbook
from wherry.engine.run import Run
from wherry.errors import WherryError

_AFTER: Final = 0.02
"""Seconds: the container that was asked for comes first."""
_SECONDS: Final = 10.0
_PATIENCE: Final = 5.0
"""Seconds that one which is being made when the engine stops is given."""
_MOST: Final = 2
_KINDS: Final = 8
"""How many kinds are remembered."""
_LONGEST_KEY: Final = 1 << 16

Folder = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Twin:
    """``folders`` are those of the image's layers as they were: mounted in it, and of no use once they are others."""

    live: Live
    snapshot: LaidSnapshot
    run: Run
    task: Task
    folders: Sequence[Folder]

    def fits(self) -> bool:
        """Whether it is what a new one would be. Blocks."""
        try:
            return folders_of([path for path, _, _ in self.folders]) == self.folders
        except OSError:
            return False


def folders_of(paths: Sequence[str]) -> Sequence[Folder]:
    """Which folders lie at these paths. Blocks. OSError: one is not there."""
    return [(path, status.st_dev, status.st_ino) for path, status in ((path, os.stat(path)) for path in paths)]


class Twins:
    """At most two at a time, each for ten seconds."""

    def __init__(self, folders: Folders, undo: Undo, logbook: Logbook, background: Background) -> None:
        self._folders = folders
        self._undo = undo
        self._logbook = logbook
        self._background = background
        self._asked_at: dict[bytes, float] = {}
        self._twins: dict[bytes, Twin] = {}
        self._making: dict[bytes, asyncio.Future[None]] = {}
        self._closed = False

    def take(self, key: bytes) -> Twin | None:
        """The one that was made for ``key``, which is the caller's now: to use, or to `discard`."""
        return self._twins.pop(key, None)

    def asked(self, key: bytes, build: Callable[[], Awaitable[Twin | None]]) -> None:
        """A container of kind ``key`` was made; ``build`` would make another."""
        if len(key) > _LONGEST_KEY:
            return
        others = set(self._making) | set(self._twins)
        if self.was_asked(key) and key not in others and len(others) < _MOST:
            self._making[key] = asyncio.get_running_loop().create_future()
            self._background.spawn(self._make(key, build))
        self._asked_at.pop(key, None)  # the latest is the last
        self._asked_at[key] = asyncio.get_running_loop().time()
        if len(self._asked_at) > _KINDS:
            del self._asked_at[next(iter(self._asked_at))]

    def was_asked(self, key: bytes) -> bool:
        """Whether one of that kind was made just now."""
        return asyncio.get_running_loop().time() - self._asked_at.get(key, -_SECONDS) < _SECONDS

    async def _make(self, key: bytes, build: Callable[[], Awaitable[Twin | None]]) -> None:
        twin = None
        try:
            await asyncio.sleep(_AFTER)
            # What is wrong is told to whoever asks for such a container next.
            with contextlib.suppress(WherryError, OSError):
                twin = None if self._closed else await build()
                if twin is not None:
                    await (await self._logbook.open(twin.live.record)).ready()
            if twin is not None and self._closed:
                await self.discard(twin)
                return
        finally:
            self._making.pop(key).set_result(None)
        if twin is None:
            return
        self._twins[key] = twin
        await asyncio.sleep(_SECONDS)
        await self._drop(key, twin)

    async def _drop(self, key: bytes, twin: Twin) -> None:
        if self._twins.get(key) is twin:
            del self._twins[key]
            await self.discard(twin)

    async def discard(self, twin: Twin) -> None:
        """It is not wanted after all."""
        await self._undo(twin.run, twin.task)
        await self._logbook.close(twin.live.record.id)
        await asyncio.to_thread(self._remove, twin)

    def _remove(self, twin: Twin) -> None:
        with contextlib.suppress(OSError):  # the next start of the engine removes what nobody owns
            self._folders.remove(twin.live.record.id)
        twin.snapshot.drop()

    async def close(self) -> None:
        """Give it up: the engine stops. What is being made gives itself up: cancelled halfway, it would stay."""
        self._closed = True
        if self._making:
            await asyncio.wait(list(self._making.values()), timeout=_PATIENCE)
        for key, twin in list(self._twins.items()):
            await self._drop(key, twin)
