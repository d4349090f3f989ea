"""Clients of HTTP/2 that mean no good, or know no better: what they get, and that nothing of them is left. Without TLS,
by the real shim."""

import asyncio
import os
import socket
from collections.abc import Callable

from h2 import events
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.components import HELLO
from tests.integration.http2_client import Client, Fields, head
from tests.integration.shim_box import Box
from tests.integration.tls_box import until
from tests.integration.wagi_box import DEADLINE, Handler, descriptors, serve, workers

PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CALM = 1, 2, 7, 11


def relay(handler: Handler) -> int:
    """The process that speaks HTTP/2: the one of its children with an epoll."""
    for pid in workers(handler.task.pid):
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        if "anon_inode:[eventpoll]" in links:
            return pid
    raise AssertionError("nobody speaks HTTP/2")


async def nothing_is_left(handler: Handler) -> None:
    """But what idles: the server, what speaks HTTP/2, and workers without a request."""
    await until(lambda: descriptors(relay(handler)) <= 14)
    await until(lambda: descriptors(handler.task.pid) - len(workers(handler.task.pid)) <= 16)
    made = await Client.open(handler)
    assert await made.answer(made.ask(head())) == (200, HELLO)
    made.close()


MALFORMED: list[Fields] = [
    head("/", "GET", ("X-Upper", "y")),
    head("/", "GET", ("x", "y\r\nhost: b")),
    head("/", "GET", ("x", "y\nz")),
    head("/", "GET", ("x", "y\0z")),
    head("/", "GET", ("x y", "z")),
    head("/", "GET", ("x:y", "z")),
    head("/", "GET", ("", "z")),
    head("/", "GET", ("x", " y")),
    head("/", "GET", ("connection", "close")),
    head("/", "GET", ("keep-alive", "5")),
    head("/", "GET", ("proxy-connection", "close")),
    head("/", "GET", ("transfer-encoding", "chunked")),
    head("/", "GET", ("upgrade", "h2c")),
    head("/", "GET", ("te", "gzip")),
    head("/", "GET", ("host", "b")),
    head("/", "GET", (":scheme", "http")),
    head("/", "GET", ("content-length", "5")),
    head("/", "GET", ("content-length", "x")),
    head("/", "GET", ("content-length", "0"), ("content-length", "1")),
    [("x", "y"), *head()],
    [*head(), (":path", "/b")],
    [*head(), (":protocol", "websocket")],
    [field for field in head() if field[0] != ":path"],
    [field for field in head() if field[0] != ":method"],
    [field for field in head() if field[0] != ":scheme"],
    head(""),
    head("/a b"),
    head("/\r\nx: y"),
    head("http://b/"),
    head("/", "GET HTTP/1.1\r\nx: y"),
    [(":method", "GET"), (":scheme", "http"), (":authority", "a\r\nx: y"), (":path", "/")],
    [(":method", "GET"), (":scheme", "http"), (":authority", "me@a"), (":path", "/")],
    [(":method", "CONNECT"), (":authority", "a:80"), (":path", "/"), (":scheme", "http")],
]


async def test_a_malformed_request_ends_its_stream_alone(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    for fields in MALFORMED:
        number = made.ask(fields)
        reset = await made.until(events.StreamReset, number)
        assert reset.error_code == PROTOCOL_ERROR, fields
    assert await made.answer(made.ask(head("/", "GET", ("te", "trailers")))) == (200, HELLO)
    made.close()
    assert handler.out.count(b'"GET ') <= 1
    await nothing_is_left(handler)


async def test_a_body_is_as_long_as_was_said(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    for length, body in (("3", b"four"), ("5", b"four")):
        number = made.ask(head("/count", "POST", ("content-length", length)), body)
        assert (await made.until(events.StreamReset, number)).error_code == PROTOCOL_ERROR
    number = made.ask(head("/count", "POST"), b"x", end=False)
    made.h2.send_headers(number, [("x-sum", "a"), (":path", "/b")], end_stream=True)
    made.write()
    assert (await made.until(events.StreamReset, number)).error_code == PROTOCOL_ERROR
    assert await made.answer(made.ask(head("/count", "POST", ("content-length", "4")), b"four")) == (200, b"4")
    made.close()
    await nothing_is_left(handler)


async def test_what_is_too_much_is_answered_with_why(box: Box) -> None:
    handler = await serve(box, kind="", labels={"dev.wherry.http.body": "64k"})
    made = await Client.open(handler)
    assert (await made.answer(made.ask(head("/" + "a" * 9000))))[0] == 414
    assert (await made.answer(made.ask(head("/", "GET", *((f"x-{n}", "y" * 300) for n in range(120))))))[0] == 431
    assert (await made.answer(made.ask(head("/count", "POST", ("content-length", "1000000")), b"", end=False)))[
        0
    ] == 413
    assert (await made.answer(made.ask([(":method", "CONNECT"), (":authority", "a:80")])))[0] == 501
    number = made.ask(head("/count", "POST"), b"", end=False)
    async with asyncio.timeout(DEADLINE):  # a body without end
        while not any(
            isinstance(event, events.ResponseReceived) and event.stream_id == number for event in made.events
        ):
            while room := min(made.h2.local_flow_control_window(number), 16000):
                made.h2.send_data(number, b"x" * room)
            made.write()
            await made.hear()
    assert made.status(number) == 413
    assert (await made.until(events.StreamReset, number)).error_code == 0
    made.close()
    await nothing_is_left(handler)


def resets(made: Client) -> None:
    for _ in range(800):
        made.h2.reset_stream(made.ask(head("/sleep")))


def empty(made: Client) -> None:
    number = made.ask(head("/count", "POST"), b"", end=False)
    made.frames(*(DataFrame(number) for _ in range(20_000)))


def bomb(made: Client) -> None:
    block = made.h2.encoder.encode([*head(), ("a", "b" * 4000)])
    made.frames(HeadersFrame(1, block + b"\xbe" * 8000, flags=["END_STREAM", "END_HEADERS"]))


def flood(frame: Callable[[int], Frame], count: int = 20_000) -> Callable[[Client], None]:
    return lambda made: made.frames(*(frame(number) for number in range(count)))


def without_end(made: Client) -> None:
    made.frames(HeadersFrame(1, b""), *(ContinuationFrame(1, b"") for _ in range(1000)))


def garbage(made: Client) -> None:
    made.writer.write(b"\xff" * 5000)


ATTACKS: list[tuple[Callable[[Client], None], int]] = [
    (resets, CALM),
    (empty, CALM),
    (flood(lambda _: PingFrame(0, b"12345678")), CALM),
    (flood(lambda _: SettingsFrame(0)), CALM),
    (flood(lambda _: PriorityFrame(1, 0, 5)), CALM),
    (flood(lambda _: WindowUpdateFrame(0, 1)), CALM),
    (without_end, PROTOCOL_ERROR),
    (bomb, CALM),
    (garbage, 6),  # FRAME_SIZE_ERROR
    (lambda made: made.frames(HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"])), PROTOCOL_ERROR),
    (lambda made: made.frames(DataFrame(1, b"x")), PROTOCOL_ERROR),
    (lambda made: made.frames(ContinuationFrame(1, b"x")), PROTOCOL_ERROR),
    (lambda made: made.frames(RstStreamFrame(1)), PROTOCOL_ERROR),
    (lambda made: made.frames(HeadersFrame(2, b"", flags=["END_HEADERS"])), PROTOCOL_ERROR),
    (lambda made: made.frames(SettingsFrame(0, {4: 1 << 31})), 3),  # FLOW_CONTROL_ERROR
]


async def test_floods_and_nonsense_end_the_connection_with_a_reason(box: Box) -> None:
    handler = await serve(box, kind="")
    for number, (attack, code) in enumerate(ATTACKS, 1):
        made = await Client.open(handler)
        attack(made)
        assert await made.sent_away() == code, (number, handler.err)
        await until(lambda number=number: handler.err.count(b"HTTP/2 of 127.0.0.1 is ended: ") == number)
    assert await handler.raw(b"PRI * HTTP/2.0\r\n\r\nno preface" + bytes(100)) is not None
    assert len(workers(handler.task.pid)) <= 18
    await nothing_is_left(handler)


async def test_who_breaks_off_now_and_then_is_borne_with(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    for _ in range(60):
        made.h2.reset_stream(made.ask(head("/sleep")))
        made.write()
    assert await made.answer(made.ask(head())) == (200, HELLO)
    made.close()
    await nothing_is_left(handler)


async def test_no_more_than_a_hundred_streams(box: Box) -> None:
    handler = await serve(box, kind="", labels={"dev.wherry.http.concurrency": "2"})
    made = await Client.open(handler)
    numbers = [made.ask(head("/sleep")) for _ in range(100)]
    refused = made.ask(head("/sleep"))
    assert (await made.until(events.StreamReset, refused)).error_code == REFUSED_STREAM
    made.h2.reset_stream(numbers.pop())
    made.write()
    made.ask(head("/sleep"))
    made.close()  # and with it go the requests that wait, and those that are served
    await handler.logged('"GET /sleep HTTP/2.0" 499')
    await nothing_is_left(handler)


async def test_a_client_that_vanishes_in_mid_stream_takes_all_of_it_along(box: Box) -> None:
    handler = await serve(box, kind="")
    for path in ("/sleep", "/spin", "/events"):
        made = await Client.open(handler)
        number = made.ask(head(path))
        if path == "/events":
            await made.until(events.DataReceived, number)
        else:
            await until(lambda: len(workers(handler.task.pid)) > 1)
        half = made.ask(head("/echo", "POST"), b"half a body", end=False)
        assert await made.status_of(half) == 200
        made.close()
        await handler.logged(f'"GET {path} HTTP/2.0" ')
    await nothing_is_left(handler)


async def test_who_takes_nothing_holds_up_himself_alone(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler, window=0)
    shut = [made.ask(head("/pour", "POST"), os.urandom(16_000)) for _ in range(3)]
    for number in shut:
        assert await made.status_of(number) == 200
    opened = made.ask(head())
    assert await made.status_of(opened) == 200
    assert not made.body(opened)
    made.h2.increment_flow_control_window(100, opened)
    made.write()
    assert await made.answer(opened) == (200, HELLO)
    assert not any(made.body(number) for number in shut)
    other = await Client.open(handler)
    assert await other.answer(other.ask(head())) == (200, HELLO)
    other.close()
    made.close()
    await nothing_is_left(handler)


async def test_what_a_handler_does_not_read_stays_with_the_client(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    number = made.ask(head("/sleep", "POST"), b"", end=False)
    sent = 0
    async with asyncio.timeout(DEADLINE):
        while sent < 5_000_000:
            room = min(made.h2.local_flow_control_window(number), 16000)
            if room:
                made.h2.send_data(number, b"x" * room)
                sent += room
                made.write()
            else:  # is another one answered, then nothing came for the first
                asked = made.ask(head())
                assert await made.answer(asked) == (200, HELLO)
                if not made.h2.local_flow_control_window(number):
                    break
    assert sent < 2_000_000
    made.close()
    await nothing_is_left(handler)


async def test_deadlines_are_the_servers(box: Box) -> None:
    handler = await serve(box, kind="", labels={"dev.wherry.http.deadline": "1s"})
    made = await Client.open(handler)
    slow, cut = made.ask(head("/spin")), made.ask(head("/late-spin"))
    assert (await made.answer(slow))[0] == 504
    assert await made.status_of(cut) == 200
    assert (await made.until(events.StreamReset, cut)).error_code == INTERNAL_ERROR
    assert await made.answer(made.ask(head())) == (200, HELLO)
    made.close()
    await nothing_is_left(handler)


async def test_trailers_go_both_ways(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    number = made.ask(head("/echo", "POST"), b"words", end=False)
    made.h2.send_headers(number, [("x-sum", "abc")], end_stream=True)
    made.write()
    assert await made.answer(number) == (200, b"words")
    trailers = await made.until(events.TrailersReceived, number)
    assert dict(trailers.headers) == {b"x-sum": b"abc"}
    made.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_drain_lets_streams_end_and_says_so(box: Box) -> None:
    handler = await serve(box, kind="")
    idle = await Client.open(handler)
    assert await idle.answer(idle.ask(head())) == (200, HELLO)
    made = await Client.open(handler)
    number = made.ask(head("/echo", "POST"), b"a", end=False)
    await made.until(events.DataReceived, number)
    await handler.task.kill(15)
    assert await idle.sent_away() == 0
    assert (await made.until(events.ConnectionTerminated)).error_code == 0
    assert not listens(handler.port)
    made.frames(DataFrame(number, b"bc", flags=["END_STREAM"]))  # after GOAWAY, h2 itself sends nothing
    async with asyncio.timeout(DEADLINE):
        rest = await made.reader.read()
    assert b"bc" in rest
    assert (await handler.task.wait()).code == 0
    made.close()
    assert b'"POST /echo HTTP/2.0" 200 3 ' in handler.out


async def test_who_says_that_he_leaves_is_answered_yet(box: Box) -> None:
    handler = await serve(box, kind="")
    made = await Client.open(handler)
    number = made.ask(head("/echo", "POST"), b"a", end=False)
    await made.until(events.DataReceived, number)
    made.frames(GoAwayFrame(0), DataFrame(number, b"b", flags=["END_STREAM"]))
    assert await made.answer(number) == (200, b"ab")
    async with asyncio.timeout(DEADLINE):
        while not made.ended:
            await made.hear()
    made.close()
    await nothing_is_left(handler)
