"""Raw duplex streams on a connection that began as HTTP: `docker attach` and `docker exec`.

The client's ``Upgrade: tcp`` is answered with 101, an older client's plain POST with 200; from then on the socket
belongs to the process's stdio. Without a terminal the output is framed (see wire/stdcopy).
Source: Docker Engine API, "Attach to a container", Hijacking and Stream format.
"""

import asyncio
import fcntl
import logging
import select
import socket
import struct
import termios
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from wherry.engine.attach import AttachSession
from wherry.errors import Unavailable, WherryError
from wherry.server.call import HEADERS, Call
from wherry.server.request import HIGH_WATER, Origin
from wherry.server.response import Hijacked
from wherry.server.versions import ApiVersion
from wherry.wire import stdcopy

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
_SINCE_MULTIPLEXED = ApiVersion(1, 42)
_LONGEST_LOOK = 1.0
"""Seconds that a client may take to read the head before output follows it all the same."""
_LONGEST_READ = 0.25
"""The same, for output before it counts as heard all the same."""
_TCP_PAUSE = 0.01
"""Seconds in which a client on this machine has read the head, where it cannot be told whether it has."""
LOOK = 5.0
"""Seconds between two looks at whether a client that sends no more is there still."""

log = logging.getLogger(__name__)


def stream_type(version: ApiVersion, *, tty: bool) -> str:
    """The content type of a stream of stdio: before 1.42 framed streams were called raw as well."""
    return MULTIPLEXED_STREAM if not tty and version >= _SINCE_MULTIPLEXED else RAW_STREAM


class Duplex(asyncio.Protocol):
    """The hijacked socket: bytes both ways with flow control, either direction may end before the other."""

    def __init__(self, connection: Origin, early: bytes) -> None:
        self._connection = connection
        self._transport = transport = connection.transport
        self._incoming: deque[bytes] = deque([early] if early else [])
        self._held = len(early)
        self._deaf = False
        self._ended = connection.ended
        self._lost = transport.is_closing()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        transport.set_protocol(self)
        transport.resume_reading()
        if self._ended:
            self._look_later()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._incoming.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER:
            self._transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._readable.set()
        self._look_later()
        return True  # the other direction goes on

    def _look_later(self) -> None:
        """Whether a client that sends no more still reads, nobody tells before something is sent to it, which may be
        never: one has to look."""
        asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        if self._lost:
            return
        if hung_up(self._transport.get_extra_info("socket")):
            self._transport.abort()
        else:
            self._look_later()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        self._readable.set()
        self._writable.set()
        self._connection.connection_lost(exc)

    def ignore(self) -> None:
        """What the client sends is dropped from now on."""
        self._deaf = True

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
        if not self._transport.is_closing():
            self._transport.write(data)
            await self._writable.wait()
        if self._lost or self._transport.is_closing():
            raise Unavailable("the client is gone")

    async def head_read(self) -> None:
        """Return once the client has read what was sent: the head, by itself.

        docker-py reads the head through a buffer that it then throws away: output that came with it would be lost.
        A unix socket tells what its other end has not read; of TCP only the kernel's receipt is known.
        """
        if not await self.all_read(_LONGEST_LOOK):
            await asyncio.sleep(_TCP_PAUSE)

    async def all_read(self, longest: float) -> bool:
        """Return once the client has read all that was sent, or after ``longest`` seconds. False: it cannot be told."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return False
        loop = asyncio.get_running_loop()
        end = loop.time() + longest
        pause = 0.0
        while not self._lost and _unread(sock) and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause + 0.0001, 0.002)
        return True

    def close(self) -> None:
        """Send what is still to be sent, then close."""
        self._transport.close()


def hung_up(sock: socket.socket) -> bool:
    """Whether nobody is at the other end, for neither direction. Over TCP that shows when a keep-alive was refused."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return bool(poll.poll(0))


def _unread(sock: socket.socket) -> int:
    """Bytes (of buffers) that were sent and not yet read by the other end of a unix socket."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    except OSError:
        return 0  # it is closed
    return int(count)


@asynccontextmanager
async def hijacked(call: Call, head: Sequence[str]) -> AsyncIterator[Duplex]:
    """Answer with these lines and those of every answer; inside, the socket is the caller's, who is cancelled when the
    client goes. Closed in the end. ConnectionError: the client is gone already; InvalidArgument: its body broke off."""
    connection, body = call.request.connection, call.request.body
    while await body.read():
        continue
    lines = [*head, *(f"{name}: {value}" for name, value in HEADERS.items())]
    connection.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    call.request.begun = True
    duplex = Duplex(connection, body.rest())
    task = asyncio.current_task()
    assert task is not None, "a handler runs in a task"
    connection.on_lost = task.cancel
    try:
        yield duplex
    finally:
        connection.on_lost = None
        duplex.close()


async def take_over(call: Call, session: AttachSession) -> Hijacked:
    """Answer 101 (or 200) and join the client with ``session`` until either ends; closes both."""
    upgrades = call.request.upgrades
    head = ["HTTP/1.1 101 UPGRADED" if upgrades else "HTTP/1.1 200 OK"]
    head.append(f"Content-Type: {stream_type(call.version, tty=session.tty)}")
    if upgrades:
        head += ["Connection: Upgrade", "Upgrade: tcp"]
    try:
        async with hijacked(call, head) as duplex:
            await _join(duplex, session, by_itself=not upgrades)
    except WherryError as error:
        log.debug("a hijacked stream ended: %s", error)  # no answer can tell it any more
    finally:
        await session.aclose()
    return Hijacked(101 if upgrades else 200)


async def _join(duplex: Duplex, session: AttachSession, *, by_itself: bool) -> None:
    if not session.listens:
        duplex.ignore()
        await _carry(duplex, session, by_itself=by_itself)
        return
    feeder = asyncio.create_task(_feed(duplex, session))
    try:
        await _carry(duplex, session, by_itself=by_itself)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _carry(duplex: Duplex, session: AttachSession, *, by_itself: bool) -> None:
    """``by_itself``: a library of HTTP reads what it takes for an answer's body. Some, node's, come to that later than
    to the answer of `wait`, which their users take for the end of output; so it is not heard before it is read."""
    raw = session.tty
    await duplex.head_read()
    async for stream, data in session.output():
        await duplex.write(data if raw else stdcopy.encode(stdcopy.STREAMS[stream], data))
        if by_itself and session.told_all:
            await duplex.all_read(_LONGEST_READ)


async def _feed(duplex: Duplex, session: AttachSession) -> None:
    try:
        while data := await duplex.read():
            await session.write(data)
        await session.close_stdin()
    except WherryError as error:
        # A process that ended takes no more input; its output tells when the stream is over.
        log.debug("stdin was not taken: %s", error)
