"""wasi:sockets: TCP, UDP and names, on preview 1's sockets and under its policy: see wasi/socket.py.

No socket here ever blocks; what takes its time is begun by start-... and found done by finish-..., or by a pollable.

https://github.com/WebAssembly/wasi-sockets/blob/v0.2.0/imports.md
"""

from __future__ import annotations

import _socket
import os
import select
from struct import Struct

from wherry.wasm.component.codes import socket_code
from wherry.wasm.component.io import InputStream, OutputStream
from wherry.wasm.component.polling import Pollable, wait
from wherry.wasm.component.state import State
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi import socket
from wherry.wasm.wasi.errno import WasiError, from_linux
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.sock_names import Question, ask
from wherry.wasm.wasi.socket import SocketEntry

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from wherry.wasm.component.state import StreamError, Table

_FAMILIES = {"ipv4": _socket.AF_INET, "ipv6": _socket.AF_INET6}
_WORDS = {number: word for word, number in _FAMILIES.items()}
_INET6 = Struct(">8H")
_BACKLOG = 128
_BACKLOG_MAX = 1 << 16
_DATAGRAM = 1 << 16
_MOST_DATAGRAMS = 16
_NANO = 1_000_000_000
_HOW = {"receive": _socket.SHUT_RD, "send": _socket.SHUT_WR, "both": _socket.SHUT_RDWR}
_WAITING = ("would-block", "in-progress")


class Network:
    """What the policy is of: there is one."""


class Socket:
    """A socket in the guest's table, closed when neither the guest nor a stream of it refers to this any more.

    ``state`` is one of new, binding, bound, connecting, connected, starting, listening.
    """

    def __init__(self, host: Host, number: int, family: int) -> None:
        self.host = host
        self.number = number
        self.family = family
        self.state = "new"
        self.backlog = _BACKLOG
        self.entry: SocketEntry = socket.get(host, number)
        self.entry.socket.setblocking(False)
        if family == _socket.AF_INET6:
            self.socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)

    @property
    def socket(self) -> _socket.socket:
        return self.entry.socket

    def expect(self, *states: str, otherwise: str = "invalid-state") -> None:
        """Failed: it is in another state."""
        if self.state not in states:
            raise Failed(otherwise)

    def __del__(self) -> None:
        if self.number in self.host.table.entries:
            os.close(self.host.table.remove(self.number).fd)


def _create(kind: int) -> Callable[[State, str], Socket]:
    def create(state: State, family: str) -> Socket:
        number = socket.open_socket(state.host, _FAMILIES[family], kind)
        return Socket(state.host, number, _FAMILIES[family])

    return create


def _address(own: Socket, address: Any) -> Any:
    """As `_socket` takes it. Failed: of another family than the socket's."""
    word, values = address
    if _FAMILIES[word] != own.family:
        raise Failed("invalid-argument")
    if word == "ipv4":
        port, numbers = values
        return ".".join(map(str, numbers)), port
    port, flow, numbers, scope = values
    return _socket.inet_ntop(_socket.AF_INET6, _INET6.pack(*numbers)), port, flow, scope


def _told(family: int, address: Any) -> tuple[str, Any]:
    """The interface's word for an address of `_socket`'s."""
    if family == _socket.AF_INET:
        return "ipv4", (address[1], tuple(_socket.inet_aton(address[0])))
    return "ipv6", (address[1], address[2], _numbers(address[0]), address[3])


def _numbers(text: str) -> tuple[int, ...]:
    return _INET6.unpack(_socket.inet_pton(_socket.AF_INET6, text.partition("%")[0]))


def _start_bind(_state: State, own: Socket, _network: Network, address: Any) -> None:
    own.expect("new")
    if own.socket.type == _socket.SOCK_STREAM:
        own.socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    socket.bind(own.host, own.number, _address(own, address))
    own.state = "binding"


def _finish_bind(_state: State, own: Socket) -> None:
    own.expect("binding", otherwise="not-in-progress")
    own.state = "bound"


def _start_connect(_state: State, own: Socket, _network: Network, address: Any) -> None:
    own.expect("new", "bound")
    to = _address(own, address)
    if not to[1] or to[0] in ("0.0.0.0", "::"):
        raise Failed("invalid-argument")
    try:
        socket.connect(own.host, own.number, to)
    except BlockingIOError:
        pass  # in progress
    own.state = "connecting"


def _finish_connect(_state: State, own: Socket) -> tuple[InputStream, OutputStream]:
    own.expect("connecting", otherwise="not-in-progress")
    if not wait((Pollable(own.entry.fd, select.POLLOUT),), block=False):
        raise Failed("would-block")
    error = own.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    if error:
        own.state = "closed"
        raise Failed(socket_code(from_linux(error)))
    own.state = "connected"
    return _streams(own)


def _streams(own: Socket) -> tuple[InputStream, OutputStream]:
    return InputStream(own.entry, own), OutputStream(own.entry, own)


def _start_listen(_state: State, own: Socket) -> None:
    own.expect("bound")
    socket.listen(own.host, own.number, own.backlog)
    own.state = "starting"


def _finish_listen(_state: State, own: Socket) -> None:
    own.expect("starting", otherwise="not-in-progress")
    own.state = "listening"


def _accept(_state: State, own: Socket) -> tuple[Socket, InputStream, OutputStream]:
    own.expect("listening")
    made = Socket(own.host, socket.accept(own.host, own.number, 0), own.family)
    made.state = "connected"
    return made, *_streams(made)


def _local_address(_state: State, own: Socket) -> tuple[str, Any]:
    own.expect("binding", "bound", "connected", "starting", "listening")
    return _told(own.family, own.socket.getsockname())


def _remote_address(_state: State, own: Socket) -> tuple[str, Any]:
    own.expect("connected")
    return _told(own.family, own.socket.getpeername())


def _set_backlog(_state: State, own: Socket, value: int) -> None:
    own.expect("new", "binding", "bound", "starting", "listening")
    if not value:
        raise Failed("invalid-argument")
    own.backlog = min(value, _BACKLOG_MAX)
    if own.state == "listening":
        socket.listen(own.host, own.number, own.backlog)


def _shutdown(_state: State, own: Socket, how: str) -> None:
    own.expect("connected")
    own.socket.shutdown(_HOW[how])


def _subscribe(_state: State, own: Socket) -> Pollable:
    if own.state == "connecting":
        return Pollable(own.entry.fd, select.POLLOUT)
    if own.state == "listening":
        return Pollable(own.entry.fd, select.POLLIN)
    return Pollable()


def _getter(level: int, name: int, scale: int = 1) -> Callable[[State, Socket], int]:
    return lambda _state, own: own.socket.getsockopt(level, name) * scale


def _setter(level: int, name: int, scale: int = 1, most: int = 0x3FFFFFFF) -> Callable[[State, Socket, int], None]:
    def setter(_state: State, own: Socket, value: int) -> None:
        if not value:
            raise Failed("invalid-argument")
        own.socket.setsockopt(level, name, min(max(1, value // scale), most))

    return setter


def _hop_limit(own: Socket) -> tuple[int, int]:
    if own.family == _socket.AF_INET:
        return _socket.IPPROTO_IP, _socket.IP_TTL
    return _socket.IPPROTO_IPV6, _socket.IPV6_UNICAST_HOPS


def _set_hop_limit(_state: State, own: Socket, value: int) -> None:
    if not value:
        raise Failed("invalid-argument")
    own.socket.setsockopt(*_hop_limit(own), value)


class Datagrams:
    """One direction of a UDP socket; ``to`` is the one whom it talks to, None for anybody."""

    def __init__(self, own: Socket, to: Any) -> None:
        self.own = own
        self.to = to


def _stream(_state: State, own: Socket, remote: Any) -> tuple[Datagrams, Datagrams]:
    own.expect("bound", "connected")
    to = None if remote is None else _address(own, remote)
    if to is not None:
        socket.connect(own.host, own.number, to)
        own.state = "connected"
    elif own.state == "connected":
        own.socket.connect(("", 0) if own.family == _socket.AF_INET else ("::", 0))
        own.state = "bound"
    return Datagrams(own, to), Datagrams(own, to)


def _receive(_state: State, stream: Datagrams, most: int) -> list[tuple[bytes, Any]]:
    """Those that are there; none is an empty list."""
    found: list[tuple[bytes, Any]] = []
    while len(found) < min(most, _MOST_DATAGRAMS):
        try:
            data, address = stream.own.socket.recvfrom(_DATAGRAM)
        except BlockingIOError:
            break
        found.append((data, _told(stream.own.family, address)))
    return found


def _send(_state: State, stream: Datagrams, datagrams: list[tuple[bytes, Any]]) -> int:
    """How many went; an error only if the first did not."""
    own, sent = stream.own, 0
    for data, remote in datagrams:
        try:
            _send_one(own, stream.to, data, None if remote is None else _address(own, remote))
        except BlockingIOError:
            break
        except (OSError, WasiError, Failed):
            if not sent:
                raise
            break
        sent += 1
    return sent


def _send_one(own: Socket, to: Any, data: bytes, remote: Any) -> None:
    if to is not None:
        if remote not in (None, to):
            raise Failed("invalid-argument")
        own.socket.send(data)
        return
    if remote is None:
        raise Failed("invalid-argument")
    if not socket.policy_of(own.host).outbound:
        raise Failed("access-denied")
    own.socket.sendto(data, remote)


def _resolve(state: State, _network: Network, name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The addresses of a name, or of an address itself. Asked at once, and not in the background."""
    try:
        question = Question(name.encode("idna") if not name.isascii() else name.encode(), b"", 0, _socket.SOCK_STREAM)
    except UnicodeError:
        raise Failed("invalid-argument") from None
    if not question.node:
        raise Failed("invalid-argument")
    found = []
    for family, _, _, _, address in _ask(state.host, question):
        numbers = tuple(_socket.inet_aton(address[0])) if family == _socket.AF_INET else _numbers(address[0])
        found.append((_WORDS[family], numbers))
    return iter(found)


def _ask(host: Host, question: Question) -> list[Any]:
    try:
        return ask(host, question)
    except WasiError as error:
        code = socket_code(error.errno)
        raise Failed("temporary-resolver-failure" if code in _WAITING else code) from None


def _error_code(_state: State, error: StreamError) -> str:
    return socket_code(error.errno)


_SOL, _IP, _TCP = _socket.SOL_SOCKET, _socket.IPPROTO_TCP, "[method]tcp-socket"
_UDP, _IN, _OUT = "[method]udp-socket", "[method]incoming-datagram-stream", "[method]outgoing-datagram-stream"
_BUFFERS: dict[str, Callable[..., Any]] = {
    # Linux doubles what it is asked for, and tells the double.
    "receive-buffer-size": _getter(_SOL, _socket.SO_RCVBUF),
    "set-receive-buffer-size": _setter(_SOL, _socket.SO_RCVBUF, 2),
    "send-buffer-size": _getter(_SOL, _socket.SO_SNDBUF),
    "set-send-buffer-size": _setter(_SOL, _socket.SO_SNDBUF, 2),
    "start-bind": _start_bind,
    "finish-bind": _finish_bind,
    "local-address": _local_address,
    "remote-address": _remote_address,
    "address-family": lambda _state, own: _WORDS[own.family],
    "subscribe": _subscribe,
}
INTERFACES: dict[str, Table] = {
    "wasi:sockets/network": {"network-error-code": _error_code},
    "wasi:sockets/instance-network": {"instance-network": lambda _state: Network()},
    "wasi:sockets/ip-name-lookup": {
        "resolve-addresses": _resolve,
        "[method]resolve-address-stream.resolve-next-address": lambda _state, found: next(found, None),
        "[method]resolve-address-stream.subscribe": lambda _state, _found: Pollable(),
    },
    "wasi:sockets/tcp-create-socket": {"create-tcp-socket": _create(_socket.SOCK_STREAM)},
    "wasi:sockets/udp-create-socket": {"create-udp-socket": _create(_socket.SOCK_DGRAM)},
    "wasi:sockets/tcp": {
        **{f"{_TCP}.{name}": function for name, function in _BUFFERS.items()},
        f"{_TCP}.start-connect": _start_connect,
        f"{_TCP}.finish-connect": _finish_connect,
        f"{_TCP}.start-listen": _start_listen,
        f"{_TCP}.finish-listen": _finish_listen,
        f"{_TCP}.accept": _accept,
        f"{_TCP}.is-listening": lambda _state, own: own.state == "listening",
        f"{_TCP}.set-listen-backlog-size": _set_backlog,
        f"{_TCP}.keep-alive-enabled": lambda _state, own: bool(own.socket.getsockopt(_SOL, _socket.SO_KEEPALIVE)),
        f"{_TCP}.set-keep-alive-enabled": lambda _state, own, value: own.socket.setsockopt(
            _SOL, _socket.SO_KEEPALIVE, value
        ),
        f"{_TCP}.keep-alive-idle-time": _getter(_IP, _socket.TCP_KEEPIDLE, _NANO),
        f"{_TCP}.set-keep-alive-idle-time": _setter(_IP, _socket.TCP_KEEPIDLE, _NANO, 32767),
        f"{_TCP}.keep-alive-interval": _getter(_IP, _socket.TCP_KEEPINTVL, _NANO),
        f"{_TCP}.set-keep-alive-interval": _setter(_IP, _socket.TCP_KEEPINTVL, _NANO, 32767),
        f"{_TCP}.keep-alive-count": _getter(_IP, _socket.TCP_KEEPCNT),
        f"{_TCP}.set-keep-alive-count": _setter(_IP, _socket.TCP_KEEPCNT, 1, 127),
        f"{_TCP}.hop-limit": lambda _state, own: own.socket.getsockopt(*_hop_limit(own)),
        f"{_TCP}.set-hop-limit": _set_hop_limit,
        f"{_TCP}.shutdown": _shutdown,
    },
    "wasi:sockets/udp": {
        **{f"{_UDP}.{name}": function for name, function in _BUFFERS.items()},
        f"{_UDP}.stream": _stream,
        f"{_UDP}.unicast-hop-limit": lambda _state, own: own.socket.getsockopt(*_hop_limit(own)),
        f"{_UDP}.set-unicast-hop-limit": _set_hop_limit,
        f"{_IN}.receive": _receive,
        f"{_IN}.subscribe": lambda _state, stream: Pollable(stream.own.entry.fd, select.POLLIN),
        f"{_OUT}.check-send": lambda _state, _stream: _MOST_DATAGRAMS,
        f"{_OUT}.send": _send,
        f"{_OUT}.subscribe": lambda _state, stream: Pollable(stream.own.entry.fd, select.POLLOUT),
    },
}
