"""WasmEdge's sockets, first and second version: the calls that open, name, connect and carry. Options are
sock_options.py's, names sock_names.py's; receiving, sending and shutting down a connection are preview 1's: sock.py.

Reference: WasmEdge's lib/host/wasi/wasifunc.cpp and include/common/enum.inc; wasmedge_wasi_socket's src/socket.rs.
An address is given as a pointer and a length: 4 bytes are IPv4, 16 IPv6, and 128 a family of two bytes and then its
address. The first version has no 128, but nothing is lost where it is taken there as well.
"""

from __future__ import annotations

import _socket

from wherry.wasm.wasi import abi, socket
from wherry.wasm.wasi.abi import U16
from wherry.wasm.wasi.errno import INVAL, NOMEM, NOSYS, SUCCESS, WasiError
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.wasi.socket import Address

FAMILIES = {1: _socket.AF_INET, 2: _socket.AF_INET6, 3: _socket.AF_UNIX}
TYPES = {1: _socket.SOCK_DGRAM, 2: _socket.SOCK_STREAM}
_FAMILY_NUMBERS = {linux: number for number, linux in FAMILIES.items()}
_FIRST_TYPES = {_socket.AF_INET: 4, _socket.AF_INET6: 6}
_STORAGE = 128
_INET_SIZES = {4: _socket.AF_INET, 16: _socket.AF_INET6}
_SIZES = {family: size for size, family in _INET_SIZES.items()}


def sock_open(host: Host, family: int, type_: int, fd: int) -> int:
    """INVAL: no such family or type; MFILE, NOTCAPABLE."""
    if family not in FAMILIES or type_ not in TYPES:
        return INVAL
    host.memory.slice(fd, 4)
    host.memory.put_u32(fd, socket.open_socket(host, FAMILIES[family], TYPES[type_]))
    return SUCCESS


def sock_bind(host: Host, fd: int, address: int, port: int) -> int:
    """ACCES, ADDRINUSE, ADDRNOTAVAIL, AFNOSUPPORT, BADF, INVAL, NOTSOCK."""
    socket.bind(host, fd, _read(host, fd, address, port))
    return SUCCESS


def sock_listen(host: Host, fd: int, backlog: int) -> int:
    """ACCES, ADDRINUSE, BADF, INVAL, NOTSOCK."""
    socket.listen(host, fd, backlog)
    return SUCCESS


def sock_accept(host: Host, fd: int, connection: int) -> int:
    """The first version's: without flags."""
    host.memory.slice(connection, 4)
    host.memory.put_u32(connection, socket.accept(host, fd, 0))
    return SUCCESS


def sock_connect(host: Host, fd: int, address: int, port: int) -> int:
    """ACCES, AFNOSUPPORT, BADF, CONNREFUSED, HOSTUNREACH, INPROGRESS, INVAL, ISCONN, NETUNREACH, NOTSOCK, TIMEDOUT."""
    socket.connect(host, fd, _read(host, fd, address, port))
    return SUCCESS


def sock_recv_from(
    host: Host, fd: int, iovs: int, iovs_len: int, address: int, flags: int, datalen: int, ro_flags: int
) -> int:
    """The first version's: it tells the sender's address and not its port."""
    return _receive(host, (fd, iovs, iovs_len, flags), address, 0, (datalen, ro_flags))


def sock_recv_from_v2(
    host: Host, fd: int, iovs: int, iovs_len: int, address: int, flags: int, port: int, datalen: int, ro_flags: int
) -> int:
    """The port is a number of 16 bits in the guest's own byte order."""
    host.memory.slice(port, 2)
    return _receive(host, (fd, iovs, iovs_len, flags), address, port, (datalen, ro_flags))


def sock_send_to(
    host: Host, fd: int, iovs: int, iovs_len: int, address: int, port: int, flags: int, datalen: int
) -> int:
    """ACCES, AFNOSUPPORT, AGAIN, BADF, INVAL, ISCONN, MSGSIZE, NETUNREACH, NOTSOCK."""
    memory = host.memory
    memory.slice(datalen, 4)
    target = _read(host, fd, address, port)
    memory.put_u32(datalen, socket.send_to(host, fd, iovs, iovs_len, flags, target))
    return SUCCESS


def sock_getlocaladdr(host: Host, fd: int, address: int, type_: int, port: int) -> int:
    """The first version's: the type is 4 or 6. BADF, INVAL, NOMEM: the buffer is too small; NOTSOCK."""
    return _tell_first(host, socket.get(host, fd).socket.getsockname(), fd, address, (type_, port))


def sock_getpeeraddr(host: Host, fd: int, address: int, type_: int, port: int) -> int:
    """The same of the other end. NOTCONN."""
    return _tell_first(host, socket.get(host, fd).socket.getpeername(), fd, address, (type_, port))


def sock_getlocaladdr_v2(host: Host, fd: int, address: int, port: int) -> int:
    """BADF, INVAL, NOTSOCK."""
    return _tell_second(host, socket.get(host, fd).socket.getsockname(), fd, address, port)


def sock_getpeeraddr_v2(host: Host, fd: int, address: int, port: int) -> int:
    """BADF, INVAL, NOTCONN, NOTSOCK."""
    return _tell_second(host, socket.get(host, fd).socket.getpeername(), fd, address, port)


def _buffer(host: Host, address: int) -> memoryview:
    """The buffer an address lies in, or is written to. INVAL: of no size that stands for a family."""
    memory = host.memory
    pointer, size = abi.IOVEC.unpack(memory.slice(address, abi.IOVEC.size))
    if size not in _INET_SIZES and size != _STORAGE:
        raise WasiError(INVAL)
    return memory.slice(pointer, size)


def _read(host: Host, fd: int, address: int, port: int) -> Address:
    """The address that is given. AFNOSUPPORT: it is not one of that socket's family."""
    data = bytes(_buffer(host, address))
    family = _INET_SIZES.get(len(data), 0)
    if not family:
        family, data = FAMILIES.get(int.from_bytes(data[:2], "little"), 0), data[2:]
    socket.check_family(host, fd, family)
    if family == _socket.AF_UNIX:
        return socket.check_path(data)
    return _socket.inet_ntop(family, data[: _SIZES[family]]), port & 0xFFFF


def _receive(host: Host, source: tuple[int, int, int, int], address: int, port: int, told: tuple[int, int]) -> int:
    memory = host.memory
    buffer = _buffer(host, address)
    memory.slice(told[0], 4)
    memory.slice(told[1], 2)
    size, flags, sender = socket.receive(host, *source)
    number = _write(buffer, socket.get(host, source[0]).socket.family, sender) if sender else 0
    if port:
        memory.write(port, U16.pack(number))
    memory.put_u32(told[0], size)
    memory.write(told[1], U16.pack(flags))
    return SUCCESS


def _tell_first(host: Host, found: Address, fd: int, address: int, told: tuple[int, int]) -> int:
    memory = host.memory
    family = socket.get(host, fd).socket.family
    if family not in _FIRST_TYPES:
        return NOSYS
    buffer = _buffer(host, address)
    if len(buffer) < _SIZES[family]:
        return NOMEM
    memory.slice(told[0], 4)
    memory.put_u32(told[1], _write(buffer, family, found))
    memory.put_u32(told[0], _FIRST_TYPES[family])
    return SUCCESS


def _tell_second(host: Host, found: Address, fd: int, address: int, port: int) -> int:
    buffer = _buffer(host, address)
    if len(buffer) != _STORAGE:
        return INVAL
    host.memory.put_u32(port, _write(buffer, socket.get(host, fd).socket.family, found))
    return SUCCESS


def _write(buffer: memoryview, family: int, address: Address) -> int:
    """Put an address into a buffer, as much of it as there is room for; returns the port, 0 of a unix socket."""
    if family == _socket.AF_UNIX:
        data, port = bytes(address if isinstance(address, bytes) else address.encode()).ljust(108, b"\0"), 0
    else:
        data, port = _socket.inet_pton(family, address[0].partition("%")[0]), address[1]
    if len(buffer) == _STORAGE:
        buffer[:2] = U16.pack(_FAMILY_NUMBERS[family])
        buffer = buffer[2:]
    size = min(len(data), len(buffer))
    buffer[:size] = data[:size]
    return port
