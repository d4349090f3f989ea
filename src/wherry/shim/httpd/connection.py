"""A client's connection as the server keeps it: what has come, and what is waited for. Reading only: workers answer."""

from __future__ import annotations

import _socket

from wherry.wire import http1

READING, QUEUED, SERVED, LINGERING = range(4)
_READ = 64 << 10
_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""The beginning of HTTP/2's: RFC 9113, 3.4. To HTTP/1.1 it is a whole head, of a version that is not spoken."""


class Connection:
    """``since`` is when its state began, in seconds of the monotonic clock; ``head`` the request that is served.
    ``scheme`` and ``major`` version are what the client speaks; here it is HTTP/1.1 in any case."""

    __slots__ = (
        "buffer", "events", "fresh", "head", "id", "major", "peer", "peer_port", "scheme", "since", "socket", "started",
        "state",
    )  # fmt: skip

    def __init__(
        self, socket: _socket.socket, peer: str, peer_port: int, now: float, scheme: str = "http", major: int = 1
    ) -> None:
        self.socket = socket
        self.peer = peer
        self.peer_port = peer_port
        self.scheme = scheme
        self.major = major
        self.state = READING
        self.since = now
        self.started = now
        self.fresh = True
        self.buffer = bytearray()
        self.head: http1.RequestHead | None = None
        self.events = 0
        self.id = ""

    @property
    def fd(self) -> int:
        return self.socket.fileno()

    @property
    def idle(self) -> bool:
        """No request has begun."""
        return self.state == READING and not self.buffer

    def receive(self) -> bool:
        """Take what has come; False: the client has ended. BlockingIOError, OSError: it is gone."""
        data = self.socket.recv(_READ)
        if self.state != LINGERING:
            self.buffer += data
        return bool(data)

    def next_head(self, reader: http1.HeadReader) -> http1.RequestHead | None:
        """The next request, when its head is whole; the buffer then begins with its body. BadRequest."""
        while self.buffer[:2] == b"\r\n":  # RFC 9112, 2.2: some clients send one after a body
            del self.buffer[:2]
        if not self.buffer:
            return None
        end = http1.find_end(self.buffer)
        if not end:
            return None
        head = reader.read(bytes(self.buffer[:end]))
        del self.buffer[:end]
        return head if self.scheme == "http" and self.major == 1 else head.by(self.scheme, self.major)

    @property
    def speaks_http2(self) -> bool:
        """It has begun so, without having asked. By TLS, clients ask: see tls.py."""
        return not self.id and self.scheme == "http" and self.major == 1 and self.buffer.startswith(_PREFACE)
