"""DNS messages as a resolver's front needs them: a query in, an answer out. Pure; what is known of names is others'.

Only the question of a query is read; the rest (EDNS's options) is passed on by whoever forwards it, or left out.
Source: RFC 1035 sections 3 and 4 (messages), RFC 2308 section 2 (no data), RFC 6761.
"""

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from string import hexdigits
from typing import Final

from wherry.errors import InvalidArgument

A: Final = 1
PTR: Final = 12
AAAA: Final = 28
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2

LONGEST: Final = 65_535
LONGEST_UDP: Final = 512
"""Bytes of an answer over UDP to somebody who did not say that it takes more."""
_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_LONGEST_NAME: Final = 255
_REVERSE: Final = ".in-addr.arpa"
_REVERSE_6: Final = ".ip6.arpa"


@dataclass(frozen=True, slots=True)
class Query:
    """``name`` in lower case, without the last dot; ``question`` as it came, for the answer repeats it."""

    id: int
    flags: int
    name: str
    type: int
    question: bytes


def parse(data: bytes) -> Query:
    """InvalidArgument: it is no query of one question in the Internet's class."""
    if len(data) < _HEADER.size:
        raise InvalidArgument("a DNS message has 12 bytes at least")
    number, flags, questions, *_ = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE) or questions != 1:
        raise InvalidArgument("not a standard DNS query of one question")
    name, end = _name(data, _HEADER.size)
    if len(data) < end + 4:
        raise InvalidArgument("a DNS question is cut short")
    kind, group = struct.unpack_from("!HH", data, end)
    if group != IN:
        raise InvalidArgument("a DNS question of another class than the Internet's")
    return Query(number, flags, name, kind, data[_HEADER.size : end + 4])


def _name(data: bytes, start: int) -> tuple[str, int]:
    """The name at ``start`` and where it ends. A question comes first: it has nothing to point back to."""
    labels, position = [], start
    while True:
        if position >= len(data):
            raise InvalidArgument("a DNS name is cut short")
        size = data[position]
        position += 1
        if size == 0:
            break
        if size > 63 or position + size > len(data) or position + size - start > _LONGEST_NAME:
            raise InvalidArgument("a DNS name with a label that cannot be")
        labels.append(data[position : position + size].decode("latin-1"))
        position += size
    return ".".join(labels).lower(), position


def answer(query: Query, records: Sequence[tuple[int, bytes]], *, ttl: int, code: int = NOERROR) -> bytes:
    """The message that answers with ``records`` (type, data) of the name asked for. ``ttl`` in seconds."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | (query.flags & _RECURSION_DESIRED) | code
    head = _HEADER.pack(query.id, flags, 1, len(records), 0, 0)
    # 0xC00C points back to the name in the question.
    body = [struct.pack("!HHHIH", 0xC00C, kind, IN, ttl, len(data)) + data for kind, data in records]
    return b"".join((head, query.question, *body))


def failure(data: bytes, code: int) -> bytes:
    """The answer to a message that could not be read, or not be answered: b"" when it has not even a number."""
    if len(data) < 2:
        return b""
    try:
        return answer(parse(data), (), ttl=0, code=code)
    except InvalidArgument:
        return _HEADER.pack(int.from_bytes(data[:2], "big"), _RESPONSE | code, 0, 0, 0, 0)


def fitted(message: bytes, query: Query, limit: int = LONGEST_UDP) -> bytes:
    """``message``, or one that says "too long, ask by TCP" when it has over ``limit`` bytes."""
    if len(message) <= limit:
        return message
    flags = int.from_bytes(message[2:4], "big") | _TRUNCATED
    return _HEADER.pack(query.id, flags, 1, 0, 0, 0) + query.question


def address_record(address: str) -> tuple[int, bytes]:
    """An address as a record: an A, or an AAAA (RFC 3596)."""
    found = ipaddress.ip_address(address)
    return (A if found.version == 4 else AAAA), found.packed


def ptr_record(name: str) -> tuple[int, bytes]:
    """A name as the record that an address points to. InvalidArgument: it is none."""
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in name.split(".")]
    if not all(0 < len(label) <= 63 for label in labels):
        raise InvalidArgument(f"no DNS name: {name[:100]!r}")
    return PTR, b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def reversed_address(name: str) -> str:
    """The address that a name like ``2.0.17.172.in-addr.arpa`` asks for, or one of 32 nibbles before ``ip6.arpa`` (RFC
    3596 section 2.5); "" if it is none."""
    try:
        if name.endswith(_REVERSE_6):
            nibbles = name.removesuffix(_REVERSE_6).split(".")
            whole = len(nibbles) == 32 and all(len(nibble) == 1 and nibble in hexdigits for nibble in nibbles)
            return str(ipaddress.IPv6Address(int("".join(reversed(nibbles)), 16))) if whole else ""
        if not name.endswith(_REVERSE):
            return ""
        return str(ipaddress.IPv4Address(".".join(reversed(name.removesuffix(_REVERSE).split(".")))))
    except ValueError:
        return ""


def resolv_conf_servers(text: str) -> list[str]:
    """The addresses of a resolv.conf's name servers, in its order; see resolv.conf(5)."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            found.append(words[1])
    return found
