"""A single-threaded event loop over epoll: descriptors with callbacks, and timers. No protocol is known here.

asyncio is not used, because it would put megabytes and milliseconds into every container cloned from this process.
"""

from __future__ import annotations

import heapq
import itertools
import select
import sys
import time

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[], None]

READ = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITE = select.EPOLLOUT


class Reactor:
    """Calls each registered callback when its descriptor is ready. Level-triggered."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._added: set[int] = set()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()
        self._stopped = False
        self._quiet: tuple[float, Callback] | None = None
        self._heard = 0.0
        self._watching = True

    def add(self, fd: int, callback: Callback, events: int = READ) -> None:
        """Call ``callback`` whenever ``fd`` has one of ``events``, until `remove`."""
        self._callbacks[fd] = callback
        self._added.add(fd)
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events on ``fd``."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget ``fd``; call it before closing. Unknown descriptors are no error."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, callback: Callback) -> None:
        """Call ``callback`` once, ``seconds`` from now."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), callback))

    def when_quiet(self, seconds: float, callback: Callback) -> None:
        """Call ``callback`` when no descriptor has been ready for ``seconds``: once, and again when one was and that
        is so again. Timers are no noise."""
        self._quiet = seconds, callback
        self._watching = False

    def stop(self) -> None:
        """End `run` after the present callback."""
        self._stopped = True

    def run(self) -> None:
        """Dispatch until `stop`."""
        while not self._stopped:
            ready = self._epoll.poll(self._timeout())
            self._added.clear()
            if ready:
                self._heard = time.monotonic()
                if not self._watching:
                    self._watch()
            for fd, _ in ready:
                # An earlier callback of this round may have removed it, and another descriptor have got its number:
                # that one is not ready, and whoever reads it would wait for ever. If it is, the next round says so.
                callback = None if fd in self._added else self._callbacks.get(fd)
                if callback is not None:
                    _call(callback)
            self._fire()

    def _watch(self) -> None:
        assert self._quiet is not None
        seconds, callback = self._quiet
        rest = self._heard + seconds - time.monotonic()
        self._watching = rest > 0
        if self._watching:
            self.later(rest, self._watch)
        else:
            callback()

    def _timeout(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _fire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _call(heapq.heappop(self._timers)[2])


def _call(callback: Callback) -> None:
    try:
        callback()
    # A fault of ours over one container must not end the process that all others hang on. It is told in the log.
    except Exception:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())
