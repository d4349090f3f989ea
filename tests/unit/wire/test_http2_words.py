"""Requests of HTTP/2 as HTTP/1.1: what is written, what is refused, and that no value becomes a line of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.wire import http1
from wherry.wire import http2 as words

HEAD = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a:80"), (b":path", b"/p?q")]


def test_a_request_is_written_as_one_of_http1() -> None:
    made = words.request([*HEAD, (b"x", b"y"), (b"cookie", b"a=b"), (b"cookie", b"c=d")], ended=True)
    assert made == words.Request(
        b"GET /p?q HTTP/1.1\r\nhost: a:80\r\nx: y\r\ncookie: a=b; c=d\r\n\r\n", False, 0, False
    )
    head = http1.parse_head(made.head)
    assert (head.method, head.target, head.host, head.length) == ("GET", "/p?q", "a:80", 0)


@pytest.mark.parametrize(
    ("fields", "ended", "chunked", "length"),
    [
        ((), False, True, -1),
        (((b"content-length", b"5"),), False, False, 5),
        (((b"content-length", b"0"),), True, False, 0),
    ],
)
def test_a_body_comes_in_chunks_unless_its_length_is_told(
    fields: tuple[tuple[bytes, bytes], ...], ended: bool, chunked: bool, length: int
) -> None:
    made = words.request([*HEAD, *fields], ended=ended)
    assert (made.chunked, made.length) == (chunked, length)
    assert (b"transfer-encoding: chunked\r\n" in made.head) is chunked


def test_host_stands_for_the_authority() -> None:
    fields = [field for field in HEAD if field[0] != b":authority"]
    assert b"\r\nhost: b\r\n" in words.request([*fields, (b"host", b"b")], ended=True).head
    assert words.request([*HEAD, (b"host", b"a:80")], ended=True).head.count(b"host") == 1
    with pytest.raises(words.Malformed):
        words.request([*fields, (b"host", b"b"), (b"host", b"c")], ended=True)


def test_trailers_end_the_chunks() -> None:
    assert words.trailers([(b"x-sum", b"abc")]) == b"0\r\nx-sum: abc\r\n\r\n"
    for wrong in ((b":path", b"/"), (b"x", b"a\r\nb: c"), (b"connection", b"close"), (b"X", b"y")):
        with pytest.raises(words.Malformed):
            words.trailers([wrong])


def test_an_answer_says_nothing_of_connections() -> None:
    header = (("content-type", "text/plain"), ("connection", "close"), ("transfer-encoding", "chunked"), ("x", "\xe9"))
    assert words.answer_fields(200, header) == [(b":status", b"200"), (b"content-type", b"text/plain"), (b"x", b"\xe9")]
    assert words.is_last(header)
    assert not words.is_last(header[:1])


@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=24)), max_size=6),
    st.binary(max_size=12),
    st.binary(max_size=24),
    st.binary(max_size=24),
)
def test_whatever_is_let_through_is_one_request_to_http1(
    fields: list[tuple[bytes, bytes]], method: bytes, path: bytes, authority: bytes
) -> None:
    head = [(b":method", method), (b":scheme", b"http"), (b":path", b"/" + path), (b":authority", authority)]
    try:
        made = words.request([*head, *fields], ended=True)
    except words.Malformed:
        return
    assert made.head.count(b"\r\n\r\n") == 1
    assert made.head.endswith(b"\r\n\r\n")
    assert made.head.count(b"\r\n") == made.head.count(b"\n") == made.head.count(b"\r")
    assert made.head.startswith(method + b" ")
