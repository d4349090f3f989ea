"""Which networks a container is in, and how: NetworkMode and EndpointsConfig read. Pure.

Source: Docker Engine API v1.51, EndpointSettings and NetworkingConfig.
"""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final

from wherry.core.networks.network import Network
from wherry.engine.document import Form, checked, is_number, is_object, is_text, is_text_map, is_texts
from wherry.engine.networks import links
from wherry.engine.networks.request import BRIDGE, HOST, NONE, PREDEFINED
from wherry.errors import InvalidArgument, PermissionDenied, Unimplemented

ENDPOINT: Final[dict[str, tuple[Form, Any]]] = {
    "IPAMConfig": (is_object, None),
    "Links": (is_texts, None),
    "Aliases": (is_texts, None),
    "MacAddress": (is_text, ""),
    "DriverOpts": (is_text_map, None),
    "GwPriority": (is_number, 0),
}
_IPAM: Final[dict[str, tuple[Form, Any]]] = {
    "IPv4Address": (is_text, ""),
    "IPv6Address": (is_text, ""),
    "LinkLocalIPs": (is_texts, None),
}
JOINED: Final = "container:"
Settings = Mapping[str, Any]


def endpoints_config(networking: Any) -> dict[str, dict[str, Any]]:
    """The EndpointsConfig of a create request, checked. InvalidArgument."""
    document = checked(networking or {}, {"EndpointsConfig": (is_object, {})}, "networking configuration")
    return {name: settings(entry) for name, entry in document["EndpointsConfig"].items()}


def settings(document: Any) -> dict[str, Any]:
    """One EndpointSettings. InvalidArgument; Unimplemented: link-local addresses."""
    found = checked(document or {}, ENDPOINT, "endpoint settings")
    links.check(found["Links"])
    if found["IPAMConfig"]:
        ipam = checked(found["IPAMConfig"], _IPAM, "endpoint settings")
        if ipam["LinkLocalIPs"]:
            raise Unimplemented("link-local addresses are not offered: leave --link-local-ip out")
        kinds = {"IPv4Address": ipaddress.IPv4Address, "IPv6Address": ipaddress.IPv6Address}
        named = {key: _address(make, key, ipam[key]) for key, make in kinds.items() if ipam[key]}
        found["IPAMConfig"] = named or None
    found["MacAddress"] = _mac(found["MacAddress"])
    return found


def _address(make: Callable[[str], object], key: str, text: str) -> str:
    try:
        return str(make(text))
    except ValueError:
        raise InvalidArgument(f"invalid {key[:4]} address: {text[:60]}") from None


def _mac(text: str) -> str:
    parts = text.split(":")
    if text and (len(parts) != 6 or not all(len(part) == 2 and _is_hex(part) for part in parts)):
        raise InvalidArgument(f"{text[:60]} is not a valid mac address")
    return text.lower()


def _is_hex(text: str) -> bool:
    return set(text.lower()) <= set("0123456789abcdef")


def mode_of(host: Mapping[str, Any]) -> str:
    """The name that NetworkMode comes to."""
    mode = str(host["NetworkMode"])
    return BRIDGE if mode in ("", "default") else mode


def attachments(
    host: Mapping[str, Any], config: Mapping[str, dict[str, Any]], mac: str = ""
) -> dict[str, dict[str, Any]]:
    """The networks a new container is in, that of NetworkMode first, each with its settings. ``mac`` is the address in
    the first one, said of the container as a whole, as clients did before 1.44.

    InvalidArgument and PermissionDenied: what docker refuses too.
    """
    mode = mode_of(host)
    named = {BRIDGE if name == "default" else name: entry for name, entry in config.items()}
    if mode.startswith(JOINED):
        if mode == JOINED:
            raise InvalidArgument("invalid network mode: invalid container format container:<name|id>")
        if named:
            raise InvalidArgument("conflicting options: a container in another one's network can be in no other")
        if mac:
            raise InvalidArgument(_NO_MAC)
        return {}
    first = _with_mac(named.pop(mode, {}) or settings({}), mac)
    if mode in (HOST, NONE) and named:
        raise PermissionDenied(
            f"container cannot be connected to multiple networks with one of the networks in {_PRIVATE[mode]} mode"
        )
    found = {mode: first, **named}
    for name, entry in found.items():
        check(name, entry)
    if HOST in named or NONE in named:
        raise PermissionDenied("container cannot be connected to host or none and to another network")
    return found


def _with_mac(first: dict[str, Any], mac: str) -> dict[str, Any]:
    mac = _mac(mac)
    if not mac or first["MacAddress"] == mac:
        return first
    if first["MacAddress"]:
        raise InvalidArgument(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be "
            "left empty"
        )
    return {**first, "MacAddress": mac}


_NO_MAC: Final = "conflicting options: mac-address and the network mode"
_PRIVATE: Final = {HOST: "host", NONE: "private (none)"}


def check(name: str, entry: Settings) -> None:
    """InvalidArgument: what only networks that users made can give."""
    if name in PREDEFINED:
        if entry["Aliases"]:
            raise InvalidArgument("network-scoped alias is supported only for containers in user defined networks")
        if entry["IPAMConfig"]:
            raise InvalidArgument("user specified IP address is supported on user defined networks only")
    if name in (HOST, NONE) and entry["MacAddress"]:
        raise InvalidArgument(_NO_MAC)


def check_address(network: Network, entry: Settings) -> None:
    """InvalidArgument: the address that is asked for is none of this network's, or it may get another subnet."""
    asked = entry.get("IPAMConfig") or {}
    if network.chosen and "IPv4Address" in asked:
        raise InvalidArgument(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
        )
    for key, subnet in (("IPv4Address", network.subnet), ("IPv6Address", network.subnet6)):
        if key in asked and not (subnet and ipaddress.ip_address(asked[key]) in ipaddress.ip_network(subnet)):
            raise InvalidArgument(f"no configured subnet or ip-range contain the IP address {asked[key]}")
