"""The resolver at real sockets: what it knows, what it passes on, and what it does with nonsense."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence

import pytest

from wherry.core.networks import dns as resolver_module
from wherry.core.networks.dns import Resolver, rules
from wherry.wire import dns


def question(name: str, kind: int = dns.A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, dns.IN)


class Few:
    """Driver of `Names`."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = servers

    def addresses(self, name: str) -> Sequence[str] | None:
        return {"web": ["10.0.0.2"], "many": [f"10.0.0.{n}" for n in range(60)]}.get(name)

    def name_of(self, address: str) -> str:
        return "web.front" if address == "10.0.0.2" else ""

    def servers(self) -> Sequence[str]:
        return self._servers


@pytest.fixture
async def ports() -> AsyncIterator[tuple[int, int]]:
    udp, tcp = resolver_module.open_sockets()
    resolver = Resolver(Few())
    await resolver.serve(udp, tcp)
    yield udp.getsockname()[1], tcp.getsockname()[1]
    await resolver.close()


def ask(port: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((resolver_module.ADDRESS, port))
        client.send(data)
        return client.recv(65535)


def flags_and_answers(message: bytes) -> tuple[int, int]:
    _, flags, _, answers, *_ = struct.unpack_from("!HHHHHH", message)
    return flags, answers


@pytest.mark.parametrize(
    ("data", "flags", "answers"),
    [
        (question("WEB"), 0x8180, 1),
        (question("web", dns.AAAA), 0x8180, 0),
        (question("2.0.0.10.in-addr.arpa", dns.PTR), 0x8180, 1),
        (question("many"), 0x8380, 0),
        (question("other"), 0x8180 | dns.SERVFAIL, 0),
        (b"\0\7nonsense", 0x8000 | dns.FORMERR, 0),
    ],
)
async def test_by_datagram(ports: tuple[int, int], data: bytes, flags: int, answers: int) -> None:
    assert flags_and_answers(await asyncio.to_thread(ask, ports[0], data)) == (flags, answers)


async def test_by_stream(ports: tuple[int, int]) -> None:
    reader, writer = await asyncio.open_connection(resolver_module.ADDRESS, ports[1])
    for name, answers in (("many", 60), ("web", 1)):
        data = question(name)
        writer.write(struct.pack("!H", len(data)) + data)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        assert flags_and_answers(await reader.readexactly(size)) == (0x8180, answers)
    writer.write(b"\0\1x")  # not even a number to answer to: the connection ends
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_others_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    class Upstream(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.append(data)
            self.transport.sendto(b"\0\0not ours", addr)
            self.transport.sendto(data[:2] + b"an answer", addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", 0))
    monkeypatch.setattr(resolver_module, "_PORT", transport.get_extra_info("sockname")[1])
    try:
        asked = question("elsewhere")
        assert await Resolver(Few(["127.0.0.1"])).forward(asked, stream=False) == b"\0\7an answer"
        assert heard == [asked]
    finally:
        transport.close()


def test_rules_send_port_53_to_the_sockets() -> None:
    text = rules(1000, 2000, again=False).decode()
    assert "-p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:1000" in text
    assert "-A OUTPUT -d 127.0.0.11/32 -j WHERRY-DNS" in text
    assert "OUTPUT" not in rules(1, 2, again=True).decode()
