"""What a container's resolver knows: the names of those who share a network with it that a user made."""

from collections.abc import Iterator, Sequence

from wherry.core.networks.network import Endpoint
from wherry.engine.networks.links import Links
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.networks.request import PREDEFINED


class NeighbourNames:
    """Driver of `Names` for one container. ``servers`` are those that its options or its host name; ``links`` are names
    that only it knows."""

    def __init__(self, registry: NetworkRegistry, container: str, servers: Sequence[str], links: Links) -> None:
        self._registry = registry
        self._container = container
        self._servers = servers
        self._links = links

    def addresses(self, name: str) -> Sequence[str] | None:
        """See `Names.addresses`. The network's own name may follow: ``web.front``."""
        name = self._links.get(name, name)
        found = [
            address
            for network, endpoint in self._neighbours()
            for address in (endpoint.address, endpoint.address6)
            if address and name.removesuffix(f".{network}") in endpoint.names
        ]
        return found or None

    def name_of(self, address: str) -> str:
        """See `Names.name_of`."""
        for network, endpoint in self._neighbours():
            if address and address in (endpoint.address, endpoint.address6) and endpoint.names:
                return f"{endpoint.names[0]}.{network}"
        return ""

    def servers(self) -> Sequence[str]:
        """See `Names.servers`. In internal networks alone, nobody outside is asked."""
        networks = [self._registry.get(endpoint.network) for endpoint in self._registry.attached(self._container)]
        return () if networks and all(network.internal for network in networks) else self._servers

    def _neighbours(self) -> Iterator[tuple[str, Endpoint]]:
        for own in self._registry.attached(self._container):
            network = self._registry.get(own.network)
            if network.name not in PREDEFINED:
                for endpoint in self._registry.members(network.id):
                    yield network.name.lower(), endpoint


def names_of(name: str, short_id: str, hostname: str, aliases: Sequence[str]) -> tuple[str, ...]:
    """What a container is found by: its name first, then aliases, its short id and its host name; lower case."""
    return tuple(dict.fromkeys(word.lower() for word in (name, *aliases, short_id, hostname) if word))
