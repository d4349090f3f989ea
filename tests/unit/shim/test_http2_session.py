"""Sessions of HTTP/2 without their process: time is given, and so is what the server says."""

import socket
import time
from collections.abc import Iterator

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from wherry.shim.httpd.beside import Client
from wherry.shim.httpd.http2.calm import Calm
from wherry.shim.httpd.http2.session import Session
from wherry.shim.httpd.loop import Loop

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
CANCEL, REFUSED = 8, 7


class Process:
    """What a session asks of its process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.notes: list[str] = []
        self.over: list[Session] = []
        self.servers: list[socket.socket] = []
        self.heard_out: list[socket.socket] = []

    def connect(self, client: Client, major: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.servers.append(theirs)
        return ours

    def note(self, text: str) -> None:
        self.notes.append(text)

    def left(self, session: Session) -> None:
        self.over.append(session)

    def hear_out(self, made: socket.socket) -> None:
        self.loop.forget(made.fileno())
        self.heard_out.append(made)


class Pair:
    """A session, and its client."""

    def __init__(self, window: int = 65535) -> None:
        self.process = Process()
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        theirs.setblocking(False)
        self.h2 = H2Connection(H2Configuration())
        self.h2.initiate_connection()
        self.h2.update_settings({4: window})
        self.session = Session(self.process, Client("http", "1.2.3.4", 5, b""), theirs)
        self.session.begin()
        self.events: list[events.Event] = []
        self.turn()

    def turn(self) -> None:
        """Until there is nothing to be said any more."""
        for _ in range(20):
            if data := self.h2.data_to_send():
                self.socket.send(data)
            self.process.loop.turn(0)
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                continue
            self.events += self.h2.receive_data(data)

    def ask(self, *, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, HEAD, end_stream=end)
        self.turn()
        return number

    def later(self, seconds: float) -> None:
        """As if so long had passed since the test began."""
        self.process.loop.now = time.monotonic() + seconds
        self.session.look()
        self.turn()

    def found(self, kind: type[events.Event]) -> list[events.Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self) -> None:
        self.session._close()
        for made in (self.socket, *self.process.servers, *self.process.heard_out):
            made.close()
        self.process.loop._epoll.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def answer(body: bytes, *more: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *more, b"", body))


def test_a_request_goes_to_the_server_and_its_answer_comes_back(pair: Pair) -> None:
    pair.ask()
    assert pair.process.servers[0].recv(1000) == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    pair.process.servers[0].send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + answer(b"hello"))
    pair.turn()
    assert len(pair.found(events.InformationalResponseReceived)) == 1
    assert pair.found(events.DataReceived)[0].data == b"hello"
    assert pair.found(events.StreamEnded)


def test_a_connection_to_the_server_is_kept_unless_it_is_the_last(pair: Pair) -> None:
    for number, more in enumerate((b"x: y", b"connection: close", b"x: y"), 1):
        pair.ask()
        server = pair.process.servers[-1]
        server.recv(1000)
        server.send(answer(b"hello", more))
        pair.turn()
        assert len(pair.found(events.StreamEnded)) == number
    assert len(pair.process.servers) == 2


def test_a_kept_connection_that_the_server_closes_just_then_is_made_again(pair: Pair) -> None:
    pair.ask()
    first = pair.process.servers[0]
    first.recv(1000)
    first.send(answer(b"hello"))
    pair.turn()
    number = pair.h2.get_next_available_stream_id()
    pair.h2.send_headers(number, HEAD, end_stream=True)
    pair.socket.send(pair.h2.data_to_send())
    first.close()
    pair.turn()
    pair.process.servers[1].send(answer(b"again"))
    pair.turn()
    assert [event.data for event in pair.found(events.DataReceived)] == [b"hello", b"again"]


def test_a_server_that_takes_no_connection_has_the_stream_refused(pair: Pair) -> None:
    pair.ask()
    pair.process.servers[0].close()
    pair.turn()
    assert pair.found(events.StreamReset)[0].error_code == REFUSED


def test_a_window_that_stays_shut_ends_its_stream() -> None:
    pair = Pair(window=0)
    pair.ask()
    pair.process.servers[0].send(answer(b"hello"))
    pair.turn()
    pair.later(29)
    assert not pair.found(events.StreamReset)
    pair.later(31)
    assert pair.found(events.StreamReset)[0].error_code == CANCEL
    assert not pair.process.over
    pair.close()


def test_who_reads_nothing_at_all_is_let_go() -> None:
    pair = Pair(window=1 << 24)
    pair.h2.increment_flow_control_window(1 << 24)
    pair.ask()
    pair.process.servers[0].send(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n")
    for _ in range(200):  # nobody reads at the other end: what waits is bounded, and the server waits too
        try:
            pair.process.servers[0].send(b"x" * 65536)
        except BlockingIOError:
            pass
        pair.process.loop.turn(0)
    with pytest.raises(BlockingIOError):
        pair.process.servers[0].send(b"x" * 65536)
    assert len(pair.session._out) < 400_000
    pair.process.loop.now += 31
    pair.session.look()
    assert pair.process.over == [pair.session]
    pair.close()


def test_who_has_no_request_for_long_is_told_goodbye(pair: Pair) -> None:
    pair.later(74)
    assert not pair.found(events.ConnectionTerminated)
    pair.later(77)
    assert pair.found(events.ConnectionTerminated)[0].error_code == 0
    pair.later(80)
    assert pair.process.over == [pair.session]


def test_what_the_server_says_that_is_no_answer_ends_the_stream(pair: Pair) -> None:
    pair.ask()
    pair.process.servers[0].send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    pair.turn()
    assert pair.found(events.StreamReset)[0].error_code == 2


def test_an_answer_before_the_end_of_the_request_ends_that(pair: Pair) -> None:
    number = pair.h2.get_next_available_stream_id()
    pair.h2.send_headers(number, HEAD)
    pair.h2.send_data(number, b"half")
    pair.turn()
    pair.process.servers[0].send(answer(b"enough"))
    pair.turn()
    assert pair.found(events.DataReceived)[0].data == b"enough"
    assert pair.found(events.StreamReset)[0].error_code == 0
    assert len(pair.process.heard_out) == 1


def test_calm_fills_again() -> None:
    calm = Calm(2, 1, 0)
    assert [calm.spend(0) for _ in range(3)] == [True, True, False]
    assert calm.spend(5)
    calm = Calm(1, 0, 0)
    assert calm.spend(0)
    calm.earn()
    assert [calm.spend(0), calm.spend(0)] == [True, False]
