"""Tidying up that nobody waits for, many pieces of it by one way to a thread.

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

Work = Callable[[], None]


class Sweeper:
    """Life: made -> `later`, any number of times, in the event loop -> `close`."""

    def __init__(self) -> None:
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
        finally:
            self._sweeping = None

    async def close(self) -> None:
        """Come to the end of it, also of what comes meanwhile."""
        while self._sweeping is not None:
            await self._sweeping


def _do(batch: Sequence[Work]) -> None:
    for work in batch:
        try:
            work()
        except (WherryError, OSError) as error:
            log.warning("what is to be removed stays until the next start: %s", error)
