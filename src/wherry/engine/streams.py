"""The stdio of one run of a process: its output fanned out to the log and to clients, its stdin fed by them.

Nothing here knows of containers, HTTP or files: bytes come from an iterator, go to a `Sink` and to `Subscription`s.
The log gets everything. A client gets everything or is cut: one that takes nothing for `STALL` seconds while its
buffer is full is let go, so that it can hold the container up no longer than that.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from wherry.errors import Unavailable, WherryError

STALL: Final = 2.0
_LIMIT: Final = 4 << 20

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where all output goes."""

    def taken(self, stream: str) -> int | None:
        """How much of a stream it has for good; None: who can say."""

    async def write(self, stream: str, time_ns: int, data: bytes) -> None: ...


class Feed(Protocol):
    """A way into a process's stdin."""

    async def write(self, data: bytes) -> None:
        """Waits while the pipe is full. Unavailable: it was closed meanwhile."""

    def close(self) -> None:
        """Twice is no error."""


class Subscription:
    """One client's share of the output: a bounded queue that ends when the run does."""

    def __init__(self, streams: frozenset[str], limit: int = _LIMIT) -> None:
        self._streams = streams
        self._limit = limit
        self._held: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._ended = False
        self.cut = False
        self.over = asyncio.Event()
        """The client has got all of it and its end, or is gone."""
        self.idle = False
        """It has got all that there is, and waits for more."""
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def empty(self) -> bool:
        """All was taken."""
        return not self._held

    @property
    def full(self) -> bool:
        return self._size >= self._limit and not self._ended

    def offer(self, stream: str, data: bytes) -> None:
        """Queue bytes of a stream it wants."""
        if stream in self._streams and not self._ended:
            self._held.append((stream, data))
            self._size += len(data)
            self._filled.set()

    async def relieved(self, stall: float) -> None:
        """Return when there is room again; cut the client off when it takes nothing for ``stall`` seconds."""
        while self.full:
            self._taken.clear()
            try:
                async with asyncio.timeout(stall):
                    await self._taken.wait()
            except TimeoutError:
                self.cut = True
                self._held.clear()
                self.end()

    def end(self) -> None:
        """No more will come; what is queued can still be taken."""
        self._ended = True
        self._filled.set()
        self._taken.set()

    async def __aiter__(self) -> AsyncIterator[tuple[str, bytes]]:
        while True:
            while self._held:
                stream, data = self._held.popleft()
                self._size -= len(data)
                self._taken.set()
                yield stream, data
            if self._ended:
                self.over.set()
                return
            self._filled.clear()
            self.idle = True
            await self._filled.wait()
            self.idle = False


class Output:
    """The fan-out of one run. `pump` is called once for each of its streams."""

    def __init__(self, clock: Callable[[], int], stall: float = STALL) -> None:
        self._clock = clock
        self._stall = stall
        self._subscriptions: set[Subscription] = set()
        self._leaving: list[Subscription] = []
        self._ended = False
        self._lossy = False
        # Chunks of both streams reach the log and the clients in one order.
        self._lock = asyncio.Lock()

    async def subscribe(self, streams: frozenset[str]) -> tuple[Subscription, int]:
        """A subscription to what comes from now on, and that now: the log has all that came before it."""
        async with self._lock:
            found = Subscription(streams)
            if self._ended:
                found.end()
            else:
                self._subscriptions.add(found)
            return found, self._clock()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let a client go; no error if it went already."""
        subscription.end()
        subscription.over.set()
        self._subscriptions.discard(subscription)

    def say(self, stream: str, data: bytes) -> None:
        """Words of the engine's own, for clients only."""
        for subscription in self._subscriptions:
            subscription.offer(stream, data)

    async def pump(self, stream: str, source: AsyncIterator[bytes], sink: Sink) -> None:
        """Carry a stream to its end."""
        async for data in source:
            async with self._lock:
                for subscription in self._subscriptions:
                    subscription.offer(stream, data)
                await self._keep(sink, stream, data)
            for slow in [found for found in self._subscriptions if found.full]:
                await slow.relieved(self._stall)
                if slow.cut:
                    self._subscriptions.discard(slow)

    async def _keep(self, sink: Sink, stream: str, data: bytes) -> None:
        try:
            await sink.write(stream, self._clock(), data)
        except WherryError as error:
            if not self._lossy:
                log.warning("output is not logged: %s", error)
            # Said once; the process and its clients go on.
            self._lossy = True

    def end(self) -> None:
        """The run is over: every client sees the end once it has taken what is queued."""
        self._ended = True
        for subscription in self._subscriptions:
            subscription.end()
        self._leaving = [found for found in self._subscriptions if not found.cut and not (found.idle and found.empty)]
        self._subscriptions.clear()

    async def heard(self, longest: float) -> bool:
        """After the `end`: return when every client has got all of it, or after ``longest`` seconds. Whether they
        have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                for subscription in self._leaving:
                    await subscription.over.wait()
                return True
        return False


class Stdin:
    """A process's stdin from before it exists: writers wait until it is `opened`, and may `close` it before that."""

    def __init__(self) -> None:
        self._feed: Feed | None = None
        self._opened = asyncio.Event()
        self._closed = False
        self._close_process_end: Callable[[], Awaitable[None]] | None = None
        self._lock = asyncio.Lock()

    def open(self, feed: Feed | None, close_process_end: Callable[[], Awaitable[None]]) -> None:
        """The process is there; no ``feed`` when it has no stdin: bytes for it are dropped. ``close_process_end`` is
        called when the process is to see the end: it closes ``feed`` too, but not before the process holds its end, or
        what was written would be gone."""
        self._feed = feed
        self._close_process_end = close_process_end
        self._opened.set()

    def withdraw(self) -> None:
        """The process is not there after all: writers wait again. What was written meanwhile went with its pipe."""
        if self._feed is not None:
            self._feed.close()
        self._feed = None
        self._opened.clear()

    async def write(self, data: bytes) -> None:
        """Waits until the process exists and while its pipe is full; dropped when nobody will ever read them."""
        await self._opened.wait()
        async with self._lock:
            if self._feed is None or self._closed:
                return
            try:
                await self._feed.write(data)
            except Unavailable:
                self._closed = True

    async def close(self) -> None:
        """Nothing more will be written: the process sees the end after what was written before."""
        await self._opened.wait()
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._feed is not None and self._close_process_end is not None:
                await self._close_process_end()

    def end(self) -> None:
        """The run is over: give the pipe back, let those go who wait to write."""
        self._closed = True
        self._opened.set()
        if self._feed is not None:
            self._feed.close()


class Streams:
    """Both directions of one run."""

    def __init__(self, *, tty: bool, close_stdin_with_client: bool, clock: Callable[[], int]) -> None:
        self.tty = tty
        self.close_stdin_with_client = close_stdin_with_client
        self.output = Output(clock)
        self.stdin = Stdin()
        self.clients = 0

    def end(self) -> None:
        """End every client's session."""
        self.output.end()
        self.stdin.end()
