"""Answers: whole ones, sent in one piece, those that come bit by bit, and none, where the socket is another's by then.

Source: RFC 9112, sections 6 and 9.3.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from wherry.server.request import Request
from wherry.wire.http1 import chunk, http_date, last_chunk

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})


class Clock:
    """The ``Date`` of answers: worked out once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, http_date(time.gmtime(now))
        return self._text


_DATE: Final = Clock()


class Response:
    """``closes``: the connection ends with it. By itself it is nothing that could be sent."""

    closes = False

    def __init__(self, status: int) -> None:
        self.status = status

    def force_close(self) -> None:
        """Let the connection end with it."""
        self.closes = True

    async def finish(self, request: Request) -> None:
        """Send what is still to be sent. ConnectionError: the client is gone."""

    def _head(self, request: Request, headers: Mapping[str, str], more: str) -> bytes:
        """``more`` are lines with their ends."""
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not fields.count("\n") == fields.count("\r") == len(headers):  # what others said is in some of them
            fields = "".join([f"{name}: {' '.join(value.split())}\r\n" for name, value in headers.items()])
        if self.closes or not request.head.keep:
            more += "Connection: close\r\n"
        elif not request.head.minor:
            more += "Connection: keep-alive\r\n"
        first = f"HTTP/1.1 {self.status} {_REASONS.get(self.status, '')}\r\n{fields}Date: {_DATE()}\r\n"
        return f"{first}{more}\r\n".encode("latin-1", "replace")


class Broken(Response):
    """The end of an answer that cannot be gone on with: the client sees that it is not whole."""

    closes = True


class Hijacked(Response):
    """The socket is not the server's any more."""


class PlainResponse(Response):
    """An answer that is all there when it begins."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"", content_type: str = "") -> None:
        super().__init__(status)
        self._headers = headers
        self.body = body
        self._type = content_type

    async def finish(self, request: Request) -> None:
        more = f"Content-Type: {self._type}\r\n" if self._type else ""
        if self.status not in _BODILESS:
            more += f"Content-Length: {len(self.body)}\r\n"
        head = self._head(request, self._headers, more)
        await request.send(head if request.method == "HEAD" else head + self.body)


class Stream(Response):
    """An answer whose length nobody knows when it begins: chunks, or all until the end of an old client's connection.

    `begin`, then `write` any number of times, then `finish`.
    """

    def __init__(self, request: Request, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self._request = request
        self._headers = headers
        self._chunked = request.head.minor > 0
        self._silent = request.method == "HEAD"
        self._last = b""
        if not self._chunked:
            self.force_close()

    async def begin(self) -> None:
        """The client sees the head at once. ConnectionError, as with the others: it is gone."""
        more = "Transfer-Encoding: chunked\r\n" if self._chunked else ""
        await self._request.send(self._head(self._request, self._headers, more))

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read."""
        if data and not self._silent:
            await self._request.send(chunk(data) if self._chunked else data)

    def end_with(self, data: bytes) -> None:
        """``data``, not empty, is the last of it and goes with the end."""
        self._last = chunk(data) if self._chunked else data

    async def finish(self, request: Request) -> None:
        end = self._last + (last_chunk(()) if self._chunked else b"")
        if end and not self._silent:
            await request.send(end)
