"""wasi:http's resources without a component: fields, bodies, whom a request may go to."""

import pytest

from wherry.wasm.component.http.bodies import BodyInput, FutureTrailers, IncomingBody, OutgoingBody
from wherry.wasm.component.http.client import Call, is_allowed
from wherry.wasm.component.http.fields import MOST, Fields, from_list, received
from wherry.wasm.component.http.messages import OutgoingRequest, OutgoingResponse, Outparam, RequestOptions
from wherry.wasm.component.http.wires import Wire
from wherry.wasm.component.state import State
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi.errno import Trap
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.memory import Memory


class Said:
    """A source of some pieces, and a sink of what comes."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = list(pieces)
        self.trailers = (("x-a", "b"),)
        self.taken = b""
        self.ended: object = None
        self.begun: tuple[int, int] | None = None
        self.failed: object = None
        self.refused = False

    def read(self, most: int, *, block: bool) -> bytes | None:
        data = self.pieces.pop(0) if self.pieces else b""
        if data is not None and len(data) > most:
            self.pieces.insert(0, data[most:])
        return None if data is None else data[:most]

    def awaits(self) -> tuple[int, int, int | None]:
        return 7, 1, None

    def room(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.taken += data

    def flush(self, *, block: bool) -> None:
        return None

    def end(self, trailers: object) -> None:
        self.ended = trailers

    def break_off(self, why: str) -> None:
        self.ended = why

    def begin(self, status: int, fields: Fields, length: int) -> "Said":
        self.begun = status, length
        return self

    def fail(self, code: tuple[str, object], why: str) -> None:
        self.failed = code, why

    def refuse(self) -> None:
        self.refused = True


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("x y", b"", "invalid-syntax"),
        ("", b"", "invalid-syntax"),
        ("x", b"a\r\nset-cookie: b", "invalid-syntax"),
        ("x", b"a\0b", "invalid-syntax"),
        ("ä", b"", "invalid-syntax"),
        ("Connection", b"close", "forbidden"),
        ("HOST", b"a", "forbidden"),
        ("transfer-encoding", b"chunked", "forbidden"),
    ],
)
def test_what_is_no_field_of_a_component_is_refused(name: str, value: bytes, error: str) -> None:
    fields = Fields()
    for change in (lambda: fields.append(name, value), lambda: fields.set(name, [value])):
        with pytest.raises(Failed) as caught:
            change()
        assert caught.value.value == (error, None)
    with pytest.raises(Failed):
        from_list([(name, value)])
    assert fields.entries == []


def test_fields_are_bounded_counted_and_frozen() -> None:
    fields = from_list([("A", b"1"), ("a", b"2"), ("b", b"\xff")])
    assert (fields.get("a"), fields.raw()) == ([b"1", b"2"], (("a", "1"), ("a", "2"), ("b", "\xff")))
    copy = fields.freeze().clone()
    with pytest.raises(Failed) as caught:
        fields.delete("a")
    assert caught.value.value == ("immutable", None)
    copy.set("a", [b"x" * (MOST - 10)])
    with pytest.raises(Trap):
        copy.append("long", b"12345678")
    copy.delete("a")
    copy.append("long", b"12345678")
    assert received((("host", "a"), ("te", "b"), ("x", "c"))).raw() == (("x", "c"),)
    assert (Fields().length, from_list([("content-length", b"5")] * 2).length) == (-1, 5)
    for wrong in ([("content-length", b"-5")], [("content-length", b"5"), ("content-length", b"6")]):
        with pytest.raises(ValueError, match=r"content-length|too many values"):
            _ = from_list(wrong).length


def test_a_body_is_read_once_and_its_trailers_come_after_it() -> None:
    source = Said(b"abc", None, b"d")
    body = IncomingBody(source)
    stream = body.stream()
    with pytest.raises(Failed):
        body.stream()
    assert stream.look() is None
    assert [stream.read(2, block=False), stream.read(2, block=False), stream.read(2, block=False)] == [b"ab", b"c", b""]
    with pytest.raises(Trap, match="not dropped"):
        body.finish()
    stream.dropped()
    found = FutureTrailers(Said(None))
    assert (found.get(), found.look()) == (None, None)
    is_new, (is_ok, trailers) = body.finish().get()
    assert (is_new, is_ok, trailers.raw()) == (True, True, (("x-a", "b"),))
    ended = BodyInput(Said())
    for _ in range(2):
        with pytest.raises(Failed):
            ended.read(1, block=True)


def test_a_body_that_goes_is_held_to_its_length_and_never_looks_whole_if_it_is_not() -> None:
    sink, body = Said(), OutgoingBody("response", 5)
    stream = body.stream()
    stream.write(b"ab")
    body.attach(sink)
    assert sink.taken == b"ab"
    with pytest.raises(Failed):
        stream.write(b"toolong")
    with pytest.raises(Trap):
        body.finish(None)
    stream.dropped()
    with pytest.raises(Failed) as caught:
        body.finish(None)
    assert caught.value.value == ("HTTP-response-body-size", 2)
    assert sink.ended == "the handler's body has 2 bytes of 5"
    dropped, other = OutgoingBody("response", -1), Said()
    dropped.attach(other)
    dropped.dropped()
    assert "without finishing" in str(other.ended)
    with pytest.raises(Failed):
        dropped.write(b"late")
    with pytest.raises(Trap):
        OutgoingBody("request", -1).write(bytes(65537))


def test_an_answer_is_given_once_failed_or_refused() -> None:
    said = Said()
    response = OutgoingResponse(Fields())
    for status in (0, 99, 101, 600, 65535):
        with pytest.raises(Failed):
            response.set_status(status)
    response.set_status(404)
    Outparam(said).set(True, response)
    assert (said.begun, said.ended) == ((404, -1), ())
    Outparam(said).set(False, ("internal-error", "mine"))
    assert said.failed == (("internal-error", "mine"), "the handler answered with the error internal-error: mine")
    Outparam(said).dropped()
    assert said.refused


def test_requests_are_made_of_words_only() -> None:
    request = OutgoingRequest(Fields())
    for change in (
        lambda: request.set_method(("other", "A B")),
        lambda: request.set_path("/a b"),
        lambda: request.set_path("/a\r\nx: y"),
        lambda: request.set_path("a"),
        lambda: request.set_authority("a/b"),
        lambda: request.set_authority("user@a"),
        lambda: request.set_authority(""),
    ):
        with pytest.raises(Failed):
            change()
    request.set_method(("other", "BREW"))
    assert (request.method_word, request.path, request.authority) == ("BREW", None, None)


@pytest.mark.parametrize(
    ("hosts", "host", "port", "allowed"),
    [
        ((), "a.b", 80, True),
        (("a.b",), "a.b", 8080, True),
        (("a.b:80",), "a.b", 8080, False),
        (("*.b",), "a.b", 80, True),
        (("*.b",), "b", 80, False),
        (("*.b:80",), "x.a.b", 80, True),
        (("a.b",), "evila.b", 80, False),
        (("*.b",), "evilb", 80, False),
        (("[::1]:80",), "::1", 80, True),
        (("::1",), "::1", 80, True),
    ],
)
def test_hosts_that_may_be_asked(hosts: tuple[str, ...], host: str, port: int, allowed: bool) -> None:
    assert is_allowed(hosts, host, port) is allowed


class Line(Wire):
    """A connection on which ``said`` comes, an exception in it at its place; what is sent is kept."""

    fd = -1

    def __init__(self, *said: bytes | Exception, ready: Exception | None = None) -> None:
        self.said = list(said)
        self.ready = ready
        self.sent = b""
        self.closed = False

    def is_ready(self) -> bool:
        if self.ready is not None:
            raise self.ready
        return True

    def send(self, data: bytearray) -> int:
        self.sent += data
        return len(data)

    def receive(self, most: int) -> bytes:
        piece = self.said.pop(0) if self.said else BlockingIOError()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


def called(*wires: Wire, body: bool = False) -> Call:
    request = OutgoingRequest(Fields())
    request.authority = "a.b"
    if body:
        request.set_method(("post", None))
        request.take_body()
    left = list(wires)
    state = State(Host(Memory(lambda: memoryview(bytearray()))))
    return Call(state, request, RequestOptions(), [(2, ("x", 1))] * len(left), lambda *_: left.pop(0))


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhalf"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (b"", None),
        (EOFError(), "HTTP-response-incomplete"),
        (ConnectionResetError(104, "reset"), "connection-terminated"),
        (Failed(("TLS-protocol-error", None)), "TLS-protocol-error"),
    ],
)
def test_a_body_to_the_connections_end_is_whole_only_if_that_was_said(end: bytes | Exception, code: str | None) -> None:
    wire = Line(UNTIL_CLOSE, end)
    _, (is_ok, answer) = called(wire).get()
    assert is_ok
    assert wire.sent == b"GET / HTTP/1.1\r\nhost: a.b\r\nconnection: close\r\n\r\n"
    stream = answer.consume().stream()
    assert stream.read(100, block=False) == b"half"
    with pytest.raises(Failed) as caught:
        stream.read(100, block=False)
    kind, error = caught.value.value
    assert (kind, getattr(error, "code", (None,))[0]) == ("closed" if code is None else "last-operation-failed", code)
    assert wire.closed


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((EOFError(),), "connection-terminated"),
        ((b"",), "connection-terminated"),
        ((b"HTTP/1.1 200", EOFError()), "HTTP-response-incomplete"),
        ((b"HTTP/1.1 200 OK\r\nX: " + bytes(70_000),), "HTTP-response-header-section-size"),
        ((b"garbage\r\n\r\n" + bytes(70_000),), "HTTP-protocol-error"),
        ((Failed(("TLS-alert-received", (40, None))),), "TLS-alert-received"),
    ],
)
def test_what_becomes_of_a_head_that_is_none(said: tuple[bytes | Exception, ...], code: str) -> None:
    _, (is_ok, error) = called(Line(*said)).get()
    assert (is_ok, error[0]) == (False, code)


def test_the_next_address_is_tried_for_a_connection_but_not_for_a_certificate() -> None:
    refused, last = Line(ready=ConnectionRefusedError(111, "refused")), Line(b"HTTP/1.1 204 OK\r\n\r\n")
    _, (is_ok, answer) = called(refused, last).get()
    assert (is_ok, answer.status, refused.closed) == (True, 204, True)
    distrusted, unasked = Line(ready=Failed(("TLS-certificate-error", None))), Line()
    _, (is_ok, error) = called(distrusted, unasked).get()
    assert (is_ok, error[0], distrusted.closed, unasked.sent) == (False, "TLS-certificate-error", True, b"")
    _, (is_ok, error) = called(Line(ready=ConnectionRefusedError(111, "refused"))).get()
    assert error[0] == "connection-refused"


def test_the_rest_of_a_request_goes_while_its_answer_is_read() -> None:
    wire = Line(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"done")
    taken = iter((10, 0, 0))

    def send(data: bytearray) -> int:
        most = next(taken, 1 << 20)
        if not most:
            raise BlockingIOError
        wire.sent += data[:most]
        return min(most, len(data))

    wire.send = send  # type: ignore[method-assign]  # one that stalls
    call = called(wire)
    assert call.get()[0]
    assert len(wire.sent) == 10
    assert call.awaits() == (-1, 5, None)  # POLLIN and POLLOUT
    assert call.read(10, block=False) == b"done"
    assert wire.sent.endswith(b"\r\n\r\n")
