"""The HTTP application: a request finds its route, errors become answers, listening sockets become connections."""

import asyncio
import itertools
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from wherry.errors import InvalidArgument, WherryError
from wherry.server.call import ApiRoute, Call, Course, answer, done
from wherry.server.connection import Connections
from wherry.server.door import Door
from wherry.server.errors import one_line, status_of
from wherry.server.metrics import Metrics
from wherry.server.query import Query
from wherry.server.request import Request
from wherry.server.response import Broken, Response
from wherry.server.router import Kind, Router
from wherry.server.tls import TlsFront
from wherry.server.versions import check_version, split_version

log = logging.getLogger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that requests under way get when the server stops."""
_BACKLOG = 1024
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""A client whose machine is gone says nothing any more: its stream of events would be kept for ever."""


class App:
    """Answers requests by a route table."""

    def __init__(self, routes: Iterable[ApiRoute], metrics: Metrics | None = None) -> None:
        self._router = Router(routes)
        self._metrics = metrics or Metrics()
        self._numbers = itertools.count(1)

    async def handle(self, request: Request) -> Response:
        """Answer one request. Never raises, but for the cancellation of a streaming answer nobody reads any more."""
        number, course = next(self._numbers), Course()
        began = time.monotonic()
        try:
            response = await self._route(request, number, course)
        except WherryError as error:
            response = _refuse(request, error)
        except (ConnectionError, asyncio.CancelledError):
            log.debug("request %d: %s %s: the client went away", number, request.method, request.path)
            self._count(request, course, 0, began)
            raise
        except Exception:  # the edge: whatever went wrong, the client gets one line and the log the traceback
            log.exception("request %d: %s %s failed", number, request.method, request.path)
            response = _fault(request, number)
        if request.upgrades:
            # An upgrade that no stream came of (HTTP/2's, say): what follows is not to be taken for requests.
            response.force_close()
        took = self._count(request, course, response.status, began)
        if log.isEnabledFor(logging.DEBUG):
            path, status = request.path, response.status
            log.debug("request %d: %s %s -> %d in %.2f ms", number, request.method, path, status, took * 1000)
        return response

    def _count(self, request: Request, course: Course, status: int, began: float) -> float:
        """The seconds that it took."""
        took = time.monotonic() - began
        self._metrics.answered(course.route, request.target, status, took, failed=course.failed)
        return took

    async def _route(self, request: Request, number: int, course: Course) -> Response:
        path, _, query = request.target.partition("?")
        if "%00" in path:
            raise InvalidArgument("invalid path: it has a NUL character")
        asked, path = split_version(path)
        version = check_version(asked)
        route, parameters = self._router.find(request.method, path)
        course.route = route
        call = Call(number, version, parameters, Query(query), request, course)
        if route.kind is not Kind.STREAM:
            return await route.handler(call)
        connection = request.connection
        task = asyncio.current_task()
        connection.on_lost = task.cancel if task is not None else None
        try:
            return await route.handler(call)
        finally:
            connection.on_lost = None


def _refuse(request: Request, error: WherryError) -> Response:
    status = status_of(error)
    response = done(status) if status == 304 else answer({"message": one_line(str(error))}, status)
    return _closing(request, response)


def _fault(request: Request, number: int) -> Response:
    message = f"internal error: this is a fault of wherry; its log tells more under request {number}"
    return _closing(request, answer({"message": message}, 500))


def _closing(request: Request, response: Response) -> Response:
    """A fault in the middle of an answer leaves nothing that the connection could go on with."""
    return Broken(response.status) if request.begun else response


class Server:
    """``async with Server(app, sockets):`` serves bound, listening-to-be sockets; leaving it stops in bounded time.

    With ``tls`` those that are no unix sockets speak TLS.
    """

    def __init__(self, app: App, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        self._app = app
        self._sockets = sockets
        self._tls = tls
        self._fronts = AsyncExitStack()
        self._connections: Connections | None = None
        self._servers: list[asyncio.Server | Door] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._connections = Connections(self._app.handle)
        for sock in self._sockets:
            if sock.family != socket.AF_UNIX:
                for level, option, value in _KEEP_ALIVE:  # what is accepted from it has them too
                    sock.setsockopt(level, option, value)
            if self._tls is not None and sock.family != socket.AF_UNIX:
                await self._fronts.enter_async_context(TlsFront(sock, self._tls, self._connections))
                continue
            if sock.family == socket.AF_UNIX:
                self._servers.append(Door(sock, self._connections, _BACKLOG))
            else:
                self._servers.append(await loop.create_server(self._connections, sock=sock, backlog=_BACKLOG))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connections is not None, "entered before"
        for server in self._servers:
            server.close()
        await self._connections.stop(STOP_TIMEOUT)
        await self._fronts.aclose()
