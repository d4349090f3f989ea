"""Published ports: docker's words for them read (pure), and the host's ports held while a container has them.

A port is held by a socket of the engine. One of IPv4 nobody ever talks to: packets are turned to the container before
they reach it. At one of IPv6 a relay listens. So no other program takes the port, and one that is taken is found out
before the container starts.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from wherry.core.networks.network import PublishedPort
from wherry.engine.document import is_objects
from wherry.engine.networks.relay import Spawn, TcpRelay, UdpRelay
from wherry.errors import Conflict, InvalidArgument, PermissionDenied, Unimplemented

_PROTOCOLS: Final = ("tcp", "udp")
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_MOST: Final = 4096
"""Ports of one container; each costs a descriptor and some rules."""
_TRIES: Final = 32
_EVERYWHERE: Final = "0.0.0.0"
_EVERYWHERE_6: Final = "::"
_NO_SUCH_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


@dataclass(frozen=True, slots=True)
class Wish:
    """A port to be published: at one of the host's from ``first`` to ``last``, any one if they are 0. ``address`` is
    "" where the network's own default is meant: if that is every address, IPv6's too."""

    port: int
    protocol: str
    address: str
    first: int
    last: int


Place = tuple[str, str, int]
"""A protocol, an address of the host and a port of it."""


def exposed(documents: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The ports that ExposedPorts names, sorted. InvalidArgument."""
    found: list[tuple[int, str]] = []
    for text in documents:
        found += _ports(text)
        if len(found) > _MOST:  # counted as they come: a few words can name billions
            raise InvalidArgument(f"over {_MOST} ports are exposed")
    return sorted(set(found))


def wishes(bindings: Mapping[str, Any], exposed_ports: Mapping[str, Any], *, everything: bool) -> list[Wish]:
    """What PortBindings asks for, and for ``everything`` what is only exposed. InvalidArgument; Unimplemented: SCTP."""
    found = []
    for text, entries in bindings.items():
        if entries is not None and not is_objects(entries):
            raise InvalidArgument(f"invalid port bindings of {text[:60]!r}: a list of objects is wanted")
        asked: list[Mapping[str, Any]] = entries or [{}]
        for port, protocol in _ports(text):
            found += [_wish(port, protocol, entry) for entry in asked[: _MOST + 1]]
            _check_most(found)
    if everything:
        named = {(wish.port, wish.protocol) for wish in found}
        found += [Wish(*item, "", 0, 0) for item in exposed(exposed_ports) if item not in named]
    _check_most(found)
    return found


def _check_most(found: Sequence[Wish]) -> None:
    if len(found) > _MOST:
        raise InvalidArgument(f"over {_MOST} ports are published")


def _ports(text: str) -> Iterator[tuple[int, str]]:
    """``80``, ``80/tcp``, ``8000-8010/udp``."""
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol == "sctp":
        raise Unimplemented(f"SCTP ports are not offered: {text[:60]}")
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid port specification: {text[:60]!r}: the protocol is tcp or udp")
    first, last = _range(numbers, text)
    if first == 0:
        raise InvalidArgument(f"invalid port specification: {text[:60]!r}")
    return ((port, protocol) for port in range(first, last + 1))


def _range(text: str, shown: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first, first]
    if not all(number.isascii() and number.isdigit() and len(number) <= 5 for number in numbers):
        raise InvalidArgument(f"invalid port specification: {shown[:60]!r}")
    low, high = map(int, numbers)
    if not low <= high <= 0xFFFF:
        raise InvalidArgument(f"invalid port specification: {shown[:60]!r}: ports go from 1 to 65535")
    return low, high


def _wish(port: int, protocol: str, entry: Mapping[str, Any]) -> Wish:
    address, host_port = entry.get("HostIp") or "", entry.get("HostPort") or "0"
    if not isinstance(address, str) or not isinstance(host_port, str):
        raise InvalidArgument(f"invalid port bindings of {port}/{protocol}: HostIp and HostPort are texts")
    if address:
        try:
            address = str(ip_address(address.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise InvalidArgument(f"invalid IP address: {address[:60]}") from None
    first, last = _range(host_port, host_port)
    return Wish(port, protocol, address, first, last)


def check_ports(host: Mapping[str, Any], exposed_ports: Mapping[str, Any]) -> None:
    """Whether all of it can be read. InvalidArgument; Unimplemented."""
    exposed(exposed_ports)
    wishes(host["PortBindings"], exposed_ports, everything=host["PublishAllPorts"])


class HeldPorts:
    """The sockets that hold the host's ports, by who has them, and the relays at those of IPv6. ``spawn`` owns what
    these do in the background."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._held: dict[str, dict[Place, socket.socket]] = {}
        self._taken: dict[tuple[str, int], list[tuple[str, str]]] = {}
        self._relays: dict[str, list[TcpRelay | UdpRelay]] = {}

    def take(self, owner: str, wanted: Sequence[Wish], default: str, *, dual: bool = True) -> tuple[PublishedPort, ...]:
        """Hold a port of the host for each wish, or none at all; where ``default`` is every address, and ``dual``, also
        IPv6's. Conflict: one is in use, in docker's words; InvalidArgument: the address is not the host's;
        PermissionDenied: the port is root's."""
        found: list[PublishedPort] = []
        self._held[owner] = {}
        usual = [default, _EVERYWHERE_6] if dual and default == _EVERYWHERE and _has_ipv6() else [default]
        try:
            # Those that name a port go first: what is free can be had elsewhere.
            for wish in sorted(wanted, key=lambda one: one.first == 0):
                found += self._take(owner, wish, [wish.address] if wish.address else usual)
        except BaseException:
            self.release(owner)
            raise
        return tuple(sorted(found, key=lambda port: (port.port, port.protocol, port.host_address, port.host_port)))

    def hold(self, owner: str, ports: Sequence[PublishedPort]) -> list[PublishedPort]:
        """Hold these again, for a container that had them before the engine was started; returns those that another
        program has taken meanwhile."""
        self._held[owner] = {}
        lost = []
        for port in ports:
            try:
                self._bind(owner, port.protocol, port.host_address, port.host_port)
            except OSError:
                lost.append(port)
        return lost

    def relay(self, owner: str, ports: Sequence[PublishedPort], address: str) -> None:
        """Pass on what comes to those of ``ports`` that are held at an IPv6 address to the container's ``address``."""
        for port in ports:
            sock = self._held.get(owner, {}).get((port.protocol, port.host_address, port.host_port))
            if sock is not None and is_ipv6(port.host_address):
                target = address, port.port
                made = TcpRelay(sock, target, self._spawn) if port.protocol == "tcp" else UdpRelay(sock, target)
                self._relays.setdefault(owner, []).append(made)

    def pass_on(self, owner: str) -> None:
        """Another program is about to hold what ``owner`` has: no longer do so, and keep it from others here."""
        for sock in self._held.get(owner, {}).values():
            sock.close()
        self._held[owner] = {}

    def note(self, owner: str, ports: Sequence[PublishedPort]) -> None:
        """Another program holds these for ``owner``, who had them before the engine was started."""
        self._held[owner] = {}
        for port in ports:
            self._taken.setdefault((port.protocol, port.host_port), []).append((owner, port.host_address))

    def release(self, owner: str) -> None:
        """Let go of all that ``owner`` has. Idempotent."""
        for relay in self._relays.pop(owner, ()):
            relay.close()
        for sock in self._held.pop(owner, {}).values():
            sock.close()
        for key, holders in list(self._taken.items()):
            holders[:] = [holder for holder in holders if holder[0] != owner]
            if not holders:
                del self._taken[key]

    def close(self) -> None:
        """Let go of everything."""
        for owner in list(self._held):
            self.release(owner)

    def _take(self, owner: str, wish: Wish, addresses: Sequence[str]) -> list[PublishedPort]:
        """One port of the host, the same at all ``addresses``."""
        candidates: Sequence[int] = range(wish.first, wish.last + 1) if wish.first else [0] * _TRIES
        for index, candidate in enumerate(candidates):
            last = index + 1 == len(candidates)
            number, bound = candidate, list[PublishedPort]()
            for address in addresses:
                number = self._try(owner, wish, address, number, last=last)
                if not number:
                    break
                bound.append(PublishedPort(wish.port, wish.protocol, address, number))
            else:
                return bound
            for port in bound:
                self._give_back(owner, port)
        raise Conflict(f"all ports are allocated at {addresses[0]}/{wish.protocol}")

    def _try(self, owner: str, wish: Wish, address: str, candidate: int, *, last: bool) -> int:
        """The number that was taken; 0 when it is in use, and not the ``last`` to be tried."""
        shown = f"[{address}]" if is_ipv6(address) else address
        if candidate and self._is_taken(wish.protocol, address, candidate):
            if last:
                raise Conflict(f"Bind for {shown}:{candidate} failed: port is already allocated")
            return 0
        where = f"failed to bind host port for {shown}:{candidate}/{wish.protocol}"
        try:
            return self._bind(owner, wish.protocol, address, candidate)
        except PermissionError:
            raise PermissionDenied(f"{where}: permission denied") from None
        except OSError as error:
            if error.errno in _NO_SUCH_FAMILY:
                raise InvalidArgument(f"{where}: cannot assign requested address") from None
            if last:
                raise Conflict(f"{where}: address already in use") from None
            return 0

    def _give_back(self, owner: str, port: PublishedPort) -> None:
        self._held[owner].pop((port.protocol, port.host_address, port.host_port)).close()
        self._taken[port.protocol, port.host_port].remove((owner, port.host_address))

    def _is_taken(self, protocol: str, address: str, port: int) -> bool:
        held = [other for _, other in self._taken.get((protocol, port), ()) if is_ipv6(other) == is_ipv6(address)]
        return any(other == address or {other, address} & {_EVERYWHERE, _EVERYWHERE_6} for other in held)

    def _bind(self, owner: str, protocol: str, address: str, port: int) -> int:
        family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
        sock = socket.socket(family, _KINDS[protocol] | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if protocol == "tcp":
                # What of old connections is still waiting to be forgotten is nobody's claim to the port.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            if protocol == "tcp":
                sock.listen(0)
        except BaseException:
            sock.close()
            raise
        number: int = sock.getsockname()[1]
        self._held[owner][protocol, address, number] = sock
        self._taken.setdefault((protocol, number), []).append((owner, address))
        return number


def is_ipv6(address: str) -> bool:
    """Whether an address, which is one, is IPv6's."""
    return ":" in address


def _has_ipv6() -> bool:
    """Whether this host speaks it at all."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.bind((_EVERYWHERE_6, 0))
        return True
    return False
