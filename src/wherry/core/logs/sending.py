"""The syslog driver: output is sent elsewhere line by line, and kept beside it, so that it can be read back."""

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from wherry.core.logs.lines import Splitter
from wherry.core.logs.log import Log, LogEntry
from wherry.core.logs.syslog import Target
from wherry.errors import Unavailable, WherryError

_PATIENCE: Final = 5.0
"""Seconds for a connection, and for a server that does not take what it is sent."""
_RETRY: Final = 5.0
"""Seconds after a failure in which nothing is tried: what comes then is lost to the server, not to `logs`."""
_FAREWELL: Final = 0.5
"""Seconds that a server has to end TLS as well."""


class SyslogLog:
    """See the contract. What is written goes to ``kept`` first; `read` reads that. A server that is away loses lines,
    and holds the container up for no more than `_PATIENCE` of every `_RETRY` seconds."""

    def __init__(self, target: Target, kept: Log) -> None:
        self._kept = kept
        self._sender = Sender(target)
        self._splitters: dict[str, Splitter] = {}
        self._last = 0
        self._turn = asyncio.Lock()
        self._closed = False

    async def connect(self) -> None:
        """Unavailable: the server cannot be reached."""
        await asyncio.to_thread(self._sender.connect)

    def taken(self, stream: str) -> int | None:
        return self._kept.taken(stream)

    def begin(self) -> None:
        self._kept.begin()

    async def ready(self) -> None:
        await self._kept.ready()

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        async with self._turn:
            try:
                await self._kept.write(stream, time_ns, data)
            finally:
                self._last = time_ns
                lines = [(stream, line) for line in self._splitters.setdefault(stream, Splitter()).feed(data)]
                if lines:
                    await asyncio.to_thread(self._sender.send, time_ns, lines)

    def read(
        self, *, since: int = 0, until: int = 0, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[Sequence[LogEntry]]:
        return self._kept.read(since=since, until=until, tail=tail, follow=follow)

    async def aclose(self) -> None:
        async with self._turn:
            if self._closed:
                return
            self._closed = True
            await self._kept.aclose()
            rest = [(stream, line) for stream, found in self._splitters.items() for line in found.flush()]
            await asyncio.to_thread(self._finish, rest)

    def _finish(self, rest: list[tuple[str, bytes]]) -> None:
        with contextlib.suppress(WherryError):  # the end of the container is no time to fail
            if rest:
                self._sender.send(self._last, rest)
        self._sender.close()


class Sender:
    """A connection to a syslog server, made anew when it breaks. All calls block, for `_PATIENCE` seconds at most."""

    def __init__(self, target: Target, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._stream = False
        self._not_before = 0.0

    def connect(self) -> None:
        """Unavailable, worded as docker's."""
        with self._guard:
            self._connected()

    def send(self, time_ns: int, lines: list[tuple[str, bytes]]) -> None:
        """Send lines of the named streams; empty ones are left out, as docker does. Unavailable: they are lost."""
        hostname, pid = os.uname().nodename, os.getpid()
        bare = [(stream, line.removesuffix(b"\n")) for stream, line in lines]
        messages = [self._target.message(stream, time_ns, line, hostname, pid) for stream, line in bare if line]
        with self._guard:
            if messages and self._monotonic() >= self._not_before:
                self._deliver(messages)

    def close(self) -> None:
        """Twice is no error."""
        with self._guard:
            self._drop()

    def _deliver(self, messages: list[bytes]) -> None:
        if self._socket is not None:
            try:
                self._pass(self._socket, messages)
                return
            except OSError:  # it was restarted, perhaps: once more on a new connection
                self._drop()
        try:
            self._pass(self._connected(), messages)
        except OSError as error:
            self._drop()
            self._not_before = self._monotonic() + _RETRY
            raise self._unreachable(error) from None
        except Unavailable:
            self._not_before = self._monotonic() + _RETRY
            raise

    def _pass(self, sock: socket.socket, messages: list[bytes]) -> None:
        if self._stream:
            sock.sendall(b"".join(messages))
            return
        for message in messages:
            sock.send(message)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            try:
                self._socket = self._made()
            except OSError as error:
                raise self._unreachable(error) from None
            self._stream = self._socket.type == socket.SOCK_STREAM
        return self._socket

    def _made(self) -> socket.socket:
        target = self._target
        if target.scheme == "tcp":
            return socket.create_connection((target.host, target.port), timeout=_PATIENCE)
        if target.secure:
            return _ciphered(socket.create_connection((target.host, target.port), timeout=_PATIENCE), target)
        if target.scheme == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)[0]
            return _to(socket.socket(family, kind, protocol), address)
        if not stat.S_ISSOCK(os.stat(target.path).st_mode):
            raise ConnectionRefusedError("it is no socket")
        if target.scheme == "unix":
            return _to(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), target.path)
        return _to(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), target.path)

    def _drop(self) -> None:
        if self._socket is not None:
            if isinstance(self._socket, ssl.SSLSocket):
                _goodbye(self._socket)
            self._socket.close()
            self._socket = None

    def _unreachable(self, error: OSError) -> Unavailable:
        reason = error.strerror or str(error) or type(error).__name__
        return Unavailable(f"failed to initialize logging driver: dial {self._target}: connect: {reason.lower()}")


def _ciphered(plain: socket.socket, target: Target) -> ssl.SSLSocket:
    """TLS over it. OSError, which that of TLS and of missing files is too; then it is closed."""
    try:
        context = ssl.create_default_context(cafile=target.tls.ca or None)
        if not target.tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if target.tls.cert:
            context.load_cert_chain(target.tls.cert, target.tls.key or None, password=_no_password)
        return context.wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def _no_password() -> str:
    """Nobody is there to type it."""
    raise OSError("the key has a passphrase")


def _goodbye(sock: ssl.SSLSocket) -> None:
    """TLS's own end. What the server sent is read by that: if it were not, the kernel would tear the connection down,
    and with it what the server has not read yet."""
    with contextlib.suppress(OSError, ValueError):
        sock.settimeout(_FAREWELL)
        sock.unwrap()


def _to(sock: socket.socket, address: object) -> socket.socket:
    sock.settimeout(_PATIENCE)
    try:
        sock.connect(address)  # type: ignore[arg-type]  # what an address is depends on the family
    except BaseException:
        sock.close()
        raise
    return sock
