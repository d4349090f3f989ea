"""Sockets in the guest's descriptor table, and what every dialect of socket functions does with them.

Preview 1's own four functions are sock.py's; WasmEdge's and WAMR's have files of their own. Only a child whose module
imports such a function loads any of this.

An address is here what `_socket` takes: a pair of text and port for IPv4, four values for IPv6, bytes for unix.
"""

from __future__ import annotations

import _socket

from wherry.wasm.wasi import abi
from wherry.wasm.wasi.errno import ACCES, AFNOSUPPORT, INVAL, NAMETOOLONG, NOTCAPABLE, NOTSOCK, NOTSUP, WasiError
from wherry.wasm.wasi.host import Host, SocketPolicy
from wherry.wasm.wasi.table import Entry

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

    Address = Any  # as `_socket` has it: a tuple or bytes

_TYPES = {_socket.SOCK_STREAM: abi.SOCKET_STREAM, _socket.SOCK_DGRAM: abi.SOCKET_DGRAM}
_PROTOCOLS = {_socket.SOCK_STREAM: "tcp", _socket.SOCK_DGRAM: "udp"}
_INET = (_socket.AF_INET, _socket.AF_INET6)
_UNIX_PATH_MAX = 107
_RECEIVE_FLAGS = {
    0: 0,
    abi.RIFLAG_PEEK: _socket.MSG_PEEK,
    abi.RIFLAG_WAITALL: _socket.MSG_WAITALL,
    abi.RIFLAG_PEEK | abi.RIFLAG_WAITALL: _socket.MSG_PEEK | _socket.MSG_WAITALL,
}
_SEND_FLAGS = _socket.MSG_NOSIGNAL
_BACKLOG = 128
_BACKLOG_MAX = 0x7FFFFFFF


class _Borrowed(_socket.socket):
    """A socket object that does not close its descriptor: that is the table's to do."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()


class SocketEntry(Entry):
    """A guest descriptor that is a socket."""

    __slots__ = ("socket",)

    def __init__(self, family: int, type_: int, fd: int, *, flags: int = 0, preopen: bytes | None = None) -> None:
        super().__init__(fd, abi.RIGHTS_SOCKET, kind=_TYPES[type_], flags=flags, preopen=preopen)
        self.socket = _Borrowed(family, type_, 0, fd)


class _Listener(SocketEntry):
    """A TCP socket that listens already, among the preopens. wasmtime hands such sockets over without blocking, and Go
    waits by poll for what it is told does not block, and for ever in what it is not told of; a plain loop of accept(3)
    needs one that blocks. So it blocks, until the guest asks for its flags: then it does not, and says so."""

    __slots__ = ("_told",)

    def __init__(self, family: int, fd: int) -> None:
        super().__init__(family, _socket.SOCK_STREAM, fd, preopen=b"")
        self._told: int | None = None

    @property
    def flags(self) -> int:
        if self._told is None:
            self.socket.setblocking(False)
            self._told = abi.FDFLAG_NONBLOCK
        return self._told

    @flags.setter
    def flags(self, flags: int) -> None:
        self._told = flags


def policy_of(host: Host) -> SocketPolicy:
    """NOTCAPABLE where this guest is to have no sockets."""
    if host.sockets is None:
        raise WasiError(NOTCAPABLE)
    return host.sockets


def get(host: Host, fd: int, right: int = 0) -> SocketEntry:
    """The socket; BADF, NOTSOCK; NOTSUP for one that was inherited as stdin, stdout or stderr; NOTCAPABLE where the
    guest has dropped ``right``."""
    entry = host.table.get(fd)
    if isinstance(entry, SocketEntry):
        if right:
            entry.need(right)
        return entry
    inherited = entry.filetype() in (abi.SOCKET_STREAM, abi.SOCKET_DGRAM)
    raise WasiError(NOTSUP if inherited else NOTSOCK)


def open_socket(host: Host, family: int, type_: int) -> int:
    """A new socket's number in the guest. NOTCAPABLE, MFILE, NFILE, AFNOSUPPORT."""
    policy_of(host)
    fd = _socket.socket(family, type_, 0).detach()
    return host.table.add(SocketEntry(family, type_, fd))


def listen_at(port: int) -> int:
    """A new descriptor of a TCP socket that listens on every address, for a guest that can't make one. OSError."""
    try:
        sock = _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM)
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    except OSError:  # a kernel without IPv6
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("", port))
        sock.listen(_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"port {port}/tcp") from None
    return sock.detach()


def listener(fd: int) -> SocketEntry:
    """The entry of a TCP socket that listens already, among the preopens."""
    with_type = _socket.socket(fileno=fd)
    family = with_type.family
    with_type.detach()
    return _Listener(family, fd)


def bind(host: Host, fd: int, address: Address) -> None:
    """ACCES: not a port this container may be reached at. ADDRINUSE, ADDRNOTAVAIL, INVAL, NOTCAPABLE."""
    sock, policy = get(host, fd).socket, policy_of(host)
    if sock.family in _INET and address[1] and not policy.allows(address[1], _PROTOCOLS[sock.type]):
        raise WasiError(ACCES)
    sock.bind(address)


def listen(host: Host, fd: int, backlog: int) -> None:
    """ACCES: as in `bind`, also for one that was never bound. ADDRINUSE, INVAL, NOTSUP, NOTCAPABLE."""
    sock, policy = get(host, fd).socket, policy_of(host)
    if sock.family in _INET and policy.listen is not None:
        port = sock.getsockname()[1]
        if not policy.allows(port, _PROTOCOLS[sock.type]):
            raise WasiError(ACCES)
    sock.listen(min(backlog, _BACKLOG_MAX))


def accept(host: Host, fd: int, flags: int) -> int:
    """The connection's number in the guest. AGAIN, CONNABORTED, INVAL, MFILE, NOTSUP: not a stream."""
    sock = get(host, fd, abi.RIGHT_SOCK_ACCEPT).socket
    if flags & ~abi.FDFLAG_NONBLOCK:
        raise WasiError(INVAL)
    family = sock.family
    number, _ = sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept itself is the socket module's
    connection = SocketEntry(family, _socket.SOCK_STREAM, number, flags=flags)
    if flags:
        connection.socket.setblocking(False)
    return host.table.add(connection)


def connect(host: Host, fd: int, address: Address) -> None:
    """ACCES: the container may not call out. CONNREFUSED, HOSTUNREACH, INPROGRESS, ISCONN, NETUNREACH, TIMEDOUT."""
    sock = get(host, fd).socket
    _may_call(host)
    sock.connect(address)


def receive(host: Host, fd: int, iovs: int, count: int, flags: int) -> tuple[int, int, Address]:
    """Bytes received, roflags, and whom they are from (None on a stream). AGAIN, CONNRESET, INVAL, NOTCONN."""
    sock = get(host, fd, abi.RIGHT_FD_READ).socket
    linux = _RECEIVE_FLAGS.get(flags)
    if linux is None:
        raise WasiError(INVAL)
    size, _, answer, address = sock.recvmsg_into(host.memory.iovecs(iovs, count), 0, linux)
    return size, abi.ROFLAG_DATA_TRUNCATED if answer & _socket.MSG_TRUNC else 0, address


def send(host: Host, fd: int, iovs: int, count: int, flags: int) -> int:
    """Bytes sent to the peer. AGAIN, CONNRESET, DESTADDRREQ, INVAL: there are no flags; MSGSIZE, NOTCONN, PIPE."""
    sock = get(host, fd, abi.RIGHT_FD_WRITE).socket
    if flags:
        raise WasiError(INVAL)
    return sock.sendmsg(host.memory.iovecs(iovs, count), (), _SEND_FLAGS)


def send_to(host: Host, fd: int, iovs: int, count: int, flags: int, address: Address) -> int:
    """The same to an address. ACCES: the container may not call out."""
    sock = get(host, fd, abi.RIGHT_FD_WRITE).socket
    _may_call(host)
    if flags:
        raise WasiError(INVAL)
    return sock.sendmsg(host.memory.iovecs(iovs, count), (), _SEND_FLAGS, address)


def shutdown(host: Host, fd: int, how: int) -> None:
    """``how`` are sdflags. INVAL, NOTCONN."""
    sock = get(host, fd, abi.RIGHT_SOCK_SHUTDOWN).socket
    if how not in (abi.SDFLAG_RD, abi.SDFLAG_WR, abi.SDFLAG_RD | abi.SDFLAG_WR):
        raise WasiError(INVAL)
    sock.shutdown(how - 1)  # SHUT_RD, SHUT_WR and SHUT_RDWR, in the flags' order


def check_path(path: bytes) -> bytes:
    """A unix socket's path up to its first NUL. INVAL: there is none, which would be Linux's abstract namespace, or
    no path at all; NAMETOOLONG."""
    path = path.partition(b"\0")[0]
    if not path:
        raise WasiError(INVAL)
    if len(path) > _UNIX_PATH_MAX:
        raise WasiError(NAMETOOLONG)
    return path


def check_family(host: Host, fd: int, family: int) -> None:
    """AFNOSUPPORT: an address of another family than the socket's."""
    if get(host, fd).socket.family != family:
        raise WasiError(AFNOSUPPORT)


def _may_call(host: Host) -> None:
    if not policy_of(host).outbound:
        raise WasiError(ACCES)
