"""CGI: a request as variables, and a program's output as an answer's head. No I/O.

Source: RFC 3875; WAGI's own variables and arguments: https://github.com/deislabs/wagi, docs/environment_variables.md.
"""

from __future__ import annotations

from wherry.record import Record
from wherry.wire.http1 import CHUNKED, REASONS, AnswerHead, RequestHead, has_controls

MOST_HEAD = 64 << 10
"""Bytes of the header that a program may write."""
MOST_FIELDS = 256
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~")
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
# Never handed on as HTTP_*: CGI's own variables carry the first two; hop-by-hop fields were the server's business;
# credentials are not the program's (RFC 3875, 4.1.18; so does WAGI); HTTP_PROXY would be taken for a setting.
_KEPT_BACK = frozenset(
    (
        *("content-length", "content-type", "connection", "keep-alive", "transfer-encoding", "te", "trailer"),
        *("upgrade", "expect", "authorization", "proxy-authorization", "proxy-connection", "proxy"),
    )
)
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection", "date")
)


class BadOutput(Exception):
    """What the program wrote is no CGI answer: the text says why, on one line."""


class Place(Record):
    """Where a request was matched and came from: ``route`` as it is configured, ``script`` the part of the path that it
    covers, addresses as text."""

    route: str
    script: str
    port: int
    peer: str
    peer_port: int
    software: str


def variables(head: RequestHead, place: Place) -> tuple[bytes, ...]:
    """The environment of one request: RFC 3875, 4.1, and WAGI's."""
    path, _, query = head.target.partition("?")
    raw_info = path[len(place.script) :]
    info = unquote(raw_info)
    name, port = _server(head.host, place.port)
    words = [
        "AUTH_TYPE=",
        f"CONTENT_TYPE={head.field('content-type')}",
        "GATEWAY_INTERFACE=CGI/1.1",
        f"PATH_INFO={info}",
        f"PATH_TRANSLATED={info}",
        f"QUERY_STRING={query}",
        f"REMOTE_ADDR={place.peer}",
        f"REMOTE_HOST={place.peer}",
        f"REMOTE_PORT={place.peer_port}",
        "REMOTE_USER=",
        f"REQUEST_METHOD={head.method}",
        f"REQUEST_URI={head.target}",
        f"SCRIPT_NAME={place.script}",
        f"SERVER_NAME={name}",
        f"SERVER_PORT={port}",
        f"SERVER_PROTOCOL={head.protocol}",
        f"SERVER_SOFTWARE={place.software}",
        f"X_MATCHED_ROUTE={place.route}",
        f"X_FULL_URL={head.scheme}://{head.host or name}{head.target}",
        f"X_RAW_PATH_INFO={raw_info}",
    ]
    if head.length != CHUNKED:
        words.append(f"CONTENT_LENGTH={head.length}")
    words += _fields(head.header)
    text = "\0".join(words)
    if text.count("\0") >= len(words):  # a NUL would end a variable: what has one is not told
        text = "\0".join([word for word in words if "\0" not in word])
    return tuple(text.encode("latin-1", "replace").split(b"\0"))


def _fields(header: tuple[tuple[str, str], ...]) -> list[str]:
    """A request's fields as variables; of one name they become one."""
    found: dict[str, str] = {}
    for key, value in header:
        if key not in _KEPT_BACK and _SAFE.issuperset(key):
            variable = "HTTP_" + key.upper().replace("-", "_")
            separator = "; " if key == "cookie" else ", "
            found[variable] = f"{found[variable]}{separator}{value}" if variable in found else value
    return [f"{variable}={value}" for variable, value in found.items()]


def arguments(target: str) -> tuple[bytes, ...]:
    """WAGI's: the parts of the query string as words."""
    query = target.partition("?")[2]
    if not query:
        return ()
    words = (unquote(word).encode("latin-1", "replace") for word in query.split("&") if word)
    return tuple(word for word in words if b"\0" not in word)


def unquote(text: str) -> str:
    """Percent-decoding, to bytes as latin-1; what is no code stays as it is."""
    if "%" not in text:
        return text
    first, *parts = text.split("%")
    decoded = [first]
    for part in parts:
        code = part[:2]
        is_code = len(code) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in code)
        decoded.append(chr(int(code, 16)) + part[2:] if is_code else "%" + part)
    return "".join(decoded)


def _server(host: str, port: int) -> tuple[str, str]:
    name, colon, number = host.rpartition(":")
    if colon and number.isdecimal() and not (host.startswith("[") and not name.endswith("]")):
        return name, number
    return host or "localhost", str(port) if not host else "80"


def find_end(data: bytes | bytearray) -> tuple[int, int]:
    """Where the header at the beginning of a program's output ends and its body begins; (-1, 0): not yet. BadOutput."""
    plain, other = data.find(b"\n\n"), data.find(b"\n\r\n")
    if data[:1] == b"\n" or data[:2] == b"\r\n":
        return 0, data.index(b"\n") + 1
    if plain < 0 and other < 0:
        if len(data) > MOST_HEAD:
            raise BadOutput(f"no empty line ends the header in the first {MOST_HEAD} bytes")
        return -1, 0
    end, size = (plain, 2) if other < 0 or 0 <= plain < other else (other, 3)
    if end > MOST_HEAD:
        raise BadOutput(f"its header has over {MOST_HEAD} bytes")
    return end, end + size


def parse_head(data: bytes) -> AnswerHead:
    """A header, without the empty line that ends it. BadOutput."""
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")] if data.strip() else []
    if len(lines) > MOST_FIELDS:
        raise BadOutput(f"its header has over {MOST_FIELDS} fields")
    fields = [_field(line) for line in lines]
    known = dict(fields)
    if len(known) != len(fields) and any(
        sum(name == special for name, _ in fields) > 1 for special in ("status", "location", "content-length")
    ):
        raise BadOutput("its header has Status, Location or Content-Length twice")
    if not known.keys() & {"content-type", "status", "location"}:
        raise BadOutput("its header has none of Content-Type, Status and Location")
    status, reason = _status(known)
    length = known.get("content-length", "-1")
    if length != "-1" and not (length.isascii() and length.isdigit() and len(length) < 19):
        raise BadOutput("its Content-Length is no number")
    kept = tuple((name, value) for name, value in fields if name not in _HOP_BY_HOP | {"status", "content-length"})
    return AnswerHead(status, reason, kept, int(length))


def _field(line: bytes) -> tuple[str, str]:
    text = line.decode("latin-1")
    name, colon, value = text.partition(":")
    if not colon or not name or not _NAME.issuperset(name):
        raise BadOutput(f"a line of its header is no field: {text[:40]!r}")
    if has_controls(value.encode("latin-1")):
        raise BadOutput(f"the field {name[:40]} has a control character")
    return name.lower(), value.strip()


def _status(known: dict[str, str]) -> tuple[int, str]:
    if "status" not in known:
        return (302, REASONS[302]) if "location" in known else (200, REASONS[200])
    code, _, reason = known["status"].partition(" ")
    if not (len(code) == 3 and code.isascii() and code.isdigit() and 200 <= int(code) < 600):
        raise BadOutput(f"its Status is {known['status'][:40]!r}: three digits from 200 to 599 are wanted")
    return int(code), reason.strip() or REASONS.get(int(code), "Unknown")
