"""The resolver that containers of one another's network find each other by: sockets on one side, names on the other.

It answers from what it is told of names, and passes everything else on to the host's own resolvers, from the host's
network. One `Resolver` serves one container, at sockets that were opened in its namespace. See wire/dns.py for the
messages.
"""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

from wherry.core.networks.network import Names
from wherry.errors import InvalidArgument
from wherry.wire import dns

ADDRESS: Final = "127.0.0.11"
"""Where docker's answers, and so what programs expect."""
TTL: Final = 600
_PORT: Final = 53
_PATIENCE: Final = 3.0
"""Seconds that one of the host's resolvers gets."""
_IDLE: Final = 30.0
_MOST_AT_A_TIME: Final = 256


def open_sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket at `ADDRESS` of the calling thread's network, at free ports. OSError."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.bind((ADDRESS, 0))
        tcp.bind((ADDRESS, 0))
        tcp.listen(16)
    except BaseException:
        udp.close()
        tcp.close()
        raise
    return udp, tcp


def rules(udp_port: int, tcp_port: int, *, again: bool) -> bytes:
    """For iptables-restore --noflush: port 53 of `ADDRESS` is where the sockets are, so that a container can have a
    name server of its own at port 53. ``again``: the way to the chain is there, only the ports are new."""
    chain = "WHERRY-DNS"
    to = f"-A {chain} -d {ADDRESS}/32 -p {{0}} -m {{0}} --dport {_PORT} -j DNAT --to-destination {ADDRESS}:{{1}}"
    lines = ["*nat", f":{chain} - [0:0]", to.format("udp", udp_port), to.format("tcp", tcp_port)]
    if not again:
        lines.append(f"-A OUTPUT -d {ADDRESS}/32 -j {chain}")
    return "\n".join([*lines, "COMMIT", ""]).encode()


class Resolver:
    """Answers from ``names``."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer at these sockets until `close`."""
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._take), sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)

    async def close(self) -> None:
        """Let go of the sockets. Idempotent."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, data: bytes, sender: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        """What is known is answered at once; who floods is not heard."""
        known = self.known(data)
        if known is not None:
            transport.sendto(_cut(data, known), sender)
        elif len(self._tasks) < _MOST_AT_A_TIME:
            self._spawn(self._pass_on(data, lambda message: transport.sendto(message, sender)))

    async def _pass_on(self, data: bytes, send: Callable[[bytes], None]) -> None:
        message = await self.forward(data, stream=False)
        if message:
            send(message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: messages with their lengths before them (RFC 1035 section 4.2.2)."""
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _MOST_AT_A_TIME:
            writer.close()
            return
        self._tasks.add(task)
        try:
            async with asyncio.timeout(_IDLE):
                while True:
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    data = await reader.readexactly(size)
                    message = self.known(data)
                    if message is None:
                        message = await self.forward(data, stream=True)
                    if not message:
                        return
                    writer.write(struct.pack("!H", len(message)) + message)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    def known(self, data: bytes) -> bytes | None:
        """The answer to what can be answered here, also by a refusal; None when others are to be asked."""
        try:
            query = dns.parse(data)
        except InvalidArgument:
            return dns.failure(data, dns.FORMERR)
        if query.type == dns.PTR:
            name = self._names.name_of(dns.reversed_address(query.name))
            return dns.answer(query, [dns.ptr_record(name)], ttl=TTL) if name else None
        addresses = self._names.addresses(query.name)
        if addresses is None:
            return None
        records = [dns.address_record(address) for address in addresses]
        return dns.answer(query, [record for record in records if record[0] == query.type], ttl=TTL)

    async def forward(self, data: bytes, *, stream: bool) -> bytes:
        """What the first of the host's resolvers that answers says, or that nobody does."""
        for server in self._names.servers():
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_PATIENCE):
                    return await (_ask_stream if stream else _ask)(server, data)
        return dns.failure(data, dns.SERVFAIL)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[str, int], asyncio.DatagramTransport], None]) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr, self._transport)

    def error_received(self, exc: Exception) -> None:
        """Whoever asked has gone: there is nobody to be told."""


def _cut(data: bytes, message: bytes) -> bytes:
    try:
        return dns.fitted(message, dns.parse(data))
    except InvalidArgument:
        return message


async def _ask(server: str, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ipaddress.ip_address(server.partition("%")[0]).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        await loop.sock_connect(sock, (server, _PORT))
        await loop.sock_sendall(sock, data)
        while True:
            message = await loop.sock_recv(sock, dns.LONGEST)
            if message[:2] == data[:2]:
                return message


async def _ask_stream(server: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, _PORT)
    try:
        writer.write(struct.pack("!H", len(data)) + data)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(size)
    finally:
        writer.close()
