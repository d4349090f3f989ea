"""WAMR's sockets: those of its functions that no other dialect has. Options are sock_options.py's.

Reference: WAMR's core/iwasm/libraries/lib-socket/inc/wasi_socket_ext.h. An address is a kind (0 IPv4, 1 IPv6), then
4 bytes or 8 numbers of 16 bits, then the port, all numbers in the guest's byte order. There are no address pools here:
which addresses a container reaches is decided by its network.
"""

from __future__ import annotations

import _socket
from struct import Struct

from wherry.wasm.wasi import fs, sock_names, socket
from wherry.wasm.wasi.errno import AFNOSUPPORT, INVAL, SUCCESS, WasiError
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.wasi.socket import Address

_FAMILIES = (_socket.AF_INET, _socket.AF_INET6)
_TYPES = (_socket.SOCK_DGRAM, _socket.SOCK_STREAM)
_ADDRESS_SIZE = 24
_INET = Struct("<I4sH14x")
_INET6 = Struct("<I16sHxx")
_GROUP = Struct("<I16s")  # an address without a port
_INFO = Struct("<24sI")  # an address and a socket's type
_HINTS = Struct("<IIB3x")  # type, family, whether they count
_ANY_FAMILY = 2
_ANY_TYPE = 0xFFFFFFFF
_MOST_NAME = 256
_MEMBERSHIP = {
    True: (_socket.IP_ADD_MEMBERSHIP, _socket.IPV6_JOIN_GROUP),
    False: (_socket.IP_DROP_MEMBERSHIP, _socket.IPV6_LEAVE_GROUP),
}


def sock_open(host: Host, pool: int, family: int, type_: int, fd: int) -> int:
    """``pool`` is not looked at. INVAL: no such family or type; MFILE, NOTCAPABLE."""
    if family >= len(_FAMILIES) or type_ >= len(_TYPES):
        return INVAL
    host.memory.slice(fd, 4)
    host.memory.put_u32(fd, socket.open_socket(host, _FAMILIES[family], _TYPES[type_]))
    return SUCCESS


def sock_close(host: Host, fd: int) -> int:
    """BADF, NOTSOCK."""
    socket.get(host, fd)
    return fs.fd_close(host, fd)


def sock_bind(host: Host, fd: int, address: int) -> int:
    """ACCES, ADDRINUSE, ADDRNOTAVAIL, AFNOSUPPORT, BADF, INVAL, NOTSOCK."""
    socket.bind(host, fd, _read(host, fd, address))
    return SUCCESS


def sock_connect(host: Host, fd: int, address: int) -> int:
    """ACCES, AFNOSUPPORT, BADF, CONNREFUSED, HOSTUNREACH, INPROGRESS, INVAL, ISCONN, NETUNREACH, NOTSOCK, TIMEDOUT."""
    socket.connect(host, fd, _read(host, fd, address))
    return SUCCESS


def sock_addr_local(host: Host, fd: int, address: int) -> int:
    """BADF, NOTSOCK."""
    return _tell(host, fd, socket.get(host, fd).socket.getsockname(), address)


def sock_addr_remote(host: Host, fd: int, address: int) -> int:
    """BADF, NOTCONN, NOTSOCK."""
    return _tell(host, fd, socket.get(host, fd).socket.getpeername(), address)


def sock_send_to(host: Host, fd: int, iovs: int, iovs_len: int, flags: int, address: int, datalen: int) -> int:
    """ACCES, AFNOSUPPORT, AGAIN, BADF, INVAL, ISCONN, MSGSIZE, NETUNREACH, NOTSOCK."""
    host.memory.slice(datalen, 4)
    target = _read(host, fd, address)
    host.memory.put_u32(datalen, socket.send_to(host, fd, iovs, iovs_len, flags, target))
    return SUCCESS


def sock_recv_from(host: Host, fd: int, iovs: int, iovs_len: int, flags: int, address: int, datalen: int) -> int:
    """AGAIN, BADF, INVAL, NOTCONN, NOTSOCK."""
    host.memory.slice(datalen, 4)
    host.memory.slice(address, _ADDRESS_SIZE)
    size, _, sender = socket.receive(host, fd, iovs, iovs_len, flags)
    if sender:
        _tell(host, fd, sender, address)
    host.memory.put_u32(datalen, size)
    return SUCCESS


def sock_addr_resolve(host: Host, name: int, service: int, hints: int, infos: int, room: int, found: int) -> int:
    """Addresses of a name, ``room`` of them at most; ``found`` tells how many there are. NOENT, AGAIN, IO."""
    memory = host.memory
    type_, family, count = _HINTS.unpack(memory.slice(hints, _HINTS.size))
    memory.slice(found, 4)
    asked = sock_names.Question(
        node=_text(host, name),
        service=_text(host, service),
        family=_FAMILIES[family] if count and family < len(_FAMILIES) else 0,
        type_=_TYPES[type_] if count and type_ < len(_TYPES) else 0,
    )
    if count and (family > _ANY_FAMILY or (type_ >= len(_TYPES) and type_ != _ANY_TYPE)):
        return INVAL
    answers = [answer for answer in sock_names.ask(host, asked) if answer[1] in _TYPES]
    for index, (of, kind, _, _, address) in enumerate(answers[:room]):
        memory.write(infos + index * _INFO.size, _INFO.pack(_pack(of, address), _TYPES.index(kind)))
    memory.put_u32(found, len(answers))
    return SUCCESS


def sock_set_ip_add_membership(host: Host, fd: int, group: int, interface: int) -> int:
    """BADF, INVAL, NODEV, NOTSOCK."""
    return _membership(host, fd, group, interface, joining=True)


def sock_set_ip_drop_membership(host: Host, fd: int, group: int, interface: int) -> int:
    """ADDRNOTAVAIL, BADF, INVAL, NODEV, NOTSOCK."""
    return _membership(host, fd, group, interface, joining=False)


def _membership(host: Host, fd: int, group: int, interface: int, *, joining: bool) -> int:
    kind, data = _GROUP.unpack(host.memory.slice(group, _GROUP.size))
    ipv4, ipv6 = _MEMBERSHIP[joining]
    sock = socket.get(host, fd).socket
    if kind == 0:
        sock.setsockopt(_socket.IPPROTO_IP, ipv4, data[:4] + interface.to_bytes(4, "little"))
    elif kind == 1:
        sock.setsockopt(_socket.IPPROTO_IPV6, ipv6, _swapped(data) + interface.to_bytes(4, "little"))
    else:
        return INVAL
    return SUCCESS


def _read(host: Host, fd: int, address: int) -> Address:
    data = host.memory.slice(address, _ADDRESS_SIZE)
    kind = int.from_bytes(data[:4], "little")
    if kind >= len(_FAMILIES):
        raise WasiError(INVAL)
    socket.check_family(host, fd, _FAMILIES[kind])
    if kind == 0:
        _, packed, port = _INET.unpack(data)
    else:
        _, packed, port = _INET6.unpack(data)
        packed = _swapped(packed)
    return _socket.inet_ntop(_FAMILIES[kind], packed), port


def _pack(family: int, address: Address) -> bytes:
    data = _socket.inet_pton(family, address[0].partition("%")[0])
    if family == _socket.AF_INET:
        return _INET.pack(0, data, address[1])
    return _INET6.pack(1, _swapped(data), address[1])


def _tell(host: Host, fd: int, found: Address, address: int) -> int:
    family = socket.get(host, fd).socket.family
    if family not in _FAMILIES:  # a unix socket, which only another dialect makes
        return AFNOSUPPORT
    host.memory.write(address, _pack(family, found))
    return SUCCESS


def _swapped(data: bytes) -> bytes:
    """Eight numbers of 16 bits in the other byte order."""
    swapped = bytearray(data)
    swapped[::2], swapped[1::2] = data[1::2], data[::2]
    return bytes(swapped)


def _text(host: Host, pointer: int) -> bytes:
    """A string that ends with a NUL; INVAL beyond 256 bytes."""
    view = host.memory.view if pointer < len(host.memory.view) else host.memory.reach(pointer, 1)
    text, nul, _ = bytes(view[pointer : pointer + _MOST_NAME]).partition(b"\0")
    if not nul:
        raise WasiError(INVAL)
    return text
