"""Network devices of the calling thread's namespace, by ioctl: bridges, addresses, up and down; and what is routed.

Source: https://man7.org/linux/man-pages/man7/netdevice.7.html, the kernel's linux/sockios.h, route(4)'s /proc/net/route
"""

import fcntl
import ipaddress
import os
import socket
import struct
from typing import Final

_ADD_BRIDGE: Final = 0x89A0
_DELETE_BRIDGE: Final = 0x89A1
_ADD_ROUTE: Final = 0x890B
_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
_GET_ADDRESS: Final = 0x8915
_SET_ADDRESS: Final = 0x8916
_SET_MASK: Final = 0x891C
_SET_MTU: Final = 0x8922
_SET_HARDWARE: Final = 0x8924
_UP: Final = 1
_ROUTE_UP_BY_GATEWAY: Final = 0x3
_ETHERNET: Final = 1
_LONGEST_NAME: Final = 15


def exists(name: str) -> bool:
    """Whether there is one. Not by /sys, which may be another namespace's."""
    try:
        return bool(socket.if_nametoindex(name))
    except OSError:
        return False


def index(name: str) -> int:
    """OSError: there is no such device."""
    return socket.if_nametoindex(name)


def set_up(name: str) -> None:
    """OSError: there is no such device, or it may not be changed."""
    _set_flag(name, _UP, wanted=True)


def add_bridge(name: str, address: ipaddress.IPv4Interface, hardware: bytes, mtu: int = 0) -> None:
    """Make a bridge with an address (6 bytes of ``hardware``, so that it does not change with its ports) and take it
    up. ``mtu`` in bytes, 0 is the kernel's own. OSError; then there is none."""
    with _socket() as sock:
        fcntl.ioctl(sock, _ADD_BRIDGE, _name(name) + b"\0")
        try:
            fcntl.ioctl(sock, _SET_HARDWARE, struct.pack("16sH6s8x", _name(name), _ETHERNET, hardware))
            if mtu:
                fcntl.ioctl(sock, _SET_MTU, struct.pack("16si12x", _name(name), mtu))
            fcntl.ioctl(sock, _SET_ADDRESS, struct.pack("16s16s", _name(name), _address(address.ip)))
            fcntl.ioctl(sock, _SET_MASK, struct.pack("16s16s", _name(name), _address(address.netmask)))
            set_up(name)
        except BaseException:
            fcntl.ioctl(sock, _DELETE_BRIDGE, _name(name) + b"\0")
            raise


def remove_bridge(name: str) -> None:
    """One that is gone is no error. OSError."""
    if exists(name):
        _set_flag(name, _UP, wanted=False)
        with _socket() as sock:
            fcntl.ioctl(sock, _DELETE_BRIDGE, _name(name) + b"\0")


def address_of(name: str) -> str:
    """Its IPv4 address. OSError: it has none, or there is no such device."""
    with _socket() as sock:
        found = fcntl.ioctl(sock, _GET_ADDRESS, struct.pack("16s16x", _name(name)))
        return socket.inet_ntoa(found[20:24])


def address6_of(name: str) -> str:
    """Its first IPv6 address that holds beyond the link, "" if it has none. Source: /proc/net/if_inet6."""
    with open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) == 6 and words[5] == name and words[3] == "00":
                return str(ipaddress.IPv6Address(bytes.fromhex(words[0])))
    return ""


def add_default_route(gateway: ipaddress.IPv4Address) -> None:
    """OSError: the gateway cannot be reached, or there is such a route."""
    anywhere = _address(ipaddress.IPv4Address(0))
    # struct rtentry: the target, the gateway, the mask and the flags; the rest is nought.
    entry = struct.pack("@L16s16s16sH", 0, anywhere, _address(gateway), anywhere, _ROUTE_UP_BY_GATEWAY)
    with _socket() as sock:
        fcntl.ioctl(sock, _ADD_ROUTE, entry.ljust(120, b"\0"))


def parse_routes(text: str) -> list[ipaddress.IPv4Network]:
    """The networks in a text like /proc/net/route, but for default routes."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 7:
            target, mask = (socket.inet_ntoa(struct.pack("=I", int(word, 16))) for word in (words[1], words[7]))
            network = ipaddress.IPv4Network(f"{target}/{mask}", strict=False)
            if network.prefixlen:
                found.append(network)
    return found


def routed() -> list[ipaddress.IPv4Network]:
    """The networks that the host knows a way to, but for "everything else". OSError."""
    with open("/proc/net/route", encoding="ascii") as file:
        return parse_routes(file.read())


def _set_flag(name: str, flag: int, *, wanted: bool) -> None:
    with _socket() as sock:
        found = fcntl.ioctl(sock, _GET_FLAGS, struct.pack("16sh14x", _name(name), 0))
        (flags,) = struct.unpack("16xh14x", found)
        flags = flags | flag if wanted else flags & ~flag
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh14x", _name(name), flags))


def _socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _name(name: str) -> bytes:
    data = os.fsencode(name)
    if not 0 < len(data) <= _LONGEST_NAME:
        raise ValueError(f"a device's name has 1 to {_LONGEST_NAME} bytes: {name!r}")
    return data


def _address(address: ipaddress.IPv4Address) -> bytes:
    """struct sockaddr_in."""
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
