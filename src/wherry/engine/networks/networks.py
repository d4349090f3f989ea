"""The networks of the Engine API: one method a route, Docker-shaped JSON in and out. Containers' side: sandboxes.py."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from wherry.core.networks.network import Endpoint, Network
from wherry.engine import filters as docker_filters
from wherry.engine.networks import views
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.networks.request import HOST, PREDEFINED, network_of
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.networks.settings import check, check_address, settings
from wherry.engine.services import EngineServices, Publisher
from wherry.errors import Conflict, InvalidArgument, PermissionDenied, WherryError

Json = dict[str, Any]
Filters = Mapping[str, Sequence[str]]
_KNOWN: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_PRUNE_KNOWN: Final = frozenset({"label", "label!", "until"})


class Members(Protocol):
    """What networks ask of containers."""

    def name_of(self, container: str) -> str:
        """The name of the container with this full id, "" when there is none."""

    def users_of(self, network: str) -> list[str]:
        """The full ids of the containers whose settings have the network of this name."""

    async def settled(self, container: str) -> None:
        """Wait until what is being done to the container with this full id is done."""

    async def connect(self, ref: str, network: Network, wanted: Mapping[str, Any]) -> tuple[str, bool]:
        """Put a container into a network, now and whenever it runs; returns its full id, and whether it runs. NotFound;
        PermissionDenied: it is in it already, or may be in no other than its own; and what the network says."""

    async def disconnect(self, ref: str, network: Network, *, force: bool) -> str:
        """Take it out again. NotFound; PermissionDenied: it is not in it."""


class Networks:
    """``ref`` is a full id, a unique prefix of one, or a name. NotFound: ``network x not found``."""

    def __init__(
        self,
        services: EngineServices,
        registry: NetworkRegistry,
        sandboxes: Sandboxes,
        members: Members,
        events: Publisher,
    ) -> None:
        self._services = services
        self._registry = registry
        self._sandboxes = sandboxes
        self._members = members
        self._events = events

    async def create(self, body: Mapping[str, Any]) -> Json:
        """Body of POST /networks/create; returns ``{"Id", "Warning"}``. InvalidArgument; Conflict: the name is in
        use; PermissionDenied: it is a predefined one's; Unimplemented: something this release does not offer."""
        network = network_of(body, self._services.new_id(), self._services.clock())
        await self._registry.add(network)
        try:
            await self._sandboxes.established(network)
        except BaseException:
            await self._registry.remove(network)
            raise
        self._tell(network, "create")
        return {"Id": network.id, "Warning": ""}

    async def list(self, filters: Filters | None = None) -> list[Json]:
        """Without the containers, as docker's list has them."""
        wanted = docker_filters.checked(filters, _KNOWN)
        for kind in wanted.get("type", ()):
            if kind not in ("custom", "builtin"):
                raise InvalidArgument(f"invalid filter: 'type'='{kind[:60]}'")
        return [views.network(network, ()) for network in self._registry if self._chosen(network, wanted)]

    async def inspect(self, ref: str) -> Json:
        """The document of `docker network inspect`."""
        network = self._registry.get(ref)
        members = [
            (endpoint, self._members.name_of(endpoint.container))
            for endpoint in self._registry.members(network.id)
            if not self._sandboxes.is_leaving(endpoint.container)
        ]
        return views.network(network, members)

    async def remove(self, ref: str) -> None:
        """PermissionDenied: it is a predefined one, or containers are in it."""
        network = self._registry.get(ref)
        if network.name in PREDEFINED:
            raise PermissionDenied(f"{network.name} is a pre-defined network and cannot be removed")
        for endpoint in self._registry.members(network.id):
            await self._members.settled(endpoint.container)  # one that has just ended is on its way out
        await self._sandboxes.left()
        if members := self._registry.members(network.id):
            raise PermissionDenied(f"error while removing network: {self._in_use(network, members)}")
        await self._remove(network)

    def _in_use(self, network: Network, members: Sequence[Endpoint]) -> str:
        shown = ", ".join(
            f'name:"{self._members.name_of(endpoint.container)}" id:"{endpoint.container[:12]}"'
            for endpoint in members[:3]
        )
        return f"network {network.name} has active endpoints ({shown})"

    async def _remove(self, network: Network) -> None:
        try:
            await self._sandboxes.remove_network(network)
        except Conflict as error:
            raise PermissionDenied(f"error while removing network: {error}") from None
        self._tell(network, "destroy")

    async def prune(self, filters: Filters | None = None) -> Json:
        """Remove those that no container uses, running or not; returns ``{"NetworksDeleted"}``."""
        wanted = docker_filters.checked(filters, _PRUNE_KNOWN)
        now = self._services.clock()
        await self._sandboxes.left()
        deleted = []
        for network in list(self._registry):
            if network.name in PREDEFINED or self._registry.members(network.id) or not _prunable(network, wanted, now):
                continue
            if self._members.users_of(network.name):
                continue
            try:
                await self._remove(network)
            except WherryError:
                # Somebody was faster, or connected to it meanwhile.
                continue
            deleted.append(network.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": deleted}

    async def connect(self, ref: str, container: str, wanted: Any) -> None:
        """See `Members.connect`."""
        network = self._changeable(ref)
        entry = settings(wanted)
        check(network.name, entry)
        check_address(network, entry)
        found, runs = await self._members.connect(container, network, entry)
        if runs:  # of one that doesn't, its start tells
            self._tell(network, "connect", container=found)

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None:
        """See `Members.disconnect`."""
        network = self._changeable(ref)
        found = await self._members.disconnect(container, network, force=force)
        self._tell(network, "disconnect", container=found)

    def _changeable(self, ref: str) -> Network:
        network = self._registry.get(ref)
        if network.name == HOST:
            raise PermissionDenied("container cannot be disconnected from host network or connected to host network")
        return network

    def _tell(self, network: Network, action: str, **more: str) -> None:
        attributes = {"name": network.name, "type": network.driver, **more}
        self._events.publish("network", action, network.id, attributes)

    def _chosen(self, network: Network, wanted: Mapping[str, Sequence[str]]) -> bool:
        custom = network.name not in PREDEFINED
        tests = {
            "driver": lambda values: network.driver in values,
            "id": lambda values: any(value in network.id for value in values),
            "name": lambda values: any(value in network.name for value in values),
            "label": lambda values: docker_filters.labels_match(values, network.labels),
            "scope": lambda values: "local" in values,
            "type": lambda values: ("custom" if custom else "builtin") in values,
            "dangling": lambda values: docker_filters.boolean("dangling", values) == self._dangling(network),
        }
        return all(tests[key](values) for key, values in wanted.items())

    def _dangling(self, network: Network) -> bool:
        return network.name not in PREDEFINED and not self._registry.members(network.id)


def _prunable(network: Network, wanted: Mapping[str, Sequence[str]], now: int) -> bool:
    if any(network.created >= docker_filters.moment(text, now) for text in wanted.get("until", ())):
        return False
    if not docker_filters.labels_match(wanted.get("label", ()), network.labels):
        return False
    return not any(docker_filters.labels_match((item,), network.labels) for item in wanted.get("label!", ()))
