"""Short answers, written in one piece: status, headers and body, without the steps that an answer in parts needs."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

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
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_DATE: Final = Clock()


class PlainResponse(web.StreamResponse):
    """An answer that is all there when it begins. Source: RFC 9112, sections 6.3 and 9.3."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"", content_type: str = "") -> None:
        super().__init__(status=status)
        self._lines = headers
        self._all = body
        self._type = content_type

    @property
    def body(self) -> bytes:
        """What is sent after the headers."""
        return self._all

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Send it, to a client that is still there."""
        if self.keep_alive is None and not request.keep_alive:
            self.force_close()
        elif self.keep_alive is None:
            self._keep_alive = True
        if request.transport is not None:
            body = b"" if request.method == "HEAD" else self._all
            request.transport.write(self._head(request).encode("latin-1") + body)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """It was sent whole."""

    def _head(self, request: web.BaseRequest) -> str:
        major, minor = request.version
        lines = [f"HTTP/{major}.{minor} {self.status} {_REASONS.get(self.status, '')}"]
        lines += [f"{name}: {value}" for name, value in self._lines.items()]
        lines.append(f"Date: {_DATE()}")
        if self._type:
            lines.append(f"Content-Type: {self._type}")
        if self.status not in _BODILESS:
            lines.append(f"Content-Length: {len(self._all)}")
        if not self.keep_alive and minor:
            lines.append("Connection: close")
        elif self.keep_alive and not minor:
            lines.append("Connection: keep-alive")
        return "\r\n".join(lines) + "\r\n\r\n"
