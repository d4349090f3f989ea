"""A client's connection of TLS without its process: time is given, and so is what the server says."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.tls_box import make_certificate
from wherry.shim.httpd import tls
from wherry.shim.httpd.beside import Client
from wherry.shim.httpd.loop import Loop
from wherry.shim.httpd.translator import Bridge


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class Translator:
    """What a bridge asks of its process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.notes: list[str] = []
        self.over: list[Bridge] = []
        self.majors: list[int] = []
        self.server, self.ours = socket.socketpair()
        for made in (self.server, self.ours):
            made.setblocking(False)

    def connect(self, client: Client, major: int) -> socket.socket:
        self.majors.append(major)
        return self.ours

    def note(self, text: str) -> None:
        self.notes.append(text)

    def left(self, bridge: Bridge) -> None:
        self.over.append(bridge)


class Pair:
    """A bridge, and its client, who speaks by memory."""

    def __init__(self, authority: Path) -> None:
        self.process = Translator()
        self.socket, theirs = socket.socketpair()
        for made in (self.socket, theirs):
            made.setblocking(False)
        context = tls.server_context(f"{authority}/cert.pem", f"{authority}/key.pem", http2=True)
        outer = context.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
        self.bridge = Bridge(self.process, Client("https", "1.2.3.4", 5, b""), outer)
        self.bridge.begin()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=f"{authority}/cert.pem")
        client.set_alpn_protocols(["h2"])
        self.tls = client.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")

    def shake(self) -> None:
        for _ in range(10):
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.turn()
        self.turn()

    def turn(self) -> None:
        for _ in range(5):
            if data := self.outgoing.read():
                self.socket.send(data)
            self.process.loop.turn(0)
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                continue
            self.incoming.write(data) if data else self.incoming.write_eof()

    def later(self, seconds: float) -> None:
        self.process.loop.now = time.monotonic() + seconds
        self.bridge.look()
        self.turn()

    def close(self) -> None:
        self.bridge._close()
        for made in (self.socket, self.process.server, self.process.ours):
            made.close()
        self.process.loop._epoll.close()


@pytest.fixture
def pair(authority: Path) -> Iterator[Pair]:
    made = Pair(authority)
    yield made
    made.close()


def test_both_directions_go_on_and_end_by_themselves(pair: Pair) -> None:
    pair.shake()
    assert pair.process.majors == [2]  # as was agreed on
    pair.tls.write(b"asked")
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.unwrap()
    pair.turn()
    assert pair.process.server.recv(100) == b"asked"
    assert pair.process.server.recv(100) == b""
    pair.process.server.send(b"answered")
    pair.process.server.close()
    pair.turn()
    assert pair.tls.read(100) == b"answered"
    pair.socket.close()
    pair.process.loop.turn(0)
    assert pair.process.over == [pair.bridge]


def test_who_does_not_agree_on_anything_is_let_go(pair: Pair) -> None:
    pair.later(9)
    assert not pair.process.notes
    pair.later(11)
    assert pair.process.notes == ["1.2.3.4 does not speak TLS: the handshake took too long"]
    pair.later(14)
    assert pair.process.over == [pair.bridge]


def test_who_takes_nothing_is_let_go_and_holds_up_the_server_until_then(pair: Pair) -> None:
    pair.shake()
    for _ in range(100):
        with suppress(BlockingIOError):
            pair.process.server.send(b"x" * 65536)
        pair.process.loop.turn(0)
    with pytest.raises(BlockingIOError):
        pair.process.server.send(b"x" * 65536)
    assert len(pair.bridge._down) < 200_000
    pair.process.loop.now = time.monotonic() + 31
    pair.bridge.look()
    assert pair.process.over == [pair.bridge]


def test_an_early_answer_gets_through_though_nobody_hears_the_rest(pair: Pair) -> None:
    pair.shake()
    pair.process.server.send(b"too much")
    pair.process.server.close()
    pair.tls.write(b"x" * 100_000)
    pair.turn()
    assert pair.tls.read(100) == b"too much"


def test_a_client_that_is_gone_takes_the_servers_end_along(pair: Pair) -> None:
    pair.shake()
    pair.socket.close()
    pair.process.loop.turn(0)
    pair.process.loop.turn(0)
    assert pair.process.server.recv(100) == b""
