"""Which proxy leads to a host. Decided from configuration and names; no I/O.

Sources: https://pkg.go.dev/golang.org/x/net/http/httpproxy (what dockerd goes by) and dockerd's --http-proxy,
--https-proxy and --no-proxy.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wherry.errors import InvalidArgument

_PORTS = {"http": 80, "https": 443}
_HIDDEN = "xxxxx:xxxxx"


@dataclass(frozen=True, slots=True)
class Proxies:
    """``http`` and ``https`` are URLs of the proxy for what is at such an address, "" for none; ``no`` says as a user
    wrote it, with commas, what is reached without one. This machine itself always is."""

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    no: str = ""

    def of(self, url: str) -> str:
        """The proxy on the way to ``url``, "" for none."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        if not proxy or not parts.hostname:
            return ""
        port = parts.port or _PORTS.get(parts.scheme, 0)
        return "" if _is_direct(parts.hostname.rstrip("."), port, self.no) else proxy


def _is_direct(host: str, port: int, exceptions: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    words = [word for word in (part.strip().lower() for part in exceptions.split(",")) if word]
    return any(word == "*" or _covers(word, host, address, port) for word in words)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _covers(word: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    """``example.com`` covers what is below it too, ``.example.com`` and ``*.example.com`` only that."""
    if "/" in word:
        try:
            return address is not None and address in ipaddress.ip_network(word, strict=False)
        except ValueError:
            return False
    name, wanted = _split(word)
    if wanted and wanted != str(port):
        return False
    if address is not None:
        return _address(name) == address
    below = name.removeprefix("*") if name.startswith("*.") else name
    return host.endswith(below) if below.startswith(".") else host == below or host.endswith(f".{below}")


def _split(word: str) -> tuple[str, str]:
    """A name or address, and a port if there is one; ``::1`` has none."""
    name, separator, port = word.rpartition(":")
    has_port = bool(separator) and port.isdigit() and (":" not in name or name.endswith("]"))
    return (name, port) if has_port else (word, "")


def proxies(given: Mapping[str, str | None], environ: Mapping[str, str]) -> Proxies:
    """What was ``given`` by ``http``, ``https`` and ``no``, else what the environment says, in capitals or not.
    InvalidArgument."""

    def told(name: str) -> tuple[str, str]:
        if given.get(name) is not None:
            return str(given[name]), f"--{name}-proxy"
        variable = f"{name}_proxy"
        return environ.get(variable.upper()) or environ.get(variable, ""), variable.upper()

    return Proxies(_proxy(*told("http")), _proxy(*told("https")), told("no")[0])


def _proxy(text: str, what: str) -> str:
    """A proxy's URL; ``HOST:PORT`` is one by HTTP. Its text is not shown: there may be a password in it."""
    url = text if "://" in text else f"http://{text}" if text else ""
    try:
        parts = urlsplit(url)
        fine = not url or (parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidArgument(f"invalid {what}: write http://[USER:PASSWORD@]HOST:PORT, or https://")
    return url


def shown(proxy: str) -> str:
    """A proxy's URL without its user's name and password."""
    parts = urlsplit(proxy)
    return parts._replace(netloc=f"{_HIDDEN}@{parts.netloc.rpartition('@')[2]}").geturl() if "@" in proxy else proxy
