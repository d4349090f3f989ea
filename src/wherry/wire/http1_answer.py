"""HTTP/1.1 as a client reads it: an answer's head, and how its body is framed. No I/O.

Source: RFC 9112, 4 and 6.3.
"""

from __future__ import annotations

from wherry.record import Record
from wherry.wire.http1 import CHUNKED, BadRequest, parse_field

UNTIL_CLOSE = -2
"""An answer's `length` when its body ends with the connection."""
MOST_HEAD = 64 << 10
"""Bytes of an answer's head."""
_MOST_FIELDS = 256
_MOST_DIGITS = 18


class Answer(Record):
    """``header`` has the names of its fields in lower case. ``length`` is the body's, `CHUNKED` or `UNTIL_CLOSE`."""

    status: int
    header: tuple[tuple[str, str], ...]
    length: int


class HeadTooLong(BadRequest):
    """It has over `MOST_HEAD` bytes."""


def find_end(data: bytes | bytearray) -> int:
    """Where the head at the beginning of ``data`` ends, or 0 while it is not whole. HeadTooLong: it never will be."""
    end = data.find(b"\r\n\r\n")
    if (end if end >= 0 else len(data)) > MOST_HEAD:
        raise HeadTooLong(502, f"the header has over {MOST_HEAD} bytes")
    return end + 4 if end >= 0 else 0


def parse_answer(data: bytes, *, head_only: bool) -> Answer:
    """A whole head, with the empty line at its end; ``head_only``: it was asked for by HEAD. BadRequest."""
    first, *lines = data[:-4].split(b"\r\n")
    version, _, rest = first.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or rest[3:4] not in (b"", b" "):
        raise BadRequest(502, "the first line is no answer")
    if len(lines) > _MOST_FIELDS:
        raise BadRequest(502, f"over {_MOST_FIELDS} header fields")
    header = tuple(map(parse_field, lines))
    status = int(code)
    return Answer(status, header, 0 if head_only or status in (204, 304) or status < 200 else _length(header))


def _length(header: tuple[tuple[str, str], ...]) -> int:
    codings = [value.lower() for name, value in header if name == "transfer-encoding"]
    lengths = {value for name, value in header if name == "content-length"}
    if codings:
        if codings != ["chunked"]:
            raise BadRequest(502, "the only Transfer-Encoding known here is chunked")
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSE
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS):
        raise BadRequest(502, "one Content-Length, a number, is wanted")
    return int(length)
