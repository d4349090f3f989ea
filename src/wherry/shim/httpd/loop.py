"""One thread's wait for many descriptors, for the processes beside the server. Whoever is called must bear being called
for nothing: what an event was for may be gone, and another file have its number."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    """``now`` is when this turn began, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._epoll = select.epoll()
        self._soon: list[Callable[[], None]] = []
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Have ``ready`` called with what came of ``events``, or with an end of the connection. No events: not even
        that is told."""
        known = self._watched.get(fd)
        if not events:
            self.forget(fd)
            return
        if known is None:
            self._epoll.register(fd, events)
        elif known[0] != events:
            self._epoll.modify(fd, events)
        self._watched[fd] = events, ready

    def forget(self, fd: int) -> None:
        """Before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def soon(self, act: Callable[[], None]) -> None:
        """Have it called in the next turn, which does not wait then."""
        self._soon.append(act)

    def turn(self, seconds: float) -> None:
        """Wait at most so long, and call whoever is concerned."""
        acts, self._soon = self._soon, []
        events = self._epoll.poll(0 if acts else seconds)
        self.now = time.monotonic()
        for act in acts:
            act()
        for fd, event in events:
            known = self._watched.get(fd)
            if known is not None:
                known[1](event)
