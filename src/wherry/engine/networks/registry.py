"""All networks by id, id prefix and name, and who is attached to them, in step with core's store."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from wherry.core.networks.network import Endpoint, Network, NetworkStore
from wherry.engine.networks.request import PREDEFINED, check_free_of, predefined
from wherry.errors import InvalidArgument, NotFound


class NetworkRegistry:
    """What is changed here is durable when the call returns."""

    def __init__(self, store: NetworkStore, new_id: Callable[[], str], clock: Callable[[], int]) -> None:
        self._store = store
        self._new_id = new_id
        self._clock = clock
        self._networks: dict[str, Network] = {}
        self._endpoints: dict[str, Endpoint] = {}

    async def load(self) -> None:
        """Read the store, once, when the engine starts. Every engine has docker's three networks."""
        networks, endpoints = await asyncio.to_thread(self._read)
        self._networks = {network.id: network for network in networks}
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}

    def _read(self) -> tuple[list[Network], list[Endpoint]]:
        found = self._store.networks()
        there = {network.name for network in found}
        for name in [name for name in PREDEFINED if name not in there]:
            network = predefined(self._new_id(), name, self._clock())
            self._store.add(network)
            found.append(network)
        return found, self._store.endpoints()

    def __iter__(self) -> Iterator[Network]:
        """Oldest first."""
        return iter(sorted(self._networks.values(), key=lambda network: (network.created, network.id)))

    def get(self, ref: str) -> Network:
        """By full id, name, or unique prefix of an id. NotFound; InvalidArgument: many have it."""
        if ref in self._networks:
            return self._networks[ref]
        for network in self._networks.values():
            if network.name == ref:
                return network
        matches = [network for key, network in self._networks.items() if ref and key.startswith(ref)]
        if len(matches) > 1:
            raise InvalidArgument(f"network {ref[:64]} is ambiguous ({len(matches)} matches found based on ID prefix)")
        if not matches:
            raise NotFound(f"network {ref[:256]} not found")
        return matches[0]

    def named(self, refs: Iterable[str]) -> tuple[str, ...]:
        """The names of networks that are given by id or name; one that there is none of stays as it is."""
        found = []
        for ref in refs:
            try:
                found.append(self.get(ref).name)
            except (NotFound, InvalidArgument):
                found.append(ref)
        return tuple(found)

    async def add(self, network: Network) -> None:
        """Conflict, InvalidArgument, PermissionDenied: name, bridge or subnet are another's."""
        check_free_of(network, list(self))
        self._networks[network.id] = network  # nobody else may take the name while it is written
        try:
            await asyncio.to_thread(self._store.add, network)
        except BaseException:
            del self._networks[network.id]
            raise

    async def change(self, network: Network) -> None:
        """Write what became of a network. NotFound: it was removed meanwhile, and does not come back."""
        await asyncio.to_thread(self._store.change, network)
        if network.id in self._networks:
            self._networks[network.id] = network

    async def remove(self, network: Network) -> None:
        """Conflict: it has endpoints."""
        await asyncio.to_thread(self._store.remove, network.id)
        self._networks.pop(network.id, None)

    def attached(self, container: str) -> list[Endpoint]:
        """A container's endpoints, in the order of its interfaces."""
        found = [endpoint for endpoint in self._endpoints.values() if endpoint.container == container]
        return sorted(found, key=lambda endpoint: (len(endpoint.interface), endpoint.interface))

    def members(self, network_id: str) -> list[Endpoint]:
        """A network's endpoints."""
        return [endpoint for endpoint in self._endpoints.values() if endpoint.network == network_id]

    def owners(self) -> set[str]:
        """The containers that have endpoints."""
        return {endpoint.container for endpoint in self._endpoints.values()}

    async def put(self, endpoints: Sequence[Endpoint]) -> None:
        """Write endpoints, new or changed, all or none."""
        await asyncio.to_thread(self._store.put_endpoints, endpoints)
        self._endpoints.update((endpoint.id, endpoint) for endpoint in endpoints)

    async def set_aside(self, endpoint: Endpoint) -> None:
        """Write down one that is no container's yet: nobody is shown it. After a kill it is among the others."""
        await asyncio.to_thread(self._store.put_endpoints, [endpoint])

    def note(self, endpoint: Endpoint) -> None:
        """What became of one, until the engine ends: what is written down of it holds more, and does not harm."""
        if endpoint.id in self._endpoints:
            self._endpoints[endpoint.id] = endpoint

    async def forget(self, endpoints: Iterable[Endpoint]) -> None:
        """They are detached, or never were attached."""
        ids = [endpoint.id for endpoint in endpoints]
        await asyncio.to_thread(self._store.remove_endpoints, ids)
        for one in ids:
            self._endpoints.pop(one, None)
