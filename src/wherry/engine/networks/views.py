"""Networks and endpoints as clients see them: documents of `docker network inspect` and of NetworkSettings. Pure.

Source: Docker Engine API v1.51, Network, NetworkSettings, EndpointSettings, PortMap.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from wherry.core.networks.network import Endpoint, Network
from wherry.engine.networks.request import PREDEFINED
from wherry.engine.times import rfc3339

Json = dict[str, Any]


def network(found: Network, members: Sequence[tuple[Endpoint, str]]) -> Json:
    """The whole of a network; ``members`` are what is attached, each with its container's name."""
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": rfc3339(found.created),
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": found.driver == "bridge",
        "EnableIPv6": bool(found.subnet6),
        "IPAM": {
            "Driver": "default",
            "Options": _ipam_options(found),
            "Config": _ipam(found),
        },
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {endpoint.container: _member(endpoint, name) for endpoint, name in members},
        "Options": dict(found.options),
        "Labels": dict(found.labels),
    }


def _ipam_options(found: Network) -> Json | None:
    return None if found.name in PREDEFINED else dict(found.ipam_options)


def _ipam(found: Network) -> list[Json]:
    four = {"Subnet": found.subnet, "IPRange": found.ip_range, "Gateway": found.gateway}
    six = {"Subnet": found.subnet6, "IPRange": found.ip_range6, "Gateway": found.gateway6}
    return [{key: value for key, value in span.items() if value} for span in (four, six) if span["Subnet"]]


def _member(endpoint: Endpoint, name: str) -> Json:
    return {
        "Name": name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
        "IPv6Address": f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else "",
    }


def network_settings(
    wanted: Mapping[str, Mapping[str, Any]],
    attached: Sequence[tuple[Network, Endpoint]],
    ids: Mapping[str, str],
    exposed: Sequence[tuple[int, str]],
    *,
    sandbox: str,
) -> Json:
    """A container's NetworkSettings. ``wanted`` are its networks' settings by name, ``ids`` the networks' ids;
    ``sandbox`` the path of its namespace, "" when it has none."""
    by_name = {found.name: endpoint for found, endpoint in attached}
    bridged = by_name.get("bridge")
    return {
        "Bridge": "",
        "SandboxID": posixpath.basename(sandbox),
        "SandboxKey": sandbox,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "Ports": port_map([endpoint for _, endpoint in attached], exposed) if attached else {},
        "EndpointID": bridged.id if bridged else "",
        "Gateway": bridged.gateway if bridged else "",
        "IPAddress": bridged.address if bridged else "",
        "IPPrefixLen": bridged.prefix if bridged else 0,
        **_ipv6(bridged),
        "MacAddress": bridged.mac if bridged else "",
        "Networks": {
            name: endpoint_settings(entry, by_name.get(name), ids.get(name, "")) for name, entry in wanted.items()
        },
    }


def endpoint_settings(wanted: Mapping[str, Any], endpoint: Endpoint | None, network_id: str) -> Json:
    """One of NetworkSettings.Networks."""
    return {
        "IPAMConfig": wanted.get("IPAMConfig"),
        "Links": wanted.get("Links"),
        "Aliases": wanted.get("Aliases"),
        "MacAddress": endpoint.mac if endpoint else wanted.get("MacAddress", ""),
        "DriverOpts": wanted.get("DriverOpts"),
        "GwPriority": wanted.get("GwPriority", 0),
        "NetworkID": network_id,
        "EndpointID": endpoint.id if endpoint else "",
        "Gateway": endpoint.gateway if endpoint else "",
        "IPAddress": endpoint.address if endpoint else "",
        "IPPrefixLen": endpoint.prefix if endpoint else 0,
        **_ipv6(endpoint),
        "DNSNames": list(endpoint.names) if endpoint and endpoint.names else None,
    }


def _ipv6(endpoint: Endpoint | None) -> Json:
    return {
        "IPv6Gateway": endpoint.gateway6 if endpoint else "",
        "GlobalIPv6Address": endpoint.address6 if endpoint else "",
        "GlobalIPv6PrefixLen": endpoint.prefix6 if endpoint else 0,
    }


def port_map(endpoints: Sequence[Endpoint], exposed: Sequence[tuple[int, str]]) -> Json:
    """What `docker port` reads: each port with where the host has it, null for one that is only exposed."""
    found: dict[str, Any] = {f"{port}/{protocol}": None for port, protocol in exposed}
    for endpoint in endpoints:
        for port in endpoint.ports:
            key = f"{port.port}/{port.protocol}"
            found[key] = [*(found.get(key) or ()), {"HostIp": port.host_address, "HostPort": str(port.host_port)}]
    return found


def ports(endpoints: Sequence[Endpoint], exposed: Sequence[tuple[int, str]]) -> list[Json]:
    """The Ports of one line of `docker ps`."""
    found: list[Json] = [
        {"IP": port.host_address, "PrivatePort": port.port, "PublicPort": port.host_port, "Type": port.protocol}
        for endpoint in endpoints
        for port in endpoint.ports
    ]
    published = {(entry["PrivatePort"], entry["Type"]) for entry in found}
    bare = [item for item in exposed if item not in published] if endpoints else []
    return found + [{"PrivatePort": port, "Type": protocol} for port, protocol in bare]
