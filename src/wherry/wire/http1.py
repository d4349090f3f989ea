"""HTTP/1.1 as a server reads it: a request's head, how its body is framed, and the words of an answer. No I/O.

Strict where two readers could disagree, for such a disagreement is how requests are smuggled: a line ends with CRLF, a
field's name touches its colon, nothing is folded, a length is given in one way.

Source: RFC 9112 (messages), RFC 9110 (status codes), RFC 6585 (431).
"""

from __future__ import annotations

from wherry.record import Record
from wherry.wire.memo import remembering

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CHUNKED = -1
"""A request's `length` when its body comes in chunks."""
MOST_TARGET = 8 << 10
"""Bytes of a request's target, if nobody says otherwise."""
MOST_HEAD = 32 << 10
"""The same, of a request's head beside its first line."""
MOST_FIELDS = 100
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip

_FRAMING = frozenset(("host", "connection", "content-length", "transfer-encoding", "expect"))
"""Fields that say how the message is to be read."""
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset(b"0123456789")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_CONTROLS = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_MOST_DIGITS = 18
_MOST_SIZE_LINE = 256
_MOST_TRAILERS = 8 << 10
"""Bytes of them."""


class BadRequest(Exception):
    """What a client sent is refused with ``status``; the text says why, on one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class RequestHead(Record):
    """``header`` has the names of its fields in lower case. ``target`` begins with "/" or is "*"; ``host`` is where it
    was sent. ``length`` is the body's, 0 for none, or `CHUNKED`. ``scheme`` and
    ``major`` version are what the client spoke, if somebody translates: `parse_head` does not know."""

    method: str
    target: str
    minor: int
    header: tuple[tuple[str, str], ...]
    host: str
    length: int
    keep: bool
    expects: bool
    scheme: str = "http"
    major: int = 1

    def by(self, scheme: str, major: int) -> RequestHead:
        """The same, asked in another way."""
        values: tuple[Any, ...] = (*self[:-2], scheme, major)
        return RequestHead(*values)

    @property
    def protocol(self) -> str:
        """As logs and CGI name it."""
        return f"HTTP/1.{self.minor}" if self.major == 1 else f"HTTP/{self.major}.0"

    def field(self, name: str) -> str:
        """The first field of that name, "" if there is none."""
        return next((value for key, value in self.header if key == name), "")


class AnswerHead(Record):
    """What a handler answers. ``length`` is the body's if that is known, or -1; it is not in ``header``."""

    status: int
    reason: str
    header: tuple[tuple[str, str], ...]
    length: int

    @property
    def has_body(self) -> bool:
        """Whether such an answer may have one (RFC 9110, 6.4.1)."""
        return self.status not in (204, 304)


def find_end(data: bytes | bytearray, most_target: int = MOST_TARGET, most_head: int = MOST_HEAD) -> int:
    """Where the head at the beginning of ``data`` ends, or 0 while it is not whole. BadRequest: it never will be."""
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        end += 4
    first = data.find(b"\r\n", 0, end if end > 0 else len(data))
    if (first if first >= 0 else len(data)) > most_target + 64:
        raise BadRequest(414, f"the request line has over {most_target} bytes")
    if (end if end > 0 else len(data)) - max(first, 0) > most_head:
        raise BadRequest(431, f"the header has over {most_head} bytes")
    if end < 0 and data.count(b"\n") != data.count(b"\r\n"):
        raise BadRequest(400, "a line ends without a carriage return")
    return max(end, 0)


class HeadReader:
    """Reads heads, and remembers their lines: from one request to the next most are the same."""

    def __init__(self, most_target: int = MOST_TARGET) -> None:
        self._line = remembering(lambda line: _request_line(line, most_target))
        self._field = remembering(parse_field)

    def read(self, data: bytes) -> RequestHead:
        """A whole head, with the empty line at its end. BadRequest."""
        first, *lines = data[:-4].split(b"\r\n")
        method, target, minor = self._line(first)
        if len(lines) > MOST_FIELDS:
            raise BadRequest(431, f"over {MOST_FIELDS} header fields")
        fields = tuple(map(self._field, lines))
        named: dict[str, list[str]] = {}
        for name, value in fields:
            if name in _FRAMING:
                named.setdefault(name, []).append(value)
        hosts = named.get("host", ())
        if len(hosts) > 1 or (not hosts and minor):
            raise BadRequest(400, "one Host is wanted")
        target, host = _origin(method, target, hosts[0] if hosts else "")
        length = _length(named.get("content-length", ()), named.get("transfer-encoding", ()), minor)
        words = _list(named.get("connection", ()))
        keep = "close" not in words and (minor > 0 or "keep-alive" in words)
        expects = minor > 0 and "100-continue" in _list(named.get("expect", ()))
        return RequestHead(method, target, minor, fields, host, length, keep, expects, "http", 1)


def parse_head(data: bytes) -> RequestHead:
    """One head by itself. BadRequest."""
    return HeadReader().read(data)


def _request_line(line: bytes, most_target: int) -> tuple[str, str, int]:
    words = line.split(b" ")
    if len(words) != 3 or not words[0] or not _TOKEN.issuperset(words[0]):
        raise BadRequest(400, "the first line is no request")
    method, target, version = words
    if not version.startswith(b"HTTP/") or len(version) != 8 or version[6:7] != b".":
        raise BadRequest(400, "the first line names no version of HTTP")
    if version[5:7] != b"1." or version[7] not in _DIGITS:
        raise BadRequest(505, "only versions 1.0 and 1.1 are spoken here")
    if len(target) > most_target:
        raise BadRequest(414, f"the target has over {most_target} bytes")
    if not target or min(target) < 0x21 or max(target) > 0x7E:
        raise BadRequest(400, "the target has bytes that must be encoded")
    return method.decode("ascii"), target.decode("ascii"), min(int(version[7:]), 1)


def parse_field(line: bytes) -> tuple[str, str]:
    """One line of a header. BadRequest."""
    if line[:1] in (b" ", b"\t"):
        raise BadRequest(400, "a header field is folded over several lines")
    name, colon, value = line.partition(b":")
    if not colon or not name or not _TOKEN.issuperset(name):
        raise BadRequest(400, "a header field has no valid name")
    value = value.strip(b" \t")
    if has_controls(value):
        raise BadRequest(400, f"the header field {name[:40].decode('ascii')} has a control character")
    return name.decode("ascii").lower(), value.decode("latin-1")


def is_token(name: str) -> bool:
    """Whether it may be a method or a field's name (RFC 9110, 5.6.2)."""
    return bool(name) and name.isascii() and _TOKEN.issuperset(name.encode())


def has_controls(value: bytes) -> bool:
    """Whether there is a character in it that no field may have: all below the space but the tab, and DEL."""
    return len(value.translate(None, _CONTROLS)) != len(value)


def _origin(method: str, target: str, host: str) -> tuple[str, str]:
    """The target as a path, and the host: of an absolute target its own one counts (RFC 9112, 3.2.2)."""
    if method == "CONNECT":
        raise BadRequest(501, "no tunnels are made here")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target, host
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise BadRequest(400, "the target is no path")
    cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[cut:]
    return path if path.startswith("/") else "/" + path, rest[:cut]


def _length(lengths: Sequence[str], codings: Sequence[str], minor: int) -> int:
    """What Content-Length and Transfer-Encoding say, as often as they were sent."""
    if codings:
        if lengths:
            raise BadRequest(400, "both Transfer-Encoding and Content-Length")
        if not minor:
            raise BadRequest(400, "Transfer-Encoding in HTTP/1.0")
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise BadRequest(501, "the only Transfer-Encoding known here is chunked")
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0] or not _DIGITS.issuperset(lengths[0].encode("latin-1")):
        raise BadRequest(400, "one Content-Length, a number, is wanted")
    if len(lengths[0]) > _MOST_DIGITS:
        raise BadRequest(413, "the Content-Length is absurd")
    return int(lengths[0])


def _list(values: Sequence[str]) -> list[str]:
    """The words of a field, as often as it was sent."""
    return [word.strip().lower() for value in values for word in value.split(",")] if values else []


_SIZE, _DATA, _END, _TRAILERS, _DONE = range(5)


class Body:
    """Takes a request's body out of what comes after its head. ``limit`` is the most bytes it may have."""

    __slots__ = ("_buffer", "_left", "_limit", "_state", "_taken", "length", "trailers")

    def __init__(self, length: int, beginning: bytes, limit: int) -> None:
        if length > limit:
            raise BadRequest(413, f"the body has over {limit} bytes")
        self.length = length
        self._buffer = bytearray(beginning)
        self._limit = limit
        self._taken = 0
        self.trailers: tuple[tuple[str, str], ...] = ()
        self._left = max(length, 0)
        self._state = _SIZE if length == CHUNKED else _DATA if length else _DONE

    @property
    def done(self) -> bool:
        """All of it was taken."""
        return self._state == _DONE

    @property
    def held(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._buffer)

    @property
    def rest(self) -> bytes:
        """What came after it: the next request's beginning."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self, most: int) -> bytes:
        """The next at most ``most`` bytes of those fed; b"" when more must be fed, or it is `done`. BadRequest."""
        while self._state in (_SIZE, _END, _TRAILERS):
            if not self._frame():
                return b""
        if self._state == _DONE:
            return b""
        data = bytes(self._buffer[: min(most, self._left)])
        del self._buffer[: len(data)]
        self._left -= len(data)
        self._taken += len(data)
        if self._taken > self._limit:
            raise BadRequest(413, f"the body has over {self._limit} bytes")
        if not self._left:
            self._state = _END if self.length == CHUNKED else _DONE
            if self._state == _END:  # the last chunk may be there already: then it is done now, not at the next call
                while self._state in (_SIZE, _END, _TRAILERS) and self._frame():
                    continue
        return data

    def _frame(self) -> bool:
        """Read what stands between the data; False: more must be fed."""
        end = self._buffer.find(b"\r\n")
        most = _MOST_TRAILERS if self._state == _TRAILERS else _MOST_SIZE_LINE
        if end < 0 and len(self._buffer) <= most:
            return False
        if not 0 <= end <= most:
            raise BadRequest(400, "a chunk's line is too long")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._state == _SIZE:
            self._left = _size(line)
            self._state = _DATA if self._left else _TRAILERS
        elif self._state == _END:
            if line:
                raise BadRequest(400, "a chunk is longer than it says")
            self._state = _SIZE
        else:
            self._trailer(line)
        return True

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        self.trailers += (parse_field(line),)
        self._taken += len(line)
        if self._taken > self._limit + _MOST_TRAILERS:
            raise BadRequest(431, "too many trailers")


def _size(line: bytes) -> int:
    digits, _, extension = line.partition(b";")
    digits = digits.rstrip(b" \t")
    if not digits or not _HEX.issuperset(digits) or len(digits) > 15 or b"\n" in extension or b"\r" in extension:
        raise BadRequest(400, "a chunk's size is no number")
    return int(digits, 16)


def answer_head(status: int, reason: str, fields: tuple[tuple[str, str], ...], date: str) -> bytes:
    """A status line and the header with its empty line. Names and values must have been checked."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    first = f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Unknown')}\r\ndate: {date}\r\n"
    return f"{first}{lines}\r\n".encode("latin-1", "replace")


def answer(status: int, text: str, date: str, *, head_only: bool = False, keep: bool = False) -> bytes:
    """A whole answer of the server's own, one line of plain text."""
    body = f"{status} {REASONS.get(status, '')}: {text}\n".encode()
    fields = (
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(body))),
        *(() if keep else (("connection", "close"),)),
    )
    return answer_head(status, "", fields, date) + (b"" if head_only else body)


def chunk(data: bytes) -> bytes:
    """``data``, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: tuple[tuple[str, str], ...]) -> bytes:
    """The end of a body in chunks. Names and values must have been checked."""
    return ("0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers) + "\r\n").encode("latin-1", "replace")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(at: tuple[int, ...]) -> str:
    """A Date field's value; ``at`` as time.gmtime gives it."""
    year, month, day, hour, minute, second, weekday = at[:7]
    return f"{_DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
