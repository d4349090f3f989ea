"""/etc/hosts, /etc/resolv.conf and /etc/hostname of a container, as texts. Pure.

Source: hosts(5), resolv.conf(5); docker's documentation of `--add-host`, `--dns`, "Container networking / DNS".
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from wherry.errors import InvalidArgument

FILES: Final = ("hosts", "hostname", "resolv.conf")
HOST_GATEWAY: Final = "host-gateway"
_LOCAL: Final = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


def extra_hosts(entries: Sequence[str]) -> list[tuple[str, str]]:
    """``--add-host``'s NAME:ADDRESS as (address, name); the address may be ``host-gateway``. InvalidArgument."""
    found = []
    for entry in entries:
        name, colon, address = entry.partition(":")
        address = address.removeprefix("[").removesuffix("]")
        if not colon or not name or name.split() != [name]:
            raise InvalidArgument(f"bad format for add-host: {entry[:100]!r}: NAME:ADDRESS is wanted")
        if address != HOST_GATEWAY:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise InvalidArgument(f"invalid IP address in add-host: {address[:60]!r}") from None
        found.append((address, name))
    return found


def hosts(extra: Sequence[tuple[str, str]], own: Sequence[tuple[str, str]], gateway: str) -> str:
    """``own`` are the container's addresses with their names; ``gateway`` what ``host-gateway`` stands for."""
    return _lines(_LOCAL) + added(extra, gateway) + _lines(own)


def added(extra: Sequence[tuple[str, str]], gateway: str = "") -> str:
    """The lines of ``--add-host``; without a gateway the host is at its own loopback address."""
    return _lines([(gateway or "127.0.0.1" if address == HOST_GATEWAY else address, name) for address, name in extra])


def _lines(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{address}\t{names}\n" for address, names in entries)


def hostname(name: str) -> str:
    """One line."""
    return f"{name}\n"


def resolv_conf(text: str, servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> str:
    """The host's ``text`` with what the container was given instead; a search domain ``.`` is none at all."""
    kept = {"search": _words(text, ("search", "domain")), "options": _words(text, ("options",))}
    named = {"search": [word for word in search if word != "."], "options": list(options)}
    lines = [f"nameserver {server}" for server in servers]
    for key, wanted in (("search", search), ("options", options)):
        words = named[key] if wanted else kept[key]
        if words:
            lines.append(f"{key} {' '.join(words)}")
    return "".join(f"{line}\n" for line in lines)


def _words(text: str, keys: Sequence[str]) -> list[str]:
    """What follows the last line of one of these keys."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in keys:
            found = words[1:]
    return found


def check_dns(servers: Sequence[str]) -> None:
    """InvalidArgument: one of ``--dns`` is no address."""
    for server in servers:
        try:
            ipaddress.ip_address(server.partition("%")[0])
        except ValueError:
            raise InvalidArgument(f"{server[:60]} is not an ip address") from None
