"""Forwards a task's events to whoever started the shim, as containerd's publish contract has it.

Source: containerd runtime/v2/README.md ("Events"): over ttrpc to TTRPC_ADDRESS. Delivery is tried a few times, then
given up: who missed an event finds the state by asking.
"""

from __future__ import annotations

import _socket
import time

from wherry.shim.reactor import READ, WRITE, Reactor
from wherry.suppress import suppress
from wherry.wire import events, ttrpc
from wherry.wire.protobuf import Message

_MOST_QUEUED = 4096
_RETRY_AFTER = 1.0
_TRIES = 5


class Publisher:
    """Events go out in order; an engine that is away for a while gets those of the last few seconds."""

    def __init__(self, reactor: Reactor, address: str, namespace: str, topics: frozenset[str] = frozenset()) -> None:
        """``address`` is a unix socket's path, or "" to publish nowhere; without ``topics``, events of all go there."""
        self._reactor = reactor
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._topics = topics
        self._queue: list[events.ForwardRequest] = []
        self._socket: _socket.socket | None = None
        self._connection = ttrpc.ClientConnection()
        self._outgoing = b""
        self._waiting = False
        self._failures = 0

    def publish(self, event: Message) -> None:
        """Send ``event`` now if that is possible without waiting, else as soon as it is."""
        if self._address and (not self._topics or events.TOPICS[type(event)] in self._topics):
            self._queue.append(events.wrap(event, self._namespace, time.time_ns()))
            del self._queue[:-_MOST_QUEUED]
            self._send()

    def _send(self) -> None:
        if self._socket is None and not self._connect():
            return
        while self._queue or self._outgoing:
            if not self._outgoing:
                payload = self._queue.pop(0).encode()
                self._outgoing = self._connection.send_request(events.SERVICE, events.FORWARD, payload)[1]
            if not self._flush():
                return

    def _connect(self) -> bool:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            connection.connect(self._address)
        except OSError:
            connection.close()
            self._try_later()
            return False
        self._failures = 0
        self._socket, self._connection = connection, ttrpc.ClientConnection()
        self._outgoing, self._waiting = b"", False
        self._reactor.add(connection.fileno(), self._ready)
        return True

    def _try_later(self) -> None:
        self._failures += 1
        if self._failures < _TRIES:
            self._reactor.later(_RETRY_AFTER, self._send)
        else:
            self._failures = 0
            self._queue.clear()

    def _flush(self) -> bool:
        assert self._socket is not None
        try:
            self._outgoing = self._outgoing[self._socket.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()
            return False
        if self._outgoing or self._waiting:
            self._waiting = bool(self._outgoing)
            self._reactor.modify(self._socket.fileno(), READ | (WRITE if self._waiting else 0))
        return not self._outgoing

    def _ready(self) -> None:
        """Answers are read and dropped: nothing here depends on them."""
        assert self._socket is not None
        with suppress(BlockingIOError):
            try:
                if not self._socket.recv(1 << 16):
                    self._disconnect()
                    return
            except ConnectionError:
                self._disconnect()
                return
        if self._outgoing:
            self._send()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._reactor.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._outgoing = b""
        if self._queue:
            self._try_later()
