"""A request of HTTP/2 written as one of HTTP/1.1, and the fields of an answer the other way. No I/O, no frames.

Strict, for what is let through here is read again as lines of text: a value with a line's end in it would be a second
request.

Source: RFC 9113, 8 (what makes a request malformed: 8.1.1), RFC 9110.
"""

from __future__ import annotations

from wherry.record import Record
from wherry.wire import http1

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Field = tuple[bytes, bytes]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with: RFC 9113, 3.4. No request of HTTP/1.1 is like it."""
_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_HOP_NAMES = frozenset(name.decode() for name in _HOP)
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
_UPPER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_MOST_DIGITS = 18


class Malformed(Exception):
    """A request that its stream is to be reset for, with PROTOCOL_ERROR. The text says why, on one line."""


class Request(Record):
    """``head`` is the request in HTTP/1.1, with the empty line; its body, if it has one, is to follow ``chunked`` or as
    it is, in ``length`` bytes (-1: as many as come). ``head_only``: it is a HEAD."""

    head: bytes
    chunked: bool
    length: int
    head_only: bool


def request(fields: Iterable[Field], *, ended: bool) -> Request:
    """The request with this header; ``ended``: nothing follows. Malformed."""
    pseudo, plain = _parted(fields)
    method, target = _line(pseudo)
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    authority = _authority(pseudo, plain)
    if authority:
        lines.append(b"host: " + authority)
    lines += [b"%b: %b" % field for field in plain if field[0] not in (b"host", b"cookie")]
    cookies = [value for name, value in plain if name == b"cookie"]
    if cookies:  # split for HPACK's sake: RFC 9113, 8.2.3
        lines.append(b"cookie: " + b"; ".join(cookies))
    length = _length(plain)
    if ended and length > 0:
        raise Malformed(f"a body of {length} bytes does not come")
    chunked = not ended and length < 0
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return Request(b"\r\n".join(lines) + b"\r\n\r\n", chunked, 0 if ended else length, method == b"HEAD")


def trailers(fields: Iterable[Field]) -> bytes:
    """The end of a body in chunks. Malformed."""
    pseudo, plain = _parted(fields)
    if pseudo:
        raise Malformed("a pseudo-header field among the trailers")
    return b"".join((b"0\r\n", *(b"%b: %b\r\n" % field for field in plain), b"\r\n"))


def answer_fields(status: int, header: Sequence[tuple[str, str]]) -> list[Field]:
    """An answer's header, less what is said of a connection of HTTP/1.1."""
    return [(b":status", b"%d" % status), *plain_fields(header)]


def plain_fields(header: Sequence[tuple[str, str]]) -> list[Field]:
    """A header's fields, or trailers. Their names are in lower case already."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in header if name not in _HOP_NAMES]


def is_last(header: Sequence[tuple[str, str]]) -> bool:
    """Whether the connection of HTTP/1.1 takes no other request after this answer."""
    return any(name == "connection" and "close" in value.lower() for name, value in header)


def _parted(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    pseudo: dict[bytes, bytes] = {}
    plain: list[Field] = []
    for name, value in fields:
        if http1.has_controls(value) or value[:1] in (b" ", b"\t") or value[-1:] in (b" ", b"\t"):
            raise Malformed("a value with a control character, or space around it")
        if name[:1] != b":":
            plain.append((_name(name, value), value))
        elif plain or name in pseudo or name not in _PSEUDO:
            raise Malformed("a pseudo-header field that is late, twice there, or unknown")
        else:
            pseudo[name] = value
    return pseudo, plain


def _name(name: bytes, value: bytes) -> bytes:
    if not http1.is_token(name.decode("latin-1")) or not _UPPER.isdisjoint(name):
        raise Malformed("a field's name that is none, or not in lower case")
    if name in _HOP or (name == b"te" and value.lower() != b"trailers"):
        raise Malformed(f"the field {name[:40].decode()} is said of connections")
    return name


def _line(pseudo: dict[bytes, bytes]) -> Field:
    """Method and target."""
    method = pseudo.get(b":method", b"")
    if not http1.is_token(method.decode("latin-1")):
        raise Malformed("no method")
    if method == b"CONNECT":  # it is the server that refuses it: here it is right without scheme and path
        if b":scheme" in pseudo or b":path" in pseudo or not _is_visible(pseudo.get(b":authority", b"")):
            raise Malformed("CONNECT with a path, or without authority")
        return method, pseudo[b":authority"]
    path = pseudo.get(b":path", b"")
    if not http1.is_token(pseudo.get(b":scheme", b"").decode("latin-1")):
        raise Malformed("no scheme")
    if not _is_visible(path) or not (path[:1] == b"/" or (path == b"*" and method == b"OPTIONS")):
        raise Malformed("no path")
    return method, path


def _authority(pseudo: dict[bytes, bytes], plain: list[Field]) -> bytes:
    hosts = [value for name, value in plain if name == b"host"]
    authority = pseudo.get(b":authority")
    if authority is None:
        if len(hosts) > 1:
            raise Malformed("more than one host")
        return hosts[0] if hosts else b""
    if not _is_visible(authority) or b"@" in authority or any(host != authority for host in hosts):
        raise Malformed("an authority that is none, or another one than the host")
    return authority


def _is_visible(value: bytes) -> bool:
    return bool(value) and min(value) > 0x20 and max(value) < 0x7F


def _length(plain: list[Field]) -> int:
    lengths = [value for name, value in plain if name == b"content-length"]
    if not lengths:
        return -1
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS:
        raise Malformed("one content-length, a number, is wanted")
    return int(lengths[0])
