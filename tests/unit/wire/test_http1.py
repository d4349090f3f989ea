"""Heads and bodies of requests as bytes: what is taken, and what is refused with which status."""

import pytest

from wherry.wire import http1
from wherry.wire.http1 import BadRequest, Body

HOST = b"Host: a\r\n"


def parse(first: bytes, *lines: bytes) -> http1.RequestHead:
    return http1.parse_head(b"\r\n".join((first, *lines, b"", b"")))


def refused(first: bytes, *lines: bytes) -> int:
    with pytest.raises(BadRequest) as caught:
        parse(first, *lines)
    assert "\n" not in str(caught.value)
    return caught.value.status


def test_a_head_is_read() -> None:
    head = parse(b"POST /a%20b?c=d HTTP/1.1", b"Host: here:8080", b"X-Thing:  two words ", b"Content-Length: 12")
    assert (head.method, head.target, head.minor, head.host) == ("POST", "/a%20b?c=d", 1, "here:8080")
    assert head.header[1] == ("x-thing", "two words")
    assert (head.length, head.keep, head.expects) == (12, True, False)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [(b"1.1", b"", True), (b"1.1", b"close", False), (b"1.0", b"", False), (b"1.0", b"Keep-Alive", True)],
)
def test_connections_are_kept_as_the_client_says(version: bytes, connection: bytes, keeps: bool) -> None:
    assert parse(b"GET / HTTP/" + version, b"Host: a", b"Connection: " + connection).keep is keeps


def test_the_host_of_an_absolute_target_counts() -> None:
    head = parse(b"GET http://other:1/x?y HTTP/1.1", b"Host: a")
    assert (head.target, head.host) == ("/x?y", "other:1")
    assert parse(b"GET http://other HTTP/1.1", b"Host: a").target == "/"
    assert parse(b"OPTIONS * HTTP/1.1", b"Host: a").target == "*"


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, [b"GET / HTTP/1.1"]),  # no Host
        (400, [b"GET / HTTP/1.1", b"Host: a", b"Host: b"]),
        (400, [b"GET /", b"Host: a"]),
        (400, [b"GET  / HTTP/1.1", b"Host: a"]),
        (400, [b"G\x00T / HTTP/1.1", b"Host: a"]),
        (400, [b"GET /\xff HTTP/1.1", b"Host: a"]),
        (400, [b"GET x HTTP/1.1", b"Host: a"]),
        (501, [b"CONNECT a:1 HTTP/1.1", b"Host: a"]),
        (505, [b"GET / HTTP/2.0", b"Host: a"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b" folded: b"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b"X : b"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b": b"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b"X: a\x00b"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b"X: a\rb"]),
        (400, [b"GET / HTTP/1.1", b"Host: a", b"X: a\nY: b"]),
        (431, [b"GET / HTTP/1.1", b"Host: a", *[b"X: y"] * 10_000]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1", b"Content-Length: 2"]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1, 1"]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: +1"]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: -1"]),
        (400, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 0x1"]),
        (413, [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: " + b"9" * 30]),
        (501, [b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: gzip, chunked"]),
        (501, [b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: xchunked"]),
        (501, [b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"]),
        (400, [b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked"]),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(status: int, lines: list[bytes]) -> None:
    assert refused(*lines) == status


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (414, b"GET /" + b"a" * 1_000_000),
        (414, b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000),
        (431, b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    ],
)
def test_a_head_that_never_can_be_whole_is_refused(status: int, data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        http1.find_end(data)
    assert caught.value.status == status


def test_a_head_is_found_where_it_ends_and_not_before() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody"
    assert http1.find_end(data) == len(data) - 4
    assert [http1.find_end(data[:size]) for size in range(len(data) - 4)] == [0] * (len(data) - 4)


def taken(body: Body, parts: list[bytes]) -> bytes:
    found = body.take(1 << 20)
    for part in parts:
        body.feed(part)
        while data := body.take(1 << 20):
            found += data
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_chunks_are_joined_however_they_come(step: int) -> None:
    data = b"5\r\nhello\r\n1;name=value\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\nGET /"
    body = Body(http1.CHUNKED, b"", 100)
    assert taken(body, [data[at : at + step] for at in range(0, len(data), step)]) == b"hello world"
    assert body.done
    assert body.rest.startswith(b"GET /"[: len(body.rest)])


def test_a_body_with_a_length_ends_there() -> None:
    body = Body(5, b"hel", 100)
    assert taken(body, [b"lo, next"]) == b"hello"
    assert (body.done, body.rest) == (True, b", next")


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"x\r\n"),
        (400, b"-1\r\n"),
        (400, b"1_0\r\n"),
        (400, b"\r\n"),
        (400, b"5\r\nhello!\r\n"),
        (400, b"f" * 16 + b"\r\n"),
        (400, b"1" * 1000),
        (413, b"ffffff\r\n" + b"x" * 200),
        (400, b"0\r\nno trailer\r\n\r\n"),
    ],
)
def test_chunks_that_are_none_are_refused(status: int, data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        taken(Body(http1.CHUNKED, b"", 100), [data])
    assert caught.value.status == status


def test_a_length_over_the_limit_is_refused_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        Body(101, b"", 100)
    assert caught.value.status == 413


def test_a_reader_that_remembers_lines_reads_as_one_that_does_not() -> None:
    reader = http1.HeadReader()
    lines = [b"Host: here", b"Content-Length: 3", b"Connection: close", b"Expect: 100-continue", b"X: " + b"y" * 1000]
    for first in (b"POST /a HTTP/1.1", b"POST /b HTTP/1.1", b"GET /a HTTP/1.0", b"POST /a HTTP/1.1"):
        data = b"\r\n".join((first, *lines, b"", b""))
        assert reader.read(data) == http1.parse_head(data)
    for _ in range(2):
        with pytest.raises(http1.BadRequest, match="one Content-Length"):
            reader.read(b"\r\n".join((b"POST /a HTTP/1.1", *lines, lines[1], b"", b"")))
        with pytest.raises(http1.BadRequest, match="no valid name"):
            reader.read(b"\r\n".join((b"POST /a HTTP/1.1", *lines, b"X : y", b"", b"")))
    assert reader.read(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n").keep
