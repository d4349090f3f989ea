"""What the flags of networks carry, from text to the Engine API's values. Pure.

InvalidArgument everywhere, on one line, with the text that is wrong in it.
"""

from collections.abc import Sequence
from typing import Any, Final

from wherry.cli.values import key_values
from wherry.errors import InvalidArgument

Endpoint = dict[str, Any]
_KEYS: Final = ("name", "alias", "ip", "ip6", "mac-address", "driver-opt", "gw-priority")


def networks(
    asked: Sequence[str], aliases: Sequence[str], ip: str, mac: str, ip6: str = ""
) -> tuple[str, dict[str, Endpoint]]:
    """``--network`` as often as it was given, ``--network-alias``, ``--ip``, ``--mac-address``, ``--ip6``: NetworkMode
    and EndpointsConfig. All but the first are of the first network."""
    read = [_network(text) for text in asked] or [("default", {})]
    mode, first = read[0]
    names = [name for name, _ in read]
    if len(set(names)) != len(names):
        raise InvalidArgument(f"network {names[-1]!r} is specified multiple times")
    for key, value in (("Aliases", list(aliases)), ("IPAMConfig", _ipam(ip, ip6)), ("MacAddress", mac)):
        if value and first.get(key):
            raise InvalidArgument(f"conflicting options: {key} is given both in --network and by an option of its own")
        if value:
            first[key] = value
    return mode, {name: endpoint for name, endpoint in read if endpoint or len(read) > 1}


def _network(text: str) -> tuple[str, Endpoint]:
    """``NAME``, or ``name=NAME,alias=A,ip=I,...``."""
    if "=" not in text:
        return text, {}
    name, endpoint = "", Endpoint()
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals or not value or key not in _KEYS:
            raise InvalidArgument(f"invalid field {field!r} in --network {text!r} (known: {', '.join(_KEYS)})")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key == "ip":
            endpoint["IPAMConfig"] = {**endpoint.get("IPAMConfig", {}), **_ipam(value)}
        elif key == "ip6":
            endpoint["IPAMConfig"] = {**endpoint.get("IPAMConfig", {}), **_ipam("", value)}
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "driver-opt":
            endpoint.setdefault("DriverOpts", {}).update(key_values([value], "driver option"))
        else:
            endpoint["GwPriority"] = _number(value, text)
    if not name:
        raise InvalidArgument(f"--network {text!r} names no network: name=NAME is wanted")
    return name, endpoint


def _number(value: str, text: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidArgument(f"invalid gw-priority in --network {text!r}: a whole number is wanted") from None


def _ipam(address: str, address6: str = "") -> dict[str, str]:
    return {key: value for key, value in (("IPv4Address", address), ("IPv6Address", address6)) if value}


def extra_hosts(items: Sequence[str]) -> list[str]:
    """``--add-host NAME:ADDRESS`` or ``NAME=ADDRESS``."""
    found = []
    for item in items:
        name, equals, address = item.partition("=")
        if not equals or ":" in name:
            name, equals, address = item.partition(":")
        if not name or not equals or not address:
            raise InvalidArgument(f"bad format for add-host: {item!r}: NAME:ADDRESS is wanted")
        found.append(f"{name}:{address}")
    return found


def ipam(subnets: Sequence[str], ranges: Sequence[str], gateways: Sequence[str]) -> list[dict[str, str]]:
    """``--subnet``, ``--ip-range`` and ``--gateway`` of one network, the first of each together."""
    most = max(len(subnets), len(ranges), len(gateways))
    columns = (("Subnet", subnets), ("IPRange", ranges), ("Gateway", gateways))
    return [{key: values[row] for key, values in columns if row < len(values)} for row in range(most)]
