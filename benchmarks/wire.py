"""HTTP/1.1 over a unix socket, as thin as a client can be: a load generator shares the machine with what it loads.

Knows lengths, chunks and upgrades, and nothing of what is sent. Not for servers that one does not trust.
"""

import socket
from collections.abc import Iterator
from typing import Final, Self

from wherry.errors import Unavailable

_HEAD_END: Final = b"\r\n\r\n"
_SIZE: Final = 1 << 16


class Wire:
    """One connection. Unavailable, everywhere: it ended in the middle of an answer."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self._socket.close()

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request, with JSON if anything, and its answer: status and body."""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body or method == "POST" else ""
        self._socket.sendall(f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{kind}\r\n".encode() + body)
        status, head = self._head()
        if b"\r\ntransfer-encoding: chunked" in head:
            return status, b"".join(self._chunks())
        _, _, length = head.partition(b"\r\ncontent-length:")
        return status, self._exactly(int(length.partition(b"\r\n")[0] or b"0"))

    def upgrade(self, target: str) -> int:
        """Ask to have the connection as a stream; the status, 101 if that was granted."""
        self._socket.sendall(
            f"POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )
        return self._head()[0]

    def rest(self) -> bytes:
        """All that comes until the other side closes it."""
        pieces = [self._held]
        while pieces[-1] or len(pieces) == 1:
            pieces.append(self._socket.recv(_SIZE))
        return b"".join(pieces)

    def _head(self) -> tuple[int, bytes]:
        """Status and header lines, in small letters."""
        while (end := self._held.find(_HEAD_END)) < 0:
            self._more()
        head, self._held = self._held[:end], self._held[end + len(_HEAD_END) :]
        return int(head[9:12]), head.lower() + b"\r\n"

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while (end := self._held.find(b"\r\n")) < 0:
                self._more()
            size, self._held = int(self._held[:end], 16), self._held[end + 2 :]
            yield self._exactly(size)
            self._exactly(2)
            if not size:
                return

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _more(self) -> None:
        data = self._socket.recv(_SIZE)
        if not data:
            raise Unavailable("the engine closed the connection in the middle of an answer")
        self._held += data
