"""What networks ask of containers: who is in which, and to be put into one or taken out of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wherry.core.networks.network import Network
from wherry.engine.containers.live import Live
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.supervisor import Supervisor
from wherry.engine.networks.request import HOST, NONE
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.networks.settings import JOINED
from wherry.errors import NotFound, PermissionDenied


class Membership:
    """Driver of `engine.networks.networks.Members`."""

    def __init__(self, registry: Registry, supervisor: Supervisor, sandboxes: Sandboxes) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._sandboxes = sandboxes

    def name_of(self, container: str) -> str:
        """See `Members.name_of`."""
        return self._registry.get(container).record.name if container in self._registry else ""

    def users_of(self, network: str) -> list[str]:
        """See `Members.users_of`."""
        return [live.record.id for live in self._registry if network in live.record.networks]

    async def settled(self, container: str) -> None:
        """See `Members.settled`."""
        if container in self._registry:
            await self._registry.get(container).settled()

    async def connect(self, ref: str, network: Network, wanted: Mapping[str, Any]) -> tuple[str, bool]:
        """See `Members.connect`."""
        live = self._registry.get(ref)
        async with live.lock:
            record = live.record
            if network.name in record.networks and live.running:
                raise PermissionDenied(f"endpoint with name {record.name} already exists in network {network.name}")
            _check_private(live, network)
            joined = replace(record, networks={**record.networks, network.name: wanted})
            await self._supervisor.ahead.drop(live)
            await self._sandboxes.connect(joined, network)
            try:
                await self._registry.save(live, replace(joined, state=live.record.state))
            except BaseException:
                await self._sandboxes.disconnect(joined, network)
                raise
            return record.id, live.running

    async def disconnect(self, ref: str, network: Network, *, force: bool) -> str:
        """See `Members.disconnect`."""
        try:
            live = self._registry.get(ref)
        except NotFound:
            if not force:
                raise
            raise NotFound(f"endpoint {ref[:256]} not found") from None
        async with live.lock:
            record = live.record
            if network.name not in record.networks:
                raise PermissionDenied(f"container {record.id} is not connected to network {network.name}")
            left = {name: entry for name, entry in record.networks.items() if name != network.name}
            await self._supervisor.ahead.drop(live)
            await self._sandboxes.disconnect(replace(record, networks=left), network)
            await self._registry.save(live, replace(live.record, networks=left))
        return record.id


def _check_private(live: Live, network: Network) -> None:
    """PermissionDenied, in docker's words: it has the host's network, another one's, or none for good."""
    record = live.record
    mode = record.host_config["NetworkMode"]
    if mode == HOST and HOST in record.networks:
        raise PermissionDenied("container cannot be disconnected from host network or connected to host network")
    if mode.startswith(JOINED):
        raise PermissionDenied("container sharing network namespace with another container or host cannot be "
                               "connected to any other network")  # fmt: skip
    if NONE in record.networks or (network.name == NONE and record.networks):
        raise PermissionDenied(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )
