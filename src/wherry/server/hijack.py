"""Raw duplex streams on a connection that began as HTTP: `docker attach` and `docker exec`.

The client's ``Upgrade: tcp`` is answered with 101, an older client's plain POST with 200; from then on the socket
belongs to the process's stdio. Without a terminal the output is framed (see wire/stdcopy).
Source: Docker Engine API, "Attach to a container", Hijacking and Stream format.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import termios
from collections import deque
from typing import Any, cast

from aiohttp import web

from wherry.engine.attach import AttachSession
from wherry.errors import Unavailable, WherryError
from wherry.server.call import HEADERS, Call
from wherry.server.connection import Connection
from wherry.server.versions import ApiVersion
from wherry.wire import stdcopy

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
_SINCE_MULTIPLEXED = ApiVersion(1, 42)
_HIGH_WATER = 256 * 1024
_LONGEST_LOOK = 1.0
"""Seconds that a client may take to read the head before output follows it all the same."""
_TCP_PAUSE = 0.01

log = logging.getLogger(__name__)


def stream_type(version: ApiVersion, *, tty: bool) -> str:
    """The content type of a stream of stdio: before 1.42 framed streams were called raw as well."""
    return MULTIPLEXED_STREAM if not tty and version >= _SINCE_MULTIPLEXED else RAW_STREAM


class Duplex(asyncio.Protocol):
    """The hijacked socket: bytes both ways with flow control, either direction may end before the other."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        early = bytes(connection.splitter.early)
        self._incoming: deque[bytes] = deque([early] if early else [])
        self._held = len(early)
        self._ended = connection.ended
        self._lost = transport.is_closing()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._incoming.append(data)
        self._held += len(data)
        if self._held > _HIGH_WATER:
            self._transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._readable.set()
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        self._readable.set()
        self._writable.set()
        self._connection.connection_lost(exc)

    async def read(self) -> bytes:
        """What the client sent since; b"" once it will send no more."""
        while not self._incoming:
            if self._ended:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = b"".join(self._incoming)
        self._incoming.clear()
        self._held = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read. Unavailable: it is gone."""
        self._transport.write(data)
        await self._writable.wait()
        if self._lost:
            raise Unavailable("the client is gone")

    async def head_read(self) -> None:
        """Return once the client has read what was sent: the head, by itself.

        docker-py reads the head through a buffer that it then throws away: output that came with it would be lost.
        A unix socket tells what its other end has not read; of TCP only the kernel's receipt is known.
        """
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            await asyncio.sleep(_TCP_PAUSE)
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST_LOOK
        pause = 0.0
        while not self._lost and _unread(sock) and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause + 0.0001, 0.002)

    def close(self) -> None:
        """Send what is still to be sent, then close."""
        self._transport.close()


def _unread(sock: socket.socket) -> int:
    """Bytes (of buffers) that were sent and not yet read by the other end of a unix socket."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    except OSError:
        return 0  # it is closed
    return int(count)


class _Hijacked(web.StreamResponse):
    """What the handler returns when the socket is no longer aiohttp's: there is nothing to be sent."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


async def take_over(call: Call, session: AttachSession) -> web.StreamResponse:
    """Answer 101 (or 200) and join the client with ``session`` until either ends; closes both."""
    connection = cast("Connection", call.request.protocol)
    transport = call.request.transport
    response = _Hijacked()
    response.force_close()
    if transport is None:
        await session.aclose()
        return response
    transport.write(_head(call, stream_type(call.version, tty=session.tty)))
    duplex = Duplex(connection, transport)
    transport.set_protocol(duplex)
    task = asyncio.current_task()
    assert task is not None, "a handler runs in a task"
    connection.on_lost = task.cancel
    try:
        await _join(duplex, session)
    except WherryError as error:
        log.debug("a hijacked stream ended: %s", error)  # no answer can tell it any more
    finally:
        connection.on_lost = None
        duplex.close()
    return response


def _head(call: Call, content_type: str) -> bytes:
    upgrade = call.request.headers.get("Upgrade")
    lines = ["HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK", f"Content-Type: {content_type}"]
    if upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _join(duplex: Duplex, session: AttachSession) -> None:
    feeder = asyncio.create_task(_feed(duplex, session))
    try:
        raw = session.tty
        await duplex.head_read()
        async for stream, data in session.output():
            await duplex.write(data if raw else stdcopy.encode(stdcopy.STREAMS[stream], data))
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        await session.aclose()


async def _feed(duplex: Duplex, session: AttachSession) -> None:
    try:
        while data := await duplex.read():
            await session.write(data)
        await session.close_stdin()
    except WherryError as error:
        # A process that ended takes no more input; its output tells when the stream is over.
        log.debug("stdin was not taken: %s", error)
