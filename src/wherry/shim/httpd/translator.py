"""The process that speaks TLS with clients and hands on what they say: for each it has a connection to the server, so
that limits, deadlines, log and drain are the server's as ever.

It has its own loop and no guest's code; what a client may do to it, it does to itself and to others of its kind.
"""

from __future__ import annotations

import _socket
import asyncio
import marshal
import socket
import ssl
import struct

from wherry.record import Record
from wherry.shim.httpd.exchange import STALL
from wherry.shim.httpd.log import Log
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

_INT = struct.Struct("i")
ANCILLARY = _socket.CMSG_SPACE(_INT.size)
MOST_MESSAGE = 128 << 10
_HANDSHAKE = 10.0
"""Seconds for a client to agree on TLS."""
_GOODBYE = 2.0
"""Seconds for it to end that."""
_MOST_CLIENTS = 1024
_READ = 64 << 10
_TRIES = 200
_PAUSE = 0.01


def with_descriptor(message: bytes, fd: int) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    """The arguments of a socket's sendmsg."""
    return [message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _INT.pack(fd))]


class Pipe(Record):
    """A connection: of the client's, or to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes, patience: float | None = STALL) -> None:
        """Send it and wait until that is on its way. TimeoutError, OSError: nobody takes it, for ``patience`` seconds,
        or for good."""
        self.writer.write(data)
        async with asyncio.timeout(patience):
            await self.writer.drain()

    async def close(self) -> None:
        """Once all that was written has gone, or will not go any more."""
        self.writer.close()
        try:
            async with asyncio.timeout(STALL):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            self.writer.transport.abort()


class Client(Record):
    """Who is spoken with."""

    peer: str
    port: int
    pipe: Pipe


class Translator:
    """``context`` has the certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._log = Log()
        self._clients = 0
        self._draining = asyncio.Event()

    def run(self, line: int) -> None:
        """Until the server has no more for it, and all is done."""
        self._line = socket.socket(fileno=line)
        self._line.setblocking(False)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            loop.add_reader(self._line, self._take, group)
            await self._draining.wait()
            loop.remove_reader(self._line)

    def _take(self, group: asyncio.TaskGroup) -> None:
        try:
            message, ancillary, _, _ = self._line.recvmsg(MOST_MESSAGE, ANCILLARY)
        except BlockingIOError:
            return
        if not message:
            self._draining.set()
            return
        made = socket.socket(fileno=_INT.unpack(ancillary[0][2])[0])
        made.setblocking(False)
        if self._clients >= _MOST_CLIENTS:
            made.close()
            self._log.note(f"a client is turned away: {_MOST_CLIENTS} speak TLS")
            return
        self._clients += 1
        group.create_task(self._attend(made, *marshal.loads(message)))

    async def _attend(self, made: socket.socket, peer: str, port: int, beginning: bytes) -> None:
        try:
            try:
                pipe = await self._open(made, beginning)
            except (OSError, TimeoutError) as error:
                made.close()
                self._log.note(f"{peer} does not speak TLS: {getattr(error, 'reason', '') or error}")
                return
            await self._speak(Client(peer, port, pipe))
        # A fault of ours in one connection is that connection's alone.
        except Exception as error:  # noqa: BLE001
            self._log.note(f"a connection from {peer} is closed: {type(error).__name__}: {error}")
        finally:
            self._clients -= 1

    async def _open(self, made: socket.socket, beginning: bytes) -> Pipe:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_READ)
        reader.feed_data(beginning)
        protocol = asyncio.StreamReaderProtocol(reader)
        times: dict[str, Any] = {"ssl_handshake_timeout": _HANDSHAKE, "ssl_shutdown_timeout": _GOODBYE}
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, made, ssl=self._context, **times)
        return Pipe(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _speak(self, client: Client) -> None:
        with suppress(OSError, TimeoutError):  # it is gone: so is what was made for it
            await self._relay(client)
        await client.pipe.close()

    async def _relay(self, client: Client) -> None:
        """HTTP/1.1 as it is."""
        inner = await self._connect(client)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_ask(client.pipe, inner))
                with suppress(OSError, TimeoutError):
                    await _copy(inner, client.pipe, STALL)
                up.cancel()
        finally:
            inner.writer.transport.abort()

    async def _connect(self, client: Client) -> Pipe:
        """A connection to the server. OSError: it takes none."""
        ours, theirs = socket.socketpair()
        message = marshal.dumps((client.peer, client.port))
        try:
            for _ in range(_TRIES):
                with suppress(BlockingIOError):
                    self._line.sendmsg(*with_descriptor(message, theirs.fileno()))
                    break
                await asyncio.sleep(_PAUSE)
            else:
                raise BlockingIOError
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return Pipe(*await asyncio.open_connection(sock=ours, limit=_READ))


async def _ask(client: Pipe, inner: Pipe) -> None:
    """All that a client says. Its end is the end of that: it may have an answer yet."""
    with suppress(OSError):
        await _copy(client, inner, None)
        inner.writer.write_eof()


async def _copy(source: Pipe, target: Pipe, patience: float | None) -> None:
    """All that comes. OSError, TimeoutError: nobody takes it."""
    while data := await source.reader.read(_READ):
        await target.send(data, patience)
