"""Answers as a client reads them."""

import pytest

from wherry.wire.http1 import CHUNKED, BadRequest
from wherry.wire.http1_answer import MOST_HEAD, UNTIL_CLOSE, HeadTooLong, find_end, parse_answer


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (b"HTTP/1.1 200 OK", UNTIL_CLOSE),
        (b"HTTP/1.1 200", UNTIL_CLOSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", 5),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", CHUNKED),
        (b"HTTP/1.1 204 None", 0),
        (b"HTTP/1.0 304 Same\r\nContent-Length: 5", 0),
        (b"HTTP/1.1 103 Early", 0),
    ],
)
def test_how_long_a_body_is(lines: bytes, length: int) -> None:
    assert parse_answer(lines + b"\r\n\r\n", head_only=False).length == length
    assert parse_answer(lines + b"\r\n\r\n", head_only=True).length == 0


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"words",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nX : y",
        b"HTTP/1.1 200 OK" + b"\r\nX: y" * 300,
    ],
)
def test_what_is_no_answer_is_refused(lines: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_answer(lines + b"\r\n\r\n", head_only=False)


def test_a_head_has_an_end() -> None:
    assert find_end(b"HTTP/1.1 200 OK\r\n") == 0
    assert find_end(b"HTTP/1.1 200 OK\r\n\r\nbody") == 19
    with pytest.raises(HeadTooLong):
        find_end(b"x" * (MOST_HEAD + 1))
