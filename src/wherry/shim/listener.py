"""The ttrpc server on the shim's socket: connections in, calls out. What a call means is service.py's."""

from __future__ import annotations

import _socket

from wherry.errors import WherryError
from wherry.shim.reactor import READ, WRITE, Reactor
from wherry.wire.protobuf import Message
from wherry.wire.ttrpc import Request, ServerConnection

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_UNSENT = 16 << 20


class Call:
    """One request, to be answered once, now or later. Answers to a caller that has gone are dropped."""

    def __init__(self, connection: _Connection, request: Request) -> None:
        self._connection = connection
        self.request = request

    def reply(self, message: Message) -> None:
        """Answer with success."""
        self._connection.send(self._connection.protocol.send_response(self.request.stream_id, message.encode()))

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self._connection.send(self._connection.protocol.send_error(self.request.stream_id, error))


class Listener:
    """Accepts connections; ``on_call`` gets each call. ``connections`` counts those that are open."""

    def __init__(self, reactor: Reactor, listening: _socket.socket, on_call: Callable[[Call], None]) -> None:
        self._reactor = reactor
        self._listening = listening
        self._on_call = on_call
        self.connections = 0
        listening.setblocking(False)
        reactor.add(listening.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            accepted = _accept(self._listening)
        except OSError:  # gone again, or out of descriptors: the next one may do
            return
        accepted.setblocking(False)
        self.connections += 1
        _Connection(self._reactor, accepted, self._on_call, self._closed)

    def _closed(self) -> None:
        self.connections -= 1


def _accept(listening: _socket.socket) -> _socket.socket:
    descriptor, _ = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket` calls
    return _socket.socket(fileno=descriptor)


class _Connection:
    def __init__(
        self,
        reactor: Reactor,
        accepted: _socket.socket,
        on_call: Callable[[Call], None],
        on_close: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._socket = accepted
        self._on_call = on_call
        self._on_close = on_close
        self._unsent = b""
        self._waiting = False
        self._open = True
        self.protocol = ServerConnection()
        reactor.add(accepted.fileno(), self._ready)

    def _ready(self) -> None:
        if self._unsent:
            self._flush()
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        try:
            requests = self.protocol.receive_data(data)
        except WherryError:  # not ttrpc: there is no way to answer it
            self._close()
            return
        for request in requests:
            self._on_call(Call(self, request))
        self.send(self.protocol.data_to_send())

    def send(self, data: bytes) -> None:
        if not self._open or not data:
            return
        self._unsent += data
        if len(self._unsent) > _MOST_UNSENT:
            self._close()
        else:
            self._flush()

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        if bool(self._unsent) != self._waiting:
            self._waiting = bool(self._unsent)
            self._reactor.modify(self._socket.fileno(), READ | (WRITE if self._waiting else 0))

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._reactor.remove(self._socket.fileno())
            self._socket.close()
            self._on_close()
