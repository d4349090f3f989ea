"""Tidying up that nobody waits for, many pieces of it by one way to a thread. What was kept in doing so goes later.

Only for what the next start of the engine would do, too: a killed engine has done none of it, or a part.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from wherry.errors import WherryError

_PAUSE: Final = 0.02
"""Seconds: what somebody waits for comes first."""

log = logging.getLogger(__name__)

_KEPT: Final = 10.0
"""Seconds that something is kept for others to come."""

Work = Callable[[], None]


class Sweeper:
    """Life: made -> `later`, any number of times, in the event loop -> `close`.

    ``trim``, which may block, is called ten seconds after something was done, until it says that nothing is left: it
    removes what was kept for longer than the seconds it is told.
    """

    def __init__(self, trim: Callable[[float], bool] | None = None) -> None:
        self._trim = trim
        self._trimming: asyncio.TimerHandle | None = None
        self._is_left = False
        self._waiting: list[Work] = []
        self._sweeping: asyncio.Task[None] | None = None

    def later(self, work: Work) -> None:
        """Have ``work`` done, which may block. A WherryError or OSError of it is logged."""
        self._waiting.append(work)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_PAUSE)
                batch, self._waiting = self._waiting, []
                await asyncio.to_thread(_do, batch)
                left = self._is_left or batch != [self._trim_now]
                if self._trim is not None and self._trimming is None and left:
                    self._trimming = asyncio.get_running_loop().call_later(_KEPT, self._trim_later)
        finally:
            self._sweeping = None

    def _trim_later(self) -> None:
        self._trimming = None
        self.later(self._trim_now)

    def _trim_now(self) -> None:
        self._is_left = self._trim is not None and self._trim(_KEPT)

    async def close(self) -> None:
        """Come to the end of it, also of what comes meanwhile."""
        while self._sweeping is not None:
            await self._sweeping
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None


def _do(batch: Sequence[Work]) -> None:
    for work in batch:
        try:
            work()
        except (WherryError, OSError) as error:
            log.warning("what is to be removed stays until the next start: %s", error)
