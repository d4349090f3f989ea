"""Where shims send their events: a ttrpc server with one method, and the fan-out to whoever listens.

Source: containerd.services.events.ttrpc.v1.Events/Forward.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from wherry.core.tasks.tasks import TaskEvent
from wherry.errors import InvalidArgument, ResourceExhausted, Unimplemented, WherryError
from wherry.wire import events
from wherry.wire.protobuf import Message
from wherry.wire.ttrpc import Request, ServerConnection
from wherry.wire.wellknown import Timestamp

_ACCEPT_AGAIN: Final = 0.1  # seconds
EXIT: Final = events.TOPICS[events.TaskExit]


def task_event(envelope: events.Envelope) -> TaskEvent | None:
    """The event as the engine sees it; None for one that concerns no task. InvalidArgument: damaged."""
    message = events.unwrap(envelope)
    if message is None:
        return None
    time = seconds(envelope.timestamp)
    return make_event(message, time)


def make_event(message: Message, time: float) -> TaskEvent:
    """The event of a message out of wire/events, its moments as seconds since the epoch."""
    fields = message.to_dict()
    for name in message.DEFAULTS:
        value = getattr(message, name)
        if isinstance(value, Timestamp):
            fields[name] = seconds(value)
    return TaskEvent(events.TOPICS[type(message)], str(fields["container_id"]), fields, time)


def seconds(timestamp: Timestamp | None) -> float:
    """Seconds since the epoch; 0.0 for none and for Go's zero time, which lies in the year 1."""
    return 0.0 if timestamp is None or timestamp.seconds < 0 else timestamp.ns / 1e9


class Subscription(AsyncIterator[TaskEvent]):
    """Events from the moment it was made. Not bounded: an exit that was dropped would be a container that never ends,
    and its one reader, the engine, only takes notes. One reader at a time."""

    def __init__(self, forget: Callable[["Subscription"], None], topics: Collection[str]) -> None:
        self._forget = forget
        self._topics = topics
        self._events: deque[TaskEvent | None] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def wants(self, topic: str) -> bool:
        """Whether events of ``topic`` are to be put."""
        return not self._topics or topic in self._topics

    def put(self, event: TaskEvent | None) -> None:
        """Hand over an event; None is the end."""
        self._events.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __anext__(self) -> TaskEvent:
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        event = self._events[0]
        if event is None:
            raise StopAsyncIteration
        return self._events.popleft() or event

    async def aclose(self) -> None:
        """Stop listening."""
        self._forget(self)
        self.put(None)


class EventHub:
    """Hands each event to every subscription, in order."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._closed = False

    def subscribe(self, topics: Collection[str] = ()) -> Subscription:
        """To events of these topics; of all, if none is named."""
        subscription = Subscription(self._forget, topics)
        self._subscriptions.append(subscription)
        if self._closed:
            subscription.put(None)
        return subscription

    def wants(self, topic: str) -> bool:
        """Whether anybody listens to ``topic``: to read an event takes longer than to pass it on."""
        return any(subscription.wants(topic) for subscription in self._subscriptions)

    def publish(self, event: TaskEvent) -> None:
        for subscription in self._subscriptions:
            if subscription.wants(event.topic):
                subscription.put(event)

    def close(self) -> None:
        """End all subscriptions once they have read what is there."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.put(None)

    def _forget(self, subscription: Subscription) -> None:
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)


class _Open:
    """The connections that are open."""

    def __init__(self) -> None:
        self.transports: set[asyncio.Transport] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, transport: asyncio.Transport) -> None:
        self.transports.add(transport)
        self.empty.clear()

    def discard(self, transport: asyncio.Transport) -> None:
        self.transports.discard(transport)
        if not self.transports:
            self.empty.set()


class _Connection(asyncio.Protocol):
    """One shim's connection. Forward is answered at once, so nothing is ever under way."""

    def __init__(self, receive: Callable[[events.Envelope], None], connections: _Open) -> None:
        self._receive = receive
        self._open = connections
        self._wire = ServerConnection()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            requests = self._wire.receive_data(data)
        except InvalidArgument:
            self._transport.abort()
            return
        answers = [self._wire.data_to_send(), *map(self._answer, requests)]
        self._transport.write(b"".join(answers))

    def pause_writing(self) -> None:
        """A peer that never reads its answers would fill our memory with them."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._open.discard(self._transport)

    def _answer(self, request: Request) -> bytes:
        try:
            if (request.service, request.method) != (events.SERVICE, events.FORWARD):
                raise Unimplemented(f"/{request.service[:80]}/{request.method[:80]} is not offered here")
            envelope = events.ForwardRequest.decode(request.payload).envelope
            if envelope is None:
                raise InvalidArgument("Forward without an envelope")
            self._receive(envelope)
        except WherryError as error:
            return self._wire.send_error(request.stream_id, error)
        return self._wire.send_response(request.stream_id, b"")


class EventsServer:
    """Listens on a unix socket, which only this user may connect to."""

    def __init__(self, listener: socket.socket, receive: Callable[[events.Envelope], None]) -> None:
        self._listener = listener
        self._receive = receive
        self._open = _Open()
        self._making: set[asyncio.Task[object]] = set()
        self._resume: asyncio.TimerHandle | None = None
        # Not asyncio's Server: before 3.12 its close leaves behind connections that are just being accepted.
        asyncio.get_running_loop().add_reader(listener, self._accept)

    @classmethod
    def listen(cls, path: str, receive: Callable[[events.Envelope], None]) -> "EventsServer":
        """``receive`` is called with each envelope; a WherryError it raises is answered to the shim.

        ResourceExhausted: the socket cannot be made. A socket file left over from a killed engine is replaced.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise ResourceExhausted(f"cannot listen at {path}: {error.strerror or error}") from None
        return cls(listener, receive)

    async def close(self) -> None:
        """Stop listening and let go of the shims, which will try again later."""
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._resume is not None:
            self._resume.cancel()
        self._listener.close()
        await asyncio.gather(*self._making, return_exceptions=True)
        for transport in list(self._open.transports):
            transport.abort()
        await self._open.empty.wait()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # out of descriptors, most likely: shims wait in the backlog meanwhile
            loop.remove_reader(self._listener)
            self._resume = loop.call_later(_ACCEPT_AGAIN, loop.add_reader, self._listener, self._accept)
            return
        accepted.setblocking(False)
        task: asyncio.Task[object] = loop.create_task(
            loop.connect_accepted_socket(lambda: _Connection(self._receive, self._open), accepted)
        )
        self._making.add(task)
        task.add_done_callback(self._making.discard)
