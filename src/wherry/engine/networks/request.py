"""The body of POST /networks/create: checked, and made a network that is not there yet. Pure.

Source: Docker Engine API v1.51, NetworkCreate; docker's documentation of the bridge driver's options.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeVar

from wherry.booleans import BOOLEANS
from wherry.core.networks.network import Network
from wherry.engine.document import Form, checked, is_flag, is_object, is_objects, is_text, is_text_map
from wherry.errors import Conflict, InvalidArgument, PermissionDenied, Unimplemented

ValueT = TypeVar("ValueT")

BRIDGE: Final = "bridge"
HOST: Final = "host"
NONE: Final = "none"
PREDEFINED: Final = {BRIDGE: "bridge", HOST: "host", NONE: "null"}
"""The networks that are always there, each with its driver."""

CREATE: Final[dict[str, tuple[Form, Any]]] = {
    "Name": (is_text, ""),
    "Driver": (is_text, ""),
    "Scope": (is_text, ""),
    "EnableIPv4": (is_flag, True),
    "EnableIPv6": (is_flag, False),
    "IPAM": (is_object, {}),
    "Internal": (is_flag, False),
    "Attachable": (is_flag, False),
    "Ingress": (is_flag, False),
    "ConfigOnly": (is_flag, False),
    "ConfigFrom": (is_object, {}),
    "Options": (is_text_map, {}),
    "Labels": (is_text_map, {}),
}
_IPAM: Final[dict[str, tuple[Form, Any]]] = {
    "Driver": (is_text, ""),
    "Config": (is_objects, []),
    "Options": (is_text_map, {}),
}
_SPAN: Final[dict[str, tuple[Form, Any]]] = {
    "Subnet": (is_text, ""),
    "IPRange": (is_text, ""),
    "Gateway": (is_text, ""),
    "AuxiliaryAddresses": (is_text_map, {}),
}
_LONGEST: Final = 255
_LONGEST_LINK: Final = 15
_PREFIX: Final = "com.docker.network."


@dataclass(frozen=True, slots=True)
class _Span:
    """A checked IPAM configuration."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""


def network_of(body: Any, network_id: str, now: int) -> Network:
    """InvalidArgument, PermissionDenied and Unimplemented tell what is wrong, in one line."""
    asked = checked(body, CREATE, "network configuration")
    name = _name(asked["Name"])
    _check_kind(asked)
    span, span6, ipam_options = _ipam(asked["IPAM"], network_id, ipv6=asked["EnableIPv6"])
    network = Network(
        id=network_id,
        name=name,
        driver="bridge",
        created=now,
        subnet=span.subnet,
        gateway=span.gateway,
        ip_range=span.ip_range,
        chosen=not span.subnet,
        subnet6=span6.subnet,
        gateway6=span6.gateway,
        ip_range6=span6.ip_range,
        internal=asked["Internal"],
        attachable=asked["Attachable"],
        link=link_of(network_id),
        options=asked["Options"],
        ipam_options=ipam_options,
        labels=asked["Labels"],
    )
    return _with_options(network, asked["Options"])


def link_of(network_id: str) -> str:
    """The bridge's name on the host, as docker forms it."""
    return f"br-{network_id[:12]}"


def _name(name: str) -> str:
    if name in PREDEFINED:
        raise PermissionDenied(f"operation is not permitted on predefined {name} network")
    # What --network takes for something else can be no name.
    if not name.strip() or len(name) > _LONGEST or "/" in name or ":" in name or name == "default":
        raise InvalidArgument(f"invalid network name {name[:80]!r}: 1 to {_LONGEST} characters without / and :")
    return name


def _check_kind(asked: Mapping[str, Any]) -> None:
    driver = asked["Driver"]
    if driver in ("host", "null"):
        raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
    if driver not in ("", "bridge", "default"):
        raise InvalidArgument(f'could not find plugin {driver[:60]}: network drivers known here are "bridge"')
    if asked["Scope"] not in ("", "local"):
        raise InvalidArgument(f"network scope {asked['Scope'][:30]!r} is not offered: leave it out, or say local")
    if asked["Ingress"] or asked["ConfigOnly"] or asked["ConfigFrom"].get("Network"):
        raise Unimplemented("networks of swarms (ingress, config-only, config-from) are not offered")
    if not asked["EnableIPv4"]:
        raise Unimplemented("networks without IPv4 are not offered")


def _ipam(document: Mapping[str, Any], network_id: str, *, ipv6: bool) -> tuple[_Span, _Span, Mapping[str, str]]:
    """What is asked for of IPv4, of IPv6, and the driver's options."""
    ipam = checked(document, _IPAM, "IPAM configuration")
    if ipam["Driver"] not in ("", "default", "host-local"):
        raise InvalidArgument(f"could not find IPAM driver {ipam['Driver'][:60]!r} (known: default)")
    spans = [checked(entry, _SPAN, "IPAM configuration") for entry in ipam["Config"]]
    sixes = [span for span in spans if ":" in span["Subnet"]]
    fours = [span for span in spans if span not in sixes]
    if len(fours) > 1 or len(sixes) > 1:
        raise Unimplemented("a network has one subnet of IPv4 and one of IPv6 here: give --subnet once for each")
    if sixes and not ipv6:
        raise InvalidArgument(f"invalid network config: {sixes[0]['Subnet'][:60]} is IPv6's: add --ipv6")
    six = _own_subnet(network_id) if ipv6 else _Span()
    return (_span(fours[0]) if fours else _Span()), (_span(sixes[0]) if sixes else six), ipam["Options"]


def _own_subnet(network_id: str) -> _Span:
    """One that nobody else has, of RFC 4193's unique local addresses: it comes of the network's id, which is random."""
    subnet = IPv6Network((0xFD << 120 | int(network_id[:14], 16) << 64, 64))
    return _Span(str(subnet), "", str(subnet[1]))


def _span(asked: Mapping[str, Any]) -> _Span:
    if not asked["Subnet"]:
        if asked["Gateway"] or asked["IPRange"]:
            raise InvalidArgument("--gateway and --ip-range need a --subnet that they are in")
        return _Span()
    subnet = _subnet(asked["Subnet"])
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        raise InvalidArgument(f"invalid subnet {subnet}: there is no room in it for a gateway and a container")
    gateway = _read(ip_address, asked["Gateway"], "gateway") if asked["Gateway"] else subnet[1]
    if gateway not in subnet:
        raise InvalidArgument(f"invalid network config: no matching subnet for gateway {gateway}")
    part = ""
    if asked["IPRange"]:
        ip_range = _subnet(asked["IPRange"])
        if ip_range.version != subnet.version or not ip_range.subnet_of(subnet):  # type: ignore[arg-type]  # of one version
            raise InvalidArgument(f"invalid network config: no matching subnet for range {ip_range}")
        part = str(ip_range)
    if asked["AuxiliaryAddresses"]:
        raise Unimplemented("--aux-address is not offered: use --ip-range to keep addresses free")
    return _Span(str(subnet), part, str(gateway))


def _subnet(text: str) -> IPv4Network | IPv6Network:
    return _read(lambda found: ip_network(found, strict=False), text, "subnet")


def _read(make: Callable[[str], ValueT], text: str, what: str) -> ValueT:
    try:
        return make(text)
    except ValueError:
        raise InvalidArgument(f"invalid {what} {text[:60]!r}: no {what} of IPv4 or IPv6") from None


def _with_options(network: Network, options: Mapping[str, str]) -> Network:
    """The options that mean something here; others are kept and shown, as docker does."""
    changes: dict[str, Any] = {}
    if link := options.get(f"{_PREFIX}bridge.name", ""):
        if len(link) > _LONGEST_LINK or "/" in link or not link.isascii() or link.strip() != link:
            raise InvalidArgument(f"invalid bridge name {link[:60]!r}: at most {_LONGEST_LINK} characters")
        changes["link"] = link
    if mtu := options.get(f"{_PREFIX}driver.mtu", ""):
        if not (mtu.isascii() and mtu.isdigit() and len(mtu) <= 5 and 68 <= int(mtu) <= 65_535):
            raise InvalidArgument(f"invalid MTU {mtu[:20]!r}: a number of bytes from 68 to 65535")
        changes["mtu"] = int(mtu)
    if masquerade := options.get(f"{_PREFIX}bridge.enable_ip_masquerade", ""):
        if masquerade not in BOOLEANS:
            raise InvalidArgument(f"invalid enable_ip_masquerade {masquerade[:20]!r}: true or false")
        changes["masquerade"] = BOOLEANS[masquerade]
    if address := options.get(f"{_PREFIX}bridge.host_binding_ipv4", ""):
        changes["host_address"] = str(_read(IPv4Address, address, "address"))
    return replace(network, **changes)


def predefined(network_id: str, name: str, now: int) -> Network:
    """One of the networks that every engine has."""
    link = link_of(network_id) if name == BRIDGE else ""
    return Network(id=network_id, name=name, driver=PREDEFINED[name], created=now, link=link)


def check_free_of(network: Network, others: list[Network]) -> None:
    """Conflict: the name or the bridge is another network's. InvalidArgument: its subnet overlaps another's."""
    for other in others:
        if other.name == network.name:
            raise Conflict(f"network with name {network.name} already exists")
        if other.link and other.link == network.link:
            raise PermissionDenied(
                f"cannot create network {network.id} ({network.link}): conflicts with network {other.id} "
                f"({other.link}): networks have same bridge name"
            )
        # One that was chosen gives way: it is chosen anew when it is next used.
        mine = network.subnet and other.subnet and not other.chosen
        six = network.subnet6 and other.subnet6
        if six and IPv6Network(network.subnet6).overlaps(IPv6Network(other.subnet6)):
            raise InvalidArgument("invalid pool request: Pool overlaps with other one on this address space")
        if mine and IPv4Network(network.subnet).overlaps(IPv4Network(other.subnet)):
            raise InvalidArgument("invalid pool request: Pool overlaps with other one on this address space")
