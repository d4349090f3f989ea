"""Socket options: WasmEdge's two functions, and WAMR's pairs of one getter and one setter per option, as a table.

Reference: WasmEdge's include/common/enum.inc (sock_opt_so); WAMR's
core/iwasm/libraries/lib-socket/inc/wasi_socket_ext.h.
"""

from __future__ import annotations

import _socket
from struct import Struct

from wherry.wasm.wasi import socket
from wherry.wasm.wasi.abi import U32, U64
from wherry.wasm.wasi.errno import INVAL, NOPROTOOPT, SUCCESS, WasiError, from_linux
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.sock_wasmedge import TYPES

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

_U8 = Struct("<B")
_INT = Struct("=i")
_LINGER = Struct("=ii")
_TIME = Struct("=qq")  # struct timeval: seconds, microseconds
_GUEST_TIME = Struct("<qi4x")  # the same in a 32-bit guest: what pads it may be anything
_MICRO = 1_000_000
_VALUE_MAX = 256
_TYPE_NUMBERS = {linux: number for number, linux in TYPES.items()}

# By WasmEdge's number. SO_BINDTODEVICE (14) is not offered: interfaces are the container's operator's business.
_NAMES = (
    _socket.SO_REUSEADDR,
    _socket.SO_TYPE,
    _socket.SO_ERROR,
    _socket.SO_DONTROUTE,
    _socket.SO_BROADCAST,
    _socket.SO_SNDBUF,
    _socket.SO_RCVBUF,
    _socket.SO_KEEPALIVE,
    _socket.SO_OOBINLINE,
    _socket.SO_LINGER,
    _socket.SO_RCVLOWAT,
    _socket.SO_RCVTIMEO,
    _socket.SO_SNDTIMEO,
    _socket.SO_ACCEPTCONN,
)
_TIMES = (_socket.SO_RCVTIMEO, _socket.SO_SNDTIMEO)


def sock_getsockopt(host: Host, fd: int, level: int, name: int, value: int, size: int) -> int:
    """BADF, INVAL: no such level, or no room; NOPROTOOPT, NOTSOCK. SO_ERROR is an errno of WASI's."""
    memory = host.memory
    (room,) = U32.unpack(memory.slice(size, 4))
    option = _option(level, name)
    sock = socket.get(host, fd).socket
    if not room:
        return INVAL
    room = min(room, _VALUE_MAX)
    memory.slice(value, room)
    data = sock.getsockopt(_socket.SOL_SOCKET, option, room)
    if option == _socket.SO_ERROR and len(data) == 4:
        number = _INT.unpack(data)[0]
        data = U32.pack(from_linux(number) if number else 0)
    elif option == _socket.SO_TYPE and len(data) == 4:
        data = U32.pack(_TYPE_NUMBERS[_INT.unpack(data)[0]])
    memory.write(value, data)
    memory.put_u32(size, len(data))
    return SUCCESS


def sock_setsockopt(host: Host, fd: int, level: int, name: int, value: int, size: int) -> int:
    """BADF, DOM, INVAL, NOPROTOOPT, NOTSOCK."""
    option = _option(level, name)
    if size > _VALUE_MAX:
        return INVAL
    data = bytes(host.memory.slice(value, size))
    if option in _TIMES and size == _GUEST_TIME.size:
        data = _TIME.pack(*_GUEST_TIME.unpack(data))
    socket.get(host, fd).socket.setsockopt(_socket.SOL_SOCKET, option, data)
    return SUCCESS


def _option(level: int, name: int) -> int:
    if level:
        raise WasiError(INVAL)
    if name >= len(_NAMES):
        raise WasiError(NOPROTOOPT)
    return _NAMES[name]


# WAMR's: name after sock_get_ and sock_set_, level, option, and the layout of its value in the guest.
_TCP, _IP, _SOCKET = _socket.IPPROTO_TCP, _socket.IPPROTO_IP, _socket.SOL_SOCKET
_WAMR = (
    ("recv_buf_size", _SOCKET, _socket.SO_RCVBUF, U32),
    ("send_buf_size", _SOCKET, _socket.SO_SNDBUF, U32),
    ("reuse_addr", _SOCKET, _socket.SO_REUSEADDR, _U8),
    ("reuse_port", _SOCKET, _socket.SO_REUSEPORT, _U8),
    ("keep_alive", _SOCKET, _socket.SO_KEEPALIVE, _U8),
    ("broadcast", _SOCKET, _socket.SO_BROADCAST, _U8),
    ("tcp_no_delay", _TCP, _socket.TCP_NODELAY, _U8),
    ("tcp_quick_ack", _TCP, _socket.TCP_QUICKACK, _U8),
    ("tcp_keep_idle", _TCP, _socket.TCP_KEEPIDLE, U32),
    ("tcp_keep_intvl", _TCP, _socket.TCP_KEEPINTVL, U32),
    ("tcp_fastopen_connect", _TCP, 30, _U8),  # TCP_FASTOPEN_CONNECT, which _socket does not name
    ("ip_ttl", _IP, _socket.IP_TTL, _U8),
    ("ip_multicast_ttl", _IP, _socket.IP_MULTICAST_TTL, _U8),
    ("ipv6_only", _socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, _U8),
)
_WAMR_TIMES = (("recv_timeout", _socket.SO_RCVTIMEO), ("send_timeout", _socket.SO_SNDTIMEO))
_LOOPS = {
    False: (_IP, _socket.IP_MULTICAST_LOOP),
    True: (_socket.IPPROTO_IPV6, _socket.IPV6_MULTICAST_LOOP),
}


def wamr() -> list[tuple[str, str, Callable[..., int]]]:
    """WAMR's functions: name, parameters, function."""
    found: list[tuple[str, str, Callable[..., int]]] = [
        ("sock_get_linger", "iii", sock_get_linger),
        ("sock_set_linger", "iii", sock_set_linger),
        ("sock_get_ip_multicast_loop", "iii", sock_get_ip_multicast_loop),
        ("sock_set_ip_multicast_loop", "iii", sock_set_ip_multicast_loop),
    ]
    for name, level, option, layout in _WAMR:
        found.append((f"sock_get_{name}", "ii", _getter(level, option, layout)))
        found.append((f"sock_set_{name}", "ii", _setter(level, option)))
    for name, option in _WAMR_TIMES:
        found.append((f"sock_get_{name}", "ii", _time_getter(option)))
        found.append((f"sock_set_{name}", "iI", _time_setter(option)))
    return found


def sock_get_linger(host: Host, fd: int, enabled: int, seconds: int) -> int:
    """BADF, NOTSOCK."""
    host.memory.slice(enabled, 1)
    data = socket.get(host, fd).socket.getsockopt(_SOCKET, _socket.SO_LINGER, _LINGER.size)
    on, length = _LINGER.unpack(data)
    host.memory.put_u32(seconds, length)
    host.memory.write(enabled, _U8.pack(bool(on)))
    return SUCCESS


def sock_set_linger(host: Host, fd: int, enabled: int, seconds: int) -> int:
    """BADF, INVAL, NOTSOCK."""
    data = _LINGER.pack(bool(enabled), _signed(seconds))
    socket.get(host, fd).socket.setsockopt(_SOCKET, _socket.SO_LINGER, data)
    return SUCCESS


def sock_get_ip_multicast_loop(host: Host, fd: int, ipv6: int, value: int) -> int:
    """BADF, NOPROTOOPT, NOTSOCK."""
    return _getter(*_LOOPS[bool(ipv6)], _U8)(host, fd, value)


def sock_set_ip_multicast_loop(host: Host, fd: int, ipv6: int, value: int) -> int:
    """BADF, NOPROTOOPT, NOTSOCK."""
    return _setter(*_LOOPS[bool(ipv6)])(host, fd, value)


def _getter(level: int, option: int, layout: Struct) -> Callable[[Host, int, int], int]:
    limit = (1 << 8 * layout.size) - 1

    def get(host: Host, fd: int, value: int) -> int:
        found = socket.get(host, fd).socket.getsockopt(level, option)
        host.memory.write(value, layout.pack(min(found & 0xFFFFFFFF, limit)))
        return SUCCESS

    return get


def _setter(level: int, option: int) -> Callable[[Host, int, int], int]:
    def put(host: Host, fd: int, value: int) -> int:
        socket.get(host, fd).socket.setsockopt(level, option, _signed(value))
        return SUCCESS

    return put


def _time_getter(option: int) -> Callable[[Host, int, int], int]:
    def get(host: Host, fd: int, value: int) -> int:
        seconds, micro = _TIME.unpack(socket.get(host, fd).socket.getsockopt(_SOCKET, option, _TIME.size))
        host.memory.write(value, U64.pack(seconds * _MICRO + micro))
        return SUCCESS

    return get


def _time_setter(option: int) -> Callable[[Host, int, int], int]:
    def put(host: Host, fd: int, value: int) -> int:
        socket.get(host, fd).socket.setsockopt(_SOCKET, option, _TIME.pack(*divmod(value, _MICRO)))
        return SUCCESS

    return put


def _signed(value: int) -> int:
    return value - (value >> 31 << 32)
