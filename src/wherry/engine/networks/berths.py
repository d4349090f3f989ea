"""The next container's place on a network: a namespace with its first interface in it, made before it is asked for.

Most of what a start on a bridge costs are CNI's plugins, and nothing of what they do depends on who asks, but for
published ports. So once a network was used twice in a short while, one more place is made on it, taken by the next
container, and taken down if none comes in time. A place has no names and is shown to nobody. Its endpoint is written
down before it is made, so that what a killed engine leaves is found by the next one. Taking one, and all that makes it
a container's, is in sandboxes.py.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Final

from wherry.core.networks.network import Endpoint, Network
from wherry.engine.background import Background
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.services import EngineServices
from wherry.errors import NotFound, WherryError

log = logging.getLogger(__name__)

INTERFACE: Final = "eth0"
_AFTER: Final = 1.0
"""Seconds: the container that was asked for comes first, and what is taken down after a short one."""
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Berth:
    """``owner`` is what its namespace and its endpoint are known by, as if it were a container's id."""

    owner: str
    endpoint: Endpoint


@dataclass(slots=True)
class _Place:
    """``made`` is None in the end when it went wrong; ``now``: nobody else is in the way."""

    made: asyncio.Future[Berth | None]
    now: asyncio.Event
    begun: bool = False


class Berths:
    """At most one a network, for ten seconds."""

    def __init__(self, services: EngineServices, registry: NetworkRegistry, background: Background) -> None:
        self._services = services
        self._registry = registry
        self._background = background
        self._places: dict[str, _Place] = {}
        self._used: dict[str, float] = {}
        self._closed = False

    async def take(self, network: Network) -> Berth | None:
        """The place on this network, which is the caller's now, if there is one or is about to be."""
        place = self._places.pop(network.id, None)
        if place is None or not place.begun:
            return None
        try:
            return await asyncio.shield(place.made)
        except asyncio.CancelledError:
            self._background.spawn(self._unwanted(network, place.made))
            raise

    async def _unwanted(self, network: Network, made: asyncio.Future[Berth | None]) -> None:
        berth = await made
        if berth is not None:
            await self.discard(network, berth)

    def used(self, network: Network) -> None:
        """A container was put into it: the next may come soon, if this one did."""
        now = asyncio.get_running_loop().time()
        before = self._used.get(network.id)
        self._used[network.id] = now
        lately = before is not None and now - before < _SECONDS
        if lately and network.id not in self._places and not self._closed:
            place = self._places[network.id] = _Place(asyncio.get_running_loop().create_future(), asyncio.Event())
            self._background.spawn(self._keep(network, place))

    def left(self, network_id: str) -> None:
        """A container has been taken out of it: there is time now."""
        if network_id in self._places:
            self._places[network_id].now.set()

    async def _keep(self, network: Network, place: _Place) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AFTER):
                await place.now.wait()
        if self._places.get(network.id) is not place:
            return
        place.begun, berth = True, None
        try:
            berth = await self._make(network)
        except (WherryError, OSError) as error:
            # What is wrong is told to whoever is put into the network next.
            log.debug("network %s: no place was made ahead: %s", network.name, error)
        finally:
            place.made.set_result(berth)
        if berth is not None:
            await asyncio.sleep(_SECONDS)
        if self._places.get(network.id) is place:
            del self._places[network.id]
            if berth is not None:
                await self.discard(network, berth)

    async def _make(self, network: Network) -> Berth:
        owner = self._services.new_id()
        endpoint = Endpoint(self._services.new_id(), network.id, owner, INTERFACE)
        await self._registry.set_aside(endpoint)
        try:
            namespace = await self._services.namespaces.make(owner)
            attached = await self._services.network_drivers[network.driver].attach(network, endpoint, namespace)
        except BaseException:
            await self.discard(network, Berth(owner, endpoint))
            raise
        return Berth(owner, attached)

    async def discard(self, network: Network, berth: Berth) -> None:
        """Take it down. What cannot be taken back is told to the log, and found again by the engine's next start."""
        try:
            driver = self._services.network_drivers[network.driver]
            await driver.detach(network, berth.endpoint, self._services.namespaces.path(berth.owner))
            await self._services.namespaces.remove(berth.owner)
            await self._registry.forget([berth.endpoint])
        except (WherryError, OSError) as error:
            log.warning("network %s: a place made ahead was not taken down: %s", network.name, error)

    async def clear(self, network: Network) -> None:
        """Take down what is there of this network: it is removed, or not what it was."""
        self._used.pop(network.id, None)
        berth = await self.take(network)
        if berth is not None:
            await self.discard(network, berth)

    async def close(self) -> None:
        """The engine stops."""
        self._closed = True
        for network_id in list(self._places):
            with contextlib.suppress(NotFound):  # it was removed meanwhile
                await self.clear(self._registry.get(network_id))
