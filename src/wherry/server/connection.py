"""One client's connection: aiohttp's, plus what the Engine API needs of it. Only this file leans on aiohttp's insides.

- Bytes that follow an ``Upgrade`` request belong to the hijacked stream. aiohttp's C parser drops those that arrive in
  the request's own segment, so they are held back here before it sees them.
- A head that stops halfway is cut after a while; a request that is no HTTP gets a JSON answer.
- A streaming handler is cancelled when its client goes; one that changes things runs to its end.
"""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from wherry.server.errors import one_line

HEAD_TIMEOUT = 30.0
"""Seconds that a request's head may take."""
IDLE_TIMEOUT = 600.0
"""Seconds after which a connection without a request is closed."""
LINGER = 5.0
"""Seconds for which the rest of a refused body is read and dropped, so that the client gets to see the answer."""
LONGEST_LINE = 256 << 10
"""Bytes of a request line or header: a build's arguments and labels all lie in its query."""
_MAX_EARLY = 1 << 20
_HEAD_END = b"\r\n\r\n"
_WEBSOCKET = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*(\r\n|$)")


class UpgradeSplitter:
    """Tells the bytes of an HTTP request with an ``Upgrade`` header from those of the stream that follows. No I/O.

    Only a head that arrives in one piece is looked at: a client that sends it in several has not sent the stream yet.
    """

    def __init__(self) -> None:
        self.early = bytearray()
        self.upgrading = False
        self._body_left = 0

    def feed(self, data: bytes) -> bytes:
        """Return what of ``data`` is HTTP; the rest is added to ``early``."""
        if not self.upgrading:
            end = data.find(_HEAD_END)
            if end < 0:
                return data
            head = data[:end].lower()
            if b"\r\nupgrade:" not in head or _WEBSOCKET.search(head):
                return data  # a WebSocket client sends nothing until it is answered, and aiohttp speaks its protocol
            self.upgrading = True
            end += len(_HEAD_END)
            self._body_left = _content_length(head)
            return data[:end] + self._split_body(data[end:])
        return self._split_body(data)

    def _split_body(self, data: bytes) -> bytes:
        body = data[: self._body_left]
        self._body_left -= len(body)
        self.early += data[len(body) :]
        return body


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    value = rest.partition(b"\r\n")[0].strip()
    # A length that is no number is the HTTP parser's to refuse.
    return int(value) if found and value.isdigit() and len(value) < 16 else 0


class Connection(web.RequestHandler):
    """A connection between requests and in them; `hijack.take_over` replaces it for raw streams."""

    def __init__(self, manager: "ConnectionManager", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.splitter = UpgradeSplitter()
        self.ended = False
        self.on_lost: Callable[[], object] | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        http = self.splitter.feed(data) if data else data
        if http or not data:
            super().data_received(http)
        if len(self.splitter.early) > _MAX_EARLY and self.transport is not None:
            self.transport.pause_reading()
        self._watch_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's says None; asyncio's contract is a bool
        """A half-close ends the connection, unless it is a stream about to be hijacked."""
        self.ended = True
        return self.splitter.upgrading

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: a streaming handler has nobody to talk to."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)

    def wind_up(self) -> None:
        """The server stops: only a change under way is worth waiting for; streams have no end of their own."""
        if self.on_lost is not None:
            self.on_lost()
        elif self._current_request is None:
            self.force_close()

    def _watch_head(self) -> None:
        waiting_for_head = self._current_request is None and not self._messages
        if waiting_for_head and self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self.force_close)
        elif not waiting_for_head and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or a fault that no route caught, in the API's own form."""
        text = one_line(message or "internal error: see the engine's log")
        if status >= 500 and not isinstance(exc, ConnectionError):  # a client that went away is no fault
            self.log_exception("request failed", exc_info=exc)
        body = json.dumps({"message": f"bad request: {text}" if status == 400 else text}).encode()
        response = web.Response(status=status, body=body, content_type="application/json")
        response.force_close()
        return response


class ConnectionManager(web.Server):
    """Makes a `Connection` of every accepted socket and ends them together."""

    def __call__(self) -> Connection:
        """The protocol factory that asyncio's servers want."""
        return Connection(self, loop=self._loop, **self._kwargs)
