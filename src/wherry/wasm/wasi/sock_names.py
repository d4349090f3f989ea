"""Names to addresses: WasmEdge's sock_getaddrinfo, and what WAMR's sock_addr_resolve asks.

It is libc's getaddrinfo, in a process whose root is the container's: so /etc/hosts and /etc/resolv.conf are the
container's own. No plug-in of libc's can be loaded by it: nothing executable is mapped any more.
Reference: WasmEdge's lib/host/wasi/wasifunc.cpp and inode-linux.cpp.
"""

from __future__ import annotations

import _socket
from struct import Struct

from wherry.record import Record
from wherry.wasm.wasi import socket
from wherry.wasm.wasi.abi import U32
from wherry.wasm.wasi.errno import ACCES, AGAIN, IO, NOENT, SUCCESS, WasiError
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.wasi.socket import Address

    Answer = tuple[int, int, int, str, Address]

# flags, family, type, protocol, address length, address, canonical name, its length, next
_INFO = Struct("<HBBB3xIIIII")
_ADDRESS = Struct("<B3xII")  # family, length, data
_INET = Struct(">H4s8x")
_INET6 = Struct(">HI16s")
_SCOPE = Struct("=I")
_SIZES = {_socket.AF_INET: 16, _socket.AF_INET6: 28}  # of a struct sockaddr_in, sockaddr_in6
_MOST_NAME = 256
_FAMILIES = {0: 0, 1: _socket.AF_INET, 2: _socket.AF_INET6}
_TYPES = {0: 0, 1: _socket.SOCK_DGRAM, 2: _socket.SOCK_STREAM}
_PROTOCOLS = {0: 0, 1: _socket.IPPROTO_TCP, 2: _socket.IPPROTO_UDP}
# By bit: passive, canonname, numerichost, numericserv, v4mapped, all, addrconfig
_FLAGS = (
    _socket.AI_PASSIVE,
    _socket.AI_CANONNAME,
    _socket.AI_NUMERICHOST,
    _socket.AI_NUMERICSERV,
    _socket.AI_V4MAPPED,
    _socket.AI_ALL,
    _socket.AI_ADDRCONFIG,
)
# WasmEdge's errnos beyond WASI's own.
_AGAIN, _BADFLAG, _FAIL, _FAMILY, _MEMORY, _NODATA, _NONAME, _SERVICE, _SOCKTYPE, _SYSTEM = range(78, 88)
_FAILURES = {
    _socket.EAI_ADDRFAMILY: 77,
    _socket.EAI_AGAIN: _AGAIN,
    _socket.EAI_BADFLAGS: _BADFLAG,
    _socket.EAI_FAIL: _FAIL,
    _socket.EAI_FAMILY: _FAMILY,
    _socket.EAI_MEMORY: _MEMORY,
    _socket.EAI_NODATA: _NODATA,
    _socket.EAI_NONAME: _NONAME,
    _socket.EAI_SERVICE: _SERVICE,
    _socket.EAI_SOCKTYPE: _SOCKTYPE,
}
_NOT_FOUND = (_socket.EAI_NONAME, _socket.EAI_NODATA, _socket.EAI_ADDRFAMILY)


class Question(Record):
    """What getaddrinfo(3) is asked; "" and 0 are for any."""

    node: bytes
    service: bytes
    family: int = 0
    type_: int = 0
    protocol: int = 0
    flags: int = 0


def ask(host: Host, question: Question) -> list[Answer]:
    """Family, type, protocol, canonical name and address of each. AGAIN: no answer; NOENT, IO; ACCES: the container
    may not call out."""
    try:
        return _ask(host, question)
    except _socket.gaierror as error:
        if error.errno == _socket.EAI_AGAIN:
            raise WasiError(AGAIN) from None
        raise WasiError(NOENT if error.errno in _NOT_FOUND else IO) from None


def _ask(host: Host, question: Question) -> list[Answer]:
    if not socket.policy_of(host).outbound:
        raise WasiError(ACCES)
    answers: list[Answer] = _socket.getaddrinfo(
        question.node or None, question.service or None, question.family, question.type_, question.protocol,
        question.flags,
    )  # fmt: skip
    return [answer for answer in answers if answer[0] in _SIZES]


def sock_getaddrinfo(
    host: Host, node: int, node_len: int, service: int, service_len: int, hints: int, infos: int, room: int, found: int
) -> int:
    """``infos`` points to the first of ``room`` linked entries, whose addresses and names have room already; ``found``
    tells how many were filled. What goes wrong with the name itself is told by an errno beyond WASI's, 77 to 87."""
    memory = host.memory
    flags, family, type_, protocol, *_ = _INFO.unpack(memory.slice(hints, _INFO.size))
    words = _name(host, node, node_len), _name(host, service, service_len)
    (entry,) = U32.unpack(memory.slice(infos, 4))
    memory.slice(found, 4)
    wrong = _check(words, flags, (family, type_, protocol), room)
    if wrong:
        return wrong
    linux = sum(flag for bit, flag in enumerate(_FLAGS) if flags >> bit & 1)
    asked = Question(*words, _FAMILIES[family], _TYPES[type_], _PROTOCOLS[protocol], linux)
    try:
        answers = _ask(host, asked)
    except _socket.gaierror as error:
        return _FAILURES.get(error.errno or 0, _SYSTEM)
    filled = [answer for answer in answers if answer[1] in (_socket.SOCK_STREAM, _socket.SOCK_DGRAM)][:room]
    for answer in filled:
        entry = _fill(host, entry, flags, answer)
    memory.put_u32(found, len(filled))
    return SUCCESS


def _name(host: Host, pointer: int, size: int) -> bytes:
    """Up to its first NUL. A name that is longer than any can be is the empty one's opposite: never found."""
    return bytes(host.memory.slice(pointer, size)[:_MOST_NAME]).partition(b"\0")[0]


def _check(words: tuple[bytes, bytes], flags: int, hints: tuple[int, int, int], room: int) -> int:
    family, type_, protocol = hints
    wrong = (
        (not any(words), _NONAME),
        (not room, _MEMORY),
        (flags >> len(_FLAGS) or (flags & 2 and not words[0]), _BADFLAG),
        (family not in _FAMILIES, _FAMILY),
        (type_ not in _TYPES or protocol not in _PROTOCOLS, _SOCKTYPE),
    )
    return next((number for is_so, number in wrong if is_so), 0)


def _fill(host: Host, entry: int, flags: int, answer: Answer) -> int:
    """Fill one entry; returns the next one's pointer."""
    memory = host.memory
    family, type_, protocol, name, address = answer
    *_, data_at, name_at, name_room, following = _INFO.unpack(memory.slice(entry, _INFO.size))
    _, _, data = _ADDRESS.unpack(memory.slice(data_at, _ADDRESS.size))
    packed = _socket.inet_pton(family, address[0].partition("%")[0])
    if family == _socket.AF_INET:
        raw = _INET.pack(address[1], packed)
    else:
        raw = _INET6.pack(address[1], 0, packed) + _SCOPE.pack(address[3])
    known = _number(_FAMILIES, family)
    memory.write(data, raw)
    memory.write(data_at, _ADDRESS.pack(known, len(raw), data))
    canonical = name.encode()[:name_room]
    memory.write(name_at, canonical)
    kind = _number(_TYPES, type_), _number(_PROTOCOLS, protocol)
    memory.write(
        entry, _INFO.pack(flags, known, *kind, _SIZES[family], data_at, name_at, len(canonical), following)
    )  # fmt: skip
    return int(following)


def _number(table: dict[int, int], linux: int) -> int:
    return next((number for number, value in table.items() if value == linux), 0)
