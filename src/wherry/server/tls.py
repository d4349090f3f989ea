"""TLS before the API: each connection is deciphered here and carried on to the server through a socket pair.

asyncio's own TLS closes a connection as soon as the other side says that it will send no more; `echo x | docker run -i`
says that and then waits for output. Here each direction ends by itself, as over a plain socket.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from wherry.server.hijack import LOOK, hung_up

HANDSHAKE_TIMEOUT = 10.0
"""Seconds."""
_PIECE = 64 * 1024
_BACKLOG = 1024

_NO_TLS = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)
"""What clients that were given no certificates show to their users; Go's servers say it so."""

log = logging.getLogger(__name__)


class TlsFront:
    """``async with TlsFront(sock, context, protocol):`` serves ``sock``; leaving it ends every connection."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._sock = sock
        self._context = context
        self._protocol = protocol
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, sock=self._sock, backlog=_BACKLOG)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(_Tls(self._context, reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: "_Tls") -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await client.handshake()
            ours, servers = socket.socketpair()
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, servers)
            await _carry(client, *await asyncio.open_unix_connection(sock=ours))
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                with contextlib.suppress(OSError):
                    await client.say(_NO_TLS)
            log.debug("a TLS connection was refused: %s", error.reason or error)
        except TimeoutError as error:
            log.debug("a TLS connection was refused: %s", error)
        except OSError as error:
            log.debug("a TLS connection broke: %s", error)
        finally:
            client.close()


async def _carry(client: "_Tls", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways, until the server has closed its end."""

    async def inward() -> None:
        try:
            while data := await client.read():
                writer.write(data)
                await writer.drain()
            writer.write_eof()
            while not hung_up(client.sock):
                await asyncio.sleep(LOOK)
            writer.close()
        except OSError as error:
            log.debug("a TLS client is gone: %s", error)
            writer.close()  # the server sees that it is

    task = asyncio.create_task(inward())
    try:
        while data := await reader.read(_PIECE):
            await client.write(data)
        await client.end()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()


class _Tls:
    """A server's end of TLS over a stream. Reading and writing may go on at the same time."""

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._reader = reader
        self._writer = writer

    @property
    def sock(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found

    async def handshake(self) -> None:
        """ssl.SSLError: the client has no certificate that counts, or speaks no TLS; it is told as TLS tells it."""
        try:
            await self._reading(self._tls.do_handshake)
        finally:
            await self._flush()

    async def read(self) -> bytes:
        """The next bytes; b"" once the client will send no more, whether it said so or is gone. OSError."""
        try:
            return await self._reading(lambda: self._tls.read(_PIECE))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read. OSError: it is gone."""
        self._tls.write(data)
        await self._flush()

    async def end(self) -> None:
        """Say that no more will be sent. OSError."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the client to say the same, which we do not
        await self._flush()

    async def say(self, plain: bytes) -> None:
        """Send that as it is, to one who does not speak TLS. OSError: it is gone."""
        self._writer.write(plain)
        await self._writer.drain()

    def close(self) -> None:
        """Idempotent."""
        self._writer.close()

    async def _reading(self, step: "Callable[[], bytes] | Callable[[], None]") -> bytes:
        while True:
            try:
                return step() or b""
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(_PIECE)
                self._incoming.write(data) if data else self._incoming.write_eof()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self._writer.write(data)
            await self._writer.drain()
