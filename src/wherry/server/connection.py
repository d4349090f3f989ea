"""One client's connection: requests come off it one after another, each is answered before the next is looked at.

- Bytes that follow a request which is under way are kept: of a hijacked stream they are the beginning, else they are
  the next request.
- A head that stops halfway is cut after a while; a request that is no HTTP gets a JSON answer.
- A streaming handler is cancelled when its client goes; one that changes things runs to its end.
- A client that says it will send no more (a half-close) is answered all the same: every request that is whole, and a
  part of one with an error. What waits for others gives up then: see heed.py.

Heads are read by wire/http1.py, bodies by request.py, what is answered is the handler's affair.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from wherry.errors import InvalidArgument
from wherry.server.request import Incoming, Request
from wherry.server.response import Hijacked, Response
from wherry.wire.http1 import CONTINUE, BadRequest, HeadReader, RequestHead, answer_head, find_end, http_date
from wherry.wire.memo import remembering

HEAD_TIMEOUT = 30.0
"""Seconds that a request's head may take."""
IDLE_TIMEOUT: Final = 600.0
"""Seconds after which a connection without a request is closed."""
LINGER = 5.0
"""Seconds for which the rest of a refused body is read and dropped, so that the client gets to see the answer."""
LONGEST_TARGET: Final = 256 << 10
"""Bytes: a build's arguments and labels all lie in its query."""
LONGEST_HEADER: Final = 512 << 10
"""Bytes: logins and a build's secrets lie there."""
_SWEEP: Final = 60.0
_GONE: Final = "the client is gone"
_NO_MORE: Final = "the client closed its side of the connection"

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """A connection between requests and in them; `hijack.take_over` replaces it for raw streams."""

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._beginning = b""
        self._head_timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self.task: asyncio.Task[None] | None = None
        self.since = 0.0
        self.ended = False
        self.on_lost: Callable[[], object] | None = None
        self.on_ended: Callable[[], object] | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """ConnectionError: the client is gone."""
        if self._transport is None:
            raise ConnectionResetError(_GONE)
        return self._transport

    @property
    def idle(self) -> bool:
        """Nobody asks anything."""
        return self.task is None

    @property
    def deserted(self) -> bool:
        """The client will send no more, and nobody reads what it may have sent of a body: whether it is still there can
        only be seen by writing."""
        return self.ended and (self._request is None or self._request.body.settled)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        if self._request is None:
            self._next(self._beginning + data if self._beginning else data)
            return
        self._request.body.feed(data)
        if self._request.body.full and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client will send no more: the connection ends when all that it asked has been answered."""
        self.ended = True
        if self._request is None:
            self._end()
        else:
            self._request.body.cut(_NO_MORE)
            self._tell_ended()
        return True

    def _tell_ended(self) -> None:
        if self.on_ended is not None and self.deserted:
            told, self.on_ended = self.on_ended, None
            told()

    def _end(self) -> None:
        """Nothing is under way and nothing more will come."""
        if self._beginning and not self.transport.is_closing():
            self._refuse(BadRequest(400, f"the request is not whole: {_NO_MORE}"))
        self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: a streaming handler has nobody to talk to."""
        self._transport = None
        self._stop_timer()
        self.resume_writing()
        if self._request is not None:
            self._request.body.cut(_GONE)
        if self.on_lost is not None:
            self.on_lost()
        if self.idle:
            self._connections.discard(self)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def send(self, data: bytes) -> None:
        """Send; waits while the client does not read. ConnectionError: it is gone."""
        transport = self.transport
        if transport.is_closing():
            raise ConnectionResetError(_GONE)
        transport.write(data)
        if self._writable is not None:
            await self._writable

    def close(self) -> None:
        """Send what is still to be sent, then close. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    def wind_up(self) -> None:
        """The server stops: only a change under way is worth waiting for; streams have no end of their own."""
        if self.on_lost is not None:
            self.on_lost()
        elif self.idle:
            self.close()

    def _next(self, data: bytes) -> None:
        """What came since the last request: the next one, once its head is whole."""
        data = data.lstrip(b"\r\n")
        try:
            end = find_end(data, LONGEST_TARGET, LONGEST_HEADER)
            head = self._connections.read_head(data[:end]) if end else None
        except BadRequest as error:
            self._refuse(error)
            return
        self._beginning = b"" if head else data
        self._watch_head()
        if head is not None:
            self._begin(head, data[end:])

    def _begin(self, head: RequestHead, beginning: bytes) -> None:
        proceed = self._proceed if head.expects else _nothing
        self._request = Request(head, Incoming(head.length, beginning, proceed, self._relieved), self)
        self.task = asyncio.get_running_loop().create_task(self._serve(self._request))

    def _proceed(self) -> None:
        """The client may send the body: it asked first."""
        if self._transport is not None and self._request is not None and not self._request.begun:
            self._transport.write(CONTINUE)

    def _relieved(self) -> None:
        if self._paused and self._request is not None and not self._request.body.full:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        self._tell_ended()

    def _watch_head(self) -> None:
        """A head that began shall be whole in time."""
        if not self._beginning:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: BadRequest) -> None:
        """What is no HTTP is told so in the API's own form; nothing else it sends is looked at."""
        body = json.dumps({"message": f"bad request: {error}"}).encode()
        fields = (("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close"))
        self.transport.write(answer_head(error.status, "", fields, http_date(time.gmtime())) + body)
        self.close()

    async def _serve(self, request: Request) -> None:
        """One request, to the end of its answer."""
        keep = False
        try:
            response = await self._connections.handler(request)
            await response.finish(request)
            if isinstance(response, Hijacked):
                return
            closes = response.closes or not request.head.keep or self._connections.stopping
            keep = await self._rest_read(request) and not closes
        except ConnectionError:
            log.debug("the client of %s %s went away", request.method, request.path)
        except Exception:  # a fault of ours costs this connection, and the log has the traceback
            log.exception("%s %s failed", request.method, request.path)
        finally:
            self._over(request, keep=keep)

    async def _rest_read(self, request: Request) -> bool:
        """Whether the body came to its end; what its handler left of it is dropped."""
        body = request.body
        try:
            if body.done or (not body.take() and body.done):
                return True
            if request.head.expects and not body.asked:
                return False  # it will not be sent
            async with asyncio.timeout(LINGER):
                while await body.read():
                    continue
        except (TimeoutError, InvalidArgument):
            return False
        return True

    def _over(self, request: Request, *, keep: bool) -> None:
        self._request = self.task = self.on_lost = self.on_ended = None
        if self._transport is None:
            self._connections.discard(self)
        elif not keep:
            self.close()
        elif not self._transport.is_closing():
            self.since = asyncio.get_running_loop().time()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            if rest := request.body.rest():
                self._next(rest)
            if self.ended and self.idle:
                self._end()


def _nothing() -> None:
    return


class Connections:
    """All of a server's; ``handler`` answers a request, and raises nothing but what a gone client does to it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.read_head = remembering(HeadReader(LONGEST_TARGET).read)
        self.stopping = False
        self._open: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_SWEEP, self._sweep)

    def __call__(self) -> Connection:
        """The protocol factory that asyncio's servers want."""
        return Connection(self)

    def add(self, connection: Connection) -> None:
        """One more; it is new or was used just now."""
        connection.since = self._loop.time()
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)

    def _sweep(self) -> None:
        """Close those that nobody used for long."""
        before = self._loop.time() - IDLE_TIMEOUT
        for connection in [found for found in self._open if found.idle and found.since < before]:
            connection.close()
        self._timer = self._loop.call_later(_SWEEP, self._sweep)

    async def stop(self, patience: float) -> None:
        """Close all; changes under way get ``patience`` seconds."""
        self.stopping = True
        self._timer.cancel()
        for connection in list(self._open):
            connection.wind_up()
        under_way = {found.task for found in self._open if found.task is not None}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._open):
            connection.close()
