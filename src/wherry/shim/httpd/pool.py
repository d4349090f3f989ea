"""How many workers there are: none until one is needed, one more only when those there are stay busy for a moment.

Most handlers answer in less time than a fork takes: waiting for a worker is then the quicker way.
"""

from __future__ import annotations

import mmap
import time

from wherry.shim.httpd import worker as workers
from wherry.shim.httpd.worker import Worker

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.shim.httpd.handler import Serving

_PATIENCE = 0.004
"""Seconds a request waits for a busy worker before another one is forked."""
_KEPT_FOR = 10.0
"""Seconds that a worker beyond the first may be idle."""


class Pool:
    """``most`` is the most workers there may be at once."""

    def __init__(self, serving: Serving, most: int, body_limit: int, confine: Callable[[], None]) -> None:
        self.by_line: dict[int, Worker] = {}
        self._serving = serving
        self._most = most
        self._body_limit = body_limit
        self._confine = confine
        self._begun = mmap.mmap(-1, max(most, mmap.PAGESIZE))
        self._free = list(range(most - 1, -1, -1))
        self._idle: list[Worker] = []
        self._busy_since = 0.0
        self.buffer = workers.new_buffer()

    @property
    def can_shrink(self) -> bool:
        return len(self._idle) > 1

    @property
    def patience(self) -> float:
        """Seconds until `take` forks another worker; negative: it would not."""
        return self._busy_since + _PATIENCE - time.monotonic() if self._free else -1.0

    def take(self, register: Callable[[Worker], None], foreign: Callable[[], list[int]]) -> Worker | None:
        """A worker that is idle, or a new one, which ``register`` gets first; None: all are busy."""
        if self._idle:
            return self._idle.pop()
        if not self._free or (self.by_line and self.patience > 0):
            return None
        lines = list(self.by_line)
        made = workers.fork(
            self._serving, self._free.pop(), self._begun, self._body_limit, self._confine, [*lines, *foreign()]
        )
        self.by_line[made.line.fileno()] = made
        self._busy_since = time.monotonic()
        register(made)
        return made

    def idle(self, worker: Worker) -> None:
        """It has done its job."""
        worker.job = None
        worker.idle_since = self._busy_since = time.monotonic()
        self._idle.append(worker)

    def bury(self, worker: Worker) -> None:
        """End it."""
        if worker in self._idle:
            self._idle.remove(worker)
        del self.by_line[worker.line.fileno()]
        self._free.append(worker.slot)
        worker.bury()

    def unneeded(self, now: float) -> list[Worker]:
        """Those that have had nothing to do for long: the last used one stays."""
        return [worker for worker in self._idle[:-1] if now - worker.idle_since > _KEPT_FOR]

    def close(self) -> None:
        """End them all."""
        for worker in list(self.by_line.values()):
            self.bury(worker)
