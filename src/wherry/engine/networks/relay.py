"""Published ports that no rule of the kernel turns to the container: who connects is connected on, byte by byte.

That is what IPv6 addresses of the host need where the container has IPv4 alone, as docker's proxy does it: the
container sees its network's gateway as its client. A relay lives as long as the socket it was given, in this process.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Target = tuple[str, int]
_MOST_CLIENTS: Final = 1024
"""Of one UDP port at a time; who comes then is not heard until one has been silent for `_SILENT`."""
_SILENT: Final = 90.0
"""Seconds after which a UDP client is forgotten, as docker's proxy has it."""
_PATIENCE: Final = 10.0
"""Seconds that a container has to accept a connection."""
_BACKLOG: Final = 128
_AGAIN: Final = 0.1
"""Seconds until clients are accepted again when there are no descriptors left."""


class TcpRelay:
    """Accepts at ``sock``, a bound TCP socket, until `close`; ``spawn`` owns what connects to ``target`` meanwhile."""

    def __init__(self, sock: socket.socket, target: Target, spawn: Spawn) -> None:
        self._sock = sock
        self._target = target
        self._spawn = spawn
        self._open: set[asyncio.Transport] = set()
        self._closed = False
        self._resume: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(sock, self._accept)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # out of descriptors: clients wait in the backlog meanwhile
            loop.remove_reader(self._sock)
            self._resume = loop.call_later(_AGAIN, loop.add_reader, self._sock, self._accept)
            return
        client.setblocking(False)
        self._spawn(self._connect(client))

    async def _connect(self, client: socket.socket) -> None:
        """Both ends are joined, or the client is let go, as by a port that nobody listens at."""
        loop = asyncio.get_running_loop()
        here, there = _End(self._open), _End(self._open)
        here.other, there.other = there, here
        try:
            async with asyncio.timeout(_PATIENCE):
                await loop.create_connection(lambda: there, *self._target)
                await loop.connect_accepted_socket(lambda: here, client)
        except OSError:  # TimeoutError is one
            here.lose()
            there.lose()
            _reset(client)
        if self._closed:
            here.lose()
            there.lose()

    def close(self) -> None:
        """Let go of the socket and of every connection. Twice is no error."""
        if self._closed:
            return
        self._closed = True
        if self._resume is not None:
            self._resume.cancel()
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        for transport in list(self._open):
            transport.abort()


class _End(asyncio.Protocol):
    """One end of a relayed connection; reads no faster than the other one writes."""

    def __init__(self, together: set[asyncio.Transport]) -> None:
        self.other = self
        self._together = together
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] = []
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._together.add(transport)
        # What the other end said before this one was there.
        for data in self._held:
            transport.write(data)
        self._held.clear()
        if self._ended:
            transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self.other.send(data)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._held.append(data)
        else:
            self._transport.write(data)

    def eof_received(self) -> bool:
        self.other.end()
        return True  # the other direction goes on

    def end(self) -> None:
        self._ended = True
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def pause_writing(self) -> None:
        if self.other._transport is not None:  # noqa: SLF001 - of its own kind
            self.other._transport.pause_reading()  # noqa: SLF001

    def resume_writing(self) -> None:
        if self.other._transport is not None:  # noqa: SLF001
            self.other._transport.resume_reading()  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._together.discard(self._transport)
            self._transport = None
        if exc is not None:
            self.other.lose()
        else:
            self.other.finish()

    def finish(self) -> None:
        """The other end has gone in good order: so does this one, once all is written."""
        if self._transport is not None:
            self._transport.close()

    def lose(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class UdpRelay:
    """Passes datagrams on from ``sock``, a bound UDP socket, until `close`: for each client by a socket of its own."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self._sock = sock
        self._target = target
        self._clients: dict[Any, tuple[socket.socket, asyncio.TimerHandle]] = {}
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._take)

    def _take(self) -> None:
        with contextlib.suppress(OSError):  # nothing there after all, or the container has nobody listening
            data, client = self._sock.recvfrom(1 << 16)
            known = self._clients.get(client)
            if known is None and len(self._clients) >= _MOST_CLIENTS:
                return
            out = self._new(client) if known is None else known[0]
            self._heard(client, out)
            out.send(data)

    def _new(self, client: Any) -> socket.socket:
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            out.connect(self._target)
        except BaseException:
            out.close()
            raise
        asyncio.get_running_loop().add_reader(out, self._answer, client, out)
        return out

    def _answer(self, client: Any, out: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendto(out.recv(1 << 16), client)
            self._heard(client, out)

    def _heard(self, client: Any, out: socket.socket) -> None:
        """It is forgotten later than was meant."""
        loop = asyncio.get_running_loop()
        known = self._clients.get(client)
        if known is not None:
            known[1].cancel()
        self._clients[client] = out, loop.call_later(_SILENT, self._forget, client)

    def _forget(self, client: Any) -> None:
        out, timer = self._clients.pop(client)
        timer.cancel()
        asyncio.get_running_loop().remove_reader(out)
        out.close()

    def close(self) -> None:
        """Let go of all sockets."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        for client in list(self._clients):
            self._forget(client)
