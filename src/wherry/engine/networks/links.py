"""``--link``: names of one container's own for others, as HostConfig.Links and EndpointSettings.Links have them. Pure.

In a network that a user made the resolver knows them; on the default bridge they are lines of /etc/hosts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.core.networks.network import Endpoint
from wherry.errors import InvalidArgument

Links = Mapping[str, str]
"""Container names by alias, both in lower case."""
_FULL_ID = re.compile(r"[0-9a-f]{64}")
_SHORT = 12


def parse_link(text: str) -> tuple[str, str]:
    """``NAME[:ALIAS]`` as name and alias. InvalidArgument, in docker's words."""
    name, _, alias = text.partition(":")
    name = name.rpartition("/")[2]
    alias = alias.rpartition("/")[2] or name
    if not name or ":" in alias or len(text.split()) != 1:
        raise InvalidArgument(f"bad format for links: {text[:100]}")
    return (name[:_SHORT] if _FULL_ID.fullmatch(name) else name).lower(), alias.lower()


def check(links: Iterable[str] | None) -> None:
    """InvalidArgument: one of them is none."""
    for text in links or ():
        parse_link(text)


def links_of(host: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]]) -> Links:
    """All links of a container."""
    told = [*(host["Links"] or ()), *(text for entry in networks.values() for text in entry.get("Links") or ())]
    return {alias: name for name, alias in map(parse_link, told)}


def lines(links: Links, members: Iterable[Endpoint]) -> list[tuple[str, str]]:
    """Addresses and names for /etc/hosts, of those that are there."""
    found = {name: endpoint for endpoint in members if endpoint.address for name in endpoint.names}
    return [
        (found[name].address, " ".join(dict.fromkeys((alias, *found[name].names))))
        for alias, name in links.items()
        if name in found
    ]
