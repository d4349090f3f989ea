"""Ports of IPv6 relayed to an IPv4 address: both ways, half-closed, refused, cut, silent clients forgotten."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from wherry.engine.networks.relay import TcpRelay, UdpRelay

LARGE = bytes(range(256)) * 8192  # 2 MiB


def bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, kind)
    sock.bind(("::1", 0))
    return sock


Made = Callable[[int], tuple[TcpRelay, int]]


@pytest.fixture
async def relay() -> AsyncIterator[Made]:
    """``relay(port)``: a relay to that port, and where it listens."""
    relays = []
    async with asyncio.TaskGroup() as group:

        def made(port: int) -> tuple[TcpRelay, int]:
            sock = bound(socket.SOCK_STREAM)
            number = sock.getsockname()[1]
            relays.append(TcpRelay(sock, ("127.0.0.1", port), group.create_task))
            return relays[-1], number

        yield made
        for one in relays:
            one.close()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when its client has said all."""
    data = await reader.read()
    writer.write(data.swapcase())
    await writer.drain()
    writer.close()


async def test_all_of_it_both_ways_after_a_half_close(relay: Made) -> None:
    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        _, number = relay(server.sockets[0].getsockname()[1])
        for said in (b"hello", LARGE, b""):
            reader, writer = await asyncio.open_connection("::1", number)
            writer.write(said)
            writer.write_eof()
            assert await reader.read() == said.swapcase()
            writer.close()
            await writer.wait_closed()


async def test_nobody_listens_in_the_container(relay: Made) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        _, number = relay(nobody.getsockname()[1])
        reader, writer = await asyncio.open_connection("::1", number)
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b"reset"
        writer.close()


async def test_its_end_cuts_connections(relay: Made) -> None:
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        made, number = relay(server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection("::1", number)
        writer.write(b"x")
        await accepted.wait()
        made.close()
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b"reset"
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("::1", number)


async def test_datagrams_find_their_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.engine.networks.relay._MOST_CLIENTS", 2)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        sock = bound(socket.SOCK_DGRAM)
        place = sock.getsockname()[:2]
        relay = UdpRelay(sock, server.getsockname())
        clients = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(3)]
        for number, client in enumerate(clients):
            client.connect(place)
            client.send(b"from %d" % number)
        heard = {}
        for _ in range(2):
            data, sender = await loop.sock_recvfrom(server, 100)
            heard[data] = sender
        assert set(heard) == {b"from 0", b"from 1"}, "the third has to wait"
        for data, sender in heard.items():
            server.sendto(b"answer " + data, sender)
        for number, client in enumerate(clients[:2]):
            assert await loop.sock_recv(client, 100) == b"answer from %d" % number
        relay.close()
        for client in clients:
            client.close()


async def test_a_silent_client_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.engine.networks.relay._SILENT", 0.01)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        sock = bound(socket.SOCK_DGRAM)
        relay = UdpRelay(sock, server.getsockname())
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.connect(sock.getsockname()[:2])
            senders = set()
            while len(senders) < 2:
                client.send(b"here")
                senders.add((await loop.sock_recvfrom(server, 100))[1])
                await asyncio.sleep(0.05)  # silence, several times as long as it is borne
        relay.close()
