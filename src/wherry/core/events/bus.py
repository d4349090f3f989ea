"""What happened in the engine: published once, heard by whoever listens, the latest kept for those who ask later.

Values are neutral: an object's type, what happened, its id and attributes. How `docker events` words them is the
engine's matter. Single-threaded: call it from the event loop only.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

HISTORY: Final = 256
"""How many events are kept, as dockerd does."""
BACKLOG: Final = 4096
"""How many events a subscriber may be behind before it is cut off."""
HISTORY_SIZE: Final = 1 << 20
BACKLOG_SIZE: Final = 16 << 20
"""The same by their size, in characters: a container's labels are in each of its events, and may have megabytes."""
_FIXED: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """``type`` is what the actor is (``container``), ``action`` what happened (``start``), ``time_ns`` when, since the
    epoch."""

    type: str
    action: str
    actor: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int = 0

    @property
    def size(self) -> int:
        """About how much memory it takes, in characters."""
        return _FIXED + sum(map(len, self.attributes)) + sum(map(len, self.attributes.values()))


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands in a subscription where ``count`` events were dropped, because nobody took them in time."""

    count: int


class Queue:
    """The latest events, so many and so large at most; one there always is room for."""

    def __init__(self, most: int, largest: int) -> None:
        self._held: deque[tuple[Event, int]] = deque()
        self._most = most
        self._largest = largest
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Event]:
        return (event for event, _ in self._held)

    def put(self, event: Event, size: int) -> int:
        """How many of the oldest were dropped for it."""
        self._held.append((event, size))
        self._size += size
        dropped = 0
        while len(self._held) > self._most or (self._size > self._largest and len(self._held) > 1):
            self.take()
            dropped += 1
        return dropped

    def take(self) -> Event:
        """The oldest, which there must be."""
        event, size = self._held.popleft()
        self._size -= size
        return event


class Subscription(AsyncIterator[Event | Missed]):
    """Events in order. One reader; `aclose` it."""

    def __init__(self, bus: "EventBus", backlog: int) -> None:
        self._bus = bus
        self._events = Queue(backlog, BACKLOG_SIZE)
        self._missed = 0
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    async def __anext__(self) -> Event | Missed:
        while True:
            if self._missed:
                # What was dropped is older than what is kept.
                missed, self._missed = self._missed, 0
                return Missed(missed)
            if self._events:
                return self._events.take()
            if self._closed:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def put(self, event: Event, size: int) -> None:
        """For the bus: never waits; the oldest event is dropped when the reader is too far behind."""
        self._missed += self._events.put(event, size)
        self._wake()

    async def aclose(self) -> None:
        """Hear no more; a reader that waits comes to the end."""
        self._bus.forget(self)
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class EventBus:
    """Publishing costs the same whoever listens, and never waits."""

    def __init__(self, history: int = HISTORY, backlog: int = BACKLOG) -> None:
        self._history = Queue(history, HISTORY_SIZE)
        self._backlog = backlog
        self._subscriptions: list[Subscription] = []

    def publish(self, event: Event) -> None:
        size = event.size
        self._history.put(event, size)
        for subscription in self._subscriptions:
            subscription.put(event, size)

    def subscribe(self, since_ns: int | None = None) -> Subscription:
        """Events from now on; before them, those that are kept from ``since_ns`` (nanoseconds since the epoch) on."""
        subscription = Subscription(self, self._backlog)
        for event in self._history if since_ns is not None else ():
            if event.time_ns >= (since_ns or 0):
                subscription.put(event, event.size)
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """For subscriptions. Unknown ones are no error."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
