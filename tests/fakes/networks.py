"""Networks that touch no kernel: a driver that gives addresses out of each subnet, namespaces that are names."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from wherry.core.networks.cni import with_subnet
from wherry.core.networks.network import Endpoint, Names, Network
from wherry.errors import Conflict, WherryError


class FakeNetworkDriver:
    """Driver of `NetworkDriver`. ``attached`` are the endpoints that are in place, ``links`` the bridges; ``fault`` is
    raised by the next attach, when there is one. ``published`` and ``publish_fault``: the same of ports."""

    def __init__(self) -> None:
        self.links: set[str] = set()
        self.attached: dict[str, Endpoint] = {}
        self.fault: WherryError | None = None
        self.published: dict[str, Endpoint] = {}
        self.publish_fault: WherryError | None = None
        self._numbers = itertools.count(2)

    async def establish(self, network: Network, avoid: Sequence[IPv4Network]) -> Network:
        self.links.add(network.link)
        return network if network.subnet and network.link in self.links else with_subnet(network, avoid)

    async def attach(self, network: Network, endpoint: Endpoint, namespace: str) -> Endpoint:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        subnet = IPv4Network(network.subnet)
        address = endpoint.wanted_address or str(subnet[next(self._numbers)])
        if any(other.address == address for other in self.attached.values()):
            raise Conflict("Address already in use")
        found = replace(
            endpoint,
            address=address,
            prefix=subnet.prefixlen,
            gateway=network.gateway,
            mac=endpoint.wanted_mac or "02:42:00:00:00:01",
        )
        self.attached[endpoint.id] = found
        return found

    async def publish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        fault, self.publish_fault = self.publish_fault, None
        if fault is not None:
            raise fault
        self.published[endpoint.id] = endpoint

    async def unpublish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        self.published.pop(endpoint.id, None)

    async def detach(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        self.attached.pop(endpoint.id, None)
        self.published.pop(endpoint.id, None)

    async def dissolve(self, network: Network) -> None:
        self.links.discard(network.link)


class FakeNamespaces:
    """Driver of `Namespaces`. ``there`` are those that were made, ``resolvers`` the names that are answered from."""

    resolver = "127.0.0.11"
    late = False

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.resolvers: dict[str, Names] = {}
        self.routes: dict[str, str] = {}

    def path(self, container: str) -> str:
        return f"/made-up/{container}"

    def ids(self) -> list[str]:
        return sorted(self.there)

    async def make(self, container: str) -> str:
        self.there.add(container)
        return self.path(container)

    async def hand_over(self, container: str, to: str) -> str:
        self.there.remove(container)
        return await self.make(to)

    async def remove(self, container: str) -> None:
        self.there.discard(container)
        self.resolvers.pop(container, None)

    async def answer(self, container: str, names: Names, *, again: bool) -> None:
        self.resolvers[container] = names

    async def route(self, container: str, gateway: str) -> None:
        self.routes[container] = gateway

    async def close(self) -> None:
        self.resolvers.clear()
