"""Where a registry's API is, and how far it is trusted. Decided from names and the configuration; no I/O.

Sources: dockerd's --insecure-registry and --registry-mirror; docker trusts 127.0.0.0/8 and ::1 without being told.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wherry.core.remotes.proxies import Proxies
from wherry.errors import InvalidArgument
from wherry.oci.reference import DEFAULT_DOMAIN

_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """``insecure`` are names (``host``, ``host:port``) and CIDR blocks that may be spoken to without TLS or with any
    certificate; ``mirrors`` are URLs asked first for images of Docker Hub; ``places`` say by domain where a registry's
    API is, if not at its name; ``certificates`` are folders with one folder for each ``host:port``; ``proxies`` are on
    the way to all of them."""

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[str, ...] = ()
    proxies: Proxies = field(default_factory=Proxies)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask. ``urls`` are tried in order until one answers at all; none ends with a slash. ``insecure``: its
    certificate is not looked at. ``own``: it is the registry itself, which credentials are for and pushes go to."""

    urls: tuple[str, ...]
    insecure: bool = False
    own: bool = True


def endpoints(domain: str, config: RegistryConfig) -> Sequence[Endpoint]:
    """Where to look for what is in ``domain``, in order; the registry itself is the last."""
    found = []
    if domain == DEFAULT_DOMAIN:
        found = [Endpoint((url,), is_insecure(_authority(url), config), own=False) for url in config.mirrors]
    return [*found, _itself(domain, config)]


def _itself(domain: str, config: RegistryConfig) -> Endpoint:
    place = config.places.get(domain)
    if place is not None:
        return Endpoint((place,), is_insecure(_authority(place), config))
    host = _HUB if domain == DEFAULT_DOMAIN else domain
    if is_insecure(host, config):
        return Endpoint((f"https://{host}", f"http://{host}"), insecure=True)
    return Endpoint((f"https://{host}",))


def is_insecure(authority: str, config: RegistryConfig) -> bool:
    """Whether ``host[:port]`` may be spoken to without TLS: this machine's own, or one that was named."""
    host = host_of(authority)
    names = {name.lower() for name in config.insecure if "/" not in name}
    if host == "localhost" or {authority.lower(), host} & names:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    blocks = [block for block in config.insecure if "/" in block]
    return address.is_loopback or any(address in ipaddress.ip_network(block, strict=False) for block in blocks)


def host_of(authority: str) -> str:
    """``[::1]:5000`` -> ``::1``; ``localhost:5000`` -> ``localhost``."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def _authority(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def parse_url(text: str, what: str) -> str:
    """A registry's URL as a user wrote it, without the slash at its end. InvalidArgument names ``what``."""
    scheme, separator, rest = text.partition("://")
    host = rest.partition("/")[0]
    plain = not set(text) & set("?#@\\ \t\r\n") and text.isascii() and text.isprintable()
    if not separator or scheme not in ("http", "https") or not host or not plain:
        raise InvalidArgument(f"invalid {what} {text[:100]!r}: write http://HOST[:PORT] or https://HOST[:PORT]")
    return text.rstrip("/")


def parse_insecure(text: str) -> str:
    """A name or block for `RegistryConfig.insecure`. InvalidArgument."""
    name = text.partition("://")[2] or text
    if "/" in name:
        try:
            return str(ipaddress.ip_network(name, strict=False))
        except ValueError:
            raise InvalidArgument(
                f"invalid insecure registry {text[:100]!r}: write HOST[:PORT] or a block like 10.0.0.0/8"
            ) from None
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise InvalidArgument(f"invalid insecure registry {text[:100]!r}: write HOST[:PORT] or a block like 10.0.0.0/8")
    return name
