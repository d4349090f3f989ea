"""Containers' network sandboxes: a namespace, an endpoint in each network, held ports, a resolver, three files.

One is opened before a container's task is made and closed after its end. Endpoints are written down first and
forgotten last, so that whatever a killed engine left is found by `leftovers`. A container's own lock is held by whoever
calls; networks have locks of their own here.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Final

from wherry.core.networks.network import Endpoint, Network, NetworkDriver
from wherry.engine.background import Background
from wherry.engine.networks import files, links, ports, settings, views
from wherry.engine.networks.berths import Berth, Berths
from wherry.engine.networks.demand import wants_network
from wherry.engine.networks.names import NeighbourNames, names_of
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.networks.request import HOST, NONE, PREDEFINED
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.engine.spec.network import Joint
from wherry.engine.spec.wasm import http
from wherry.engine.states import RUNNING
from wherry.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, Unimplemented, WherryError
from wherry.wire.dns import resolv_conf_servers

log = logging.getLogger(__name__)

_HOST_RESOLV: Final = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
_PREFIX: Final = "eth"


class Sandboxes:
    """``owner`` names what a held port, a namespace or an endpoint belongs to: the container's full id."""

    def __init__(self, services: EngineServices, registry: NetworkRegistry, background: Background) -> None:
        self._services = services
        self._registry = registry
        self._ports = ports.HeldPorts(background.spawn)
        self._berths = Berths(services, registry, background)
        self._establishing = asyncio.Lock()
        self._open: set[str] = set()
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._background = background
        self._leaving: dict[str, asyncio.Task[None]] = {}

    def path(self, container: str) -> str:
        """The path of a container's namespace, "" when it has none."""
        return self._services.namespaces.path(container) if container in self._open else ""

    def is_wanted(self, record: Record, info: Mapping[str, Any]) -> bool:
        """Whether `open` has anything to do for it; ``info`` is what inspection told of a WASM container's module."""
        if record.kind != "wasm":
            return True
        if settings.mode_of(record.host_config) == NONE:
            return False
        published = bool(record.host_config["PortBindings"] or record.host_config["PublishAllPorts"])
        return published or bool(http(record)) or wants_network(info, listens=bool(record.config["ExposedPorts"]))

    def plain(self, record: Record) -> Joint:
        """The joint of a container that `open` has nothing to do for."""
        return Joint(None if settings.mode_of(record.host_config) == HOST else "")

    async def open(self, record: Record) -> Joint:
        """Make all that is to be there before the container's task is; before that is started, `ready` is to be called.
        NotFound: a network; Conflict: a port is in use or an address; FailedPrecondition: something is not installed.
        After a failure nothing is left."""
        mode = settings.mode_of(record.host_config)
        if mode.startswith(settings.JOINED):
            return await self._join(record, mode.removeprefix(settings.JOINED))
        if mode in (HOST, NONE):
            written = await asyncio.to_thread(self._write_files, record, [], mode)
            return Joint(None if mode == HOST else "", written, None if mode == HOST else ())
        await self.close(record.id)
        self._open.add(record.id)
        try:
            attached = await self._attach_all(record)
            await self._answer(record, attached, again=False)
            written = await asyncio.to_thread(self._write_files, record, attached, mode)
        except BaseException:
            await self.close(record.id)
            raise
        listen = {(port.port, port.protocol) for _, endpoint in attached for port in endpoint.ports}
        listen |= set(ports.exposed(record.config["ExposedPorts"]))
        spaces = self._services.namespaces
        return Joint(spaces.path(record.id), written, sorted(listen), outlet=spaces.late)

    async def _join(self, record: Record, other: str) -> Joint:
        """Another container's namespace and files: ``other`` is its full id."""
        if self._services.namespaces.late:
            raise FailedPrecondition("joining another container's network needs an engine that runs as root")
        if other not in self._open:
            raise Conflict(f"cannot join network of a non running container: {other}")
        folder = os.path.join(self._services.config.root, "containers", other)
        found = {f"/etc/{name}": os.path.join(folder, name) for name in files.FILES}
        return Joint(self._services.namespaces.path(other), found, None)

    async def _attach_all(self, record: Record) -> list[tuple[Network, Endpoint]]:
        networks = [await self.established(self._registry.get(name)) for name in record.networks]
        # The first interface gets the default route: one that leads out goes first.
        networks.sort(key=lambda network: network.internal)
        wanted = [self._endpoint(record, network, f"{_PREFIX}{number}") for number, network in enumerate(networks)]
        if wanted and not networks[0].internal:
            wanted[0] = replace(wanted[0], ports=self._publish(record, networks[0], wanted[0]))
        berth = await self._berth(networks, wanted)
        attached = []
        if berth is None:
            await self._registry.put(wanted)
            namespace = await self._services.namespaces.make(record.id)
        else:
            wanted[0] = _taken_over(berth.endpoint, wanted[0])
            namespace = await self._move_in(record.id, networks[0], berth, wanted)
            attached.append((networks.pop(0), wanted.pop(0)))
        for network, endpoint in zip(networks, wanted, strict=True):
            attached.append((network, await self._driver(network).attach(network, endpoint, namespace)))
        if networks:
            await self._registry.put([endpoint for _, endpoint in attached])
        for network, endpoint in attached[:1]:
            if endpoint.ports and not self._services.namespaces.late:
                self._ports.relay(record.id, endpoint.ports, endpoint.address)
                publishing = self._driver(network).publish(network, endpoint, namespace)
                self._opening[record.id] = asyncio.ensure_future(publishing)
        return attached

    async def ready(self, container: str, pid: int) -> None:
        """Wait until its ports are open: that was begun by `open`, and goes on while its task is made, whose first
        process is ``pid``. Errors as `open`, but then `close` is to be called."""
        if self._services.namespaces.late and container in self._open:
            for network, endpoint in self.attached(container):
                self._ports.pass_on(container)
                await self._driver(network).publish(network, endpoint, f"/proc/{pid}/ns/net")
        opening = self._opening.pop(container, None)
        if opening is not None:
            try:
                await asyncio.shield(opening)
            except BaseException:
                self._opening[container] = opening  # whatever becomes of it, `close` waits for it
                raise

    async def _berth(self, networks: Sequence[Network], wanted: Sequence[Endpoint]) -> Berth | None:
        """A place that was made ahead for the first of these, unless it is to be a particular one."""
        first = wanted[0] if wanted and not self._services.namespaces.late else None
        if first is None or first.wanted_address or first.wanted_address6 or first.wanted_mac:
            return None
        berth = await self._berths.take(networks[0])
        self._berths.used(networks[0])
        return berth

    async def _move_in(self, container: str, network: Network, berth: Berth, wanted: Sequence[Endpoint]) -> str:
        """Make a place a container's, whose endpoints are ``wanted``; returns the namespace's path."""
        try:
            await self._registry.put(wanted)
        except BaseException:
            await self._berths.discard(network, berth)
            raise
        return await self._services.namespaces.hand_over(berth.owner, container)

    def _publish(self, record: Record, network: Network, endpoint: Endpoint) -> tuple[Any, ...]:
        host = record.host_config
        wishes = ports.wishes(host["PortBindings"], record.config["ExposedPorts"], everything=host["PublishAllPorts"])
        late = self._services.namespaces.late
        if late and any(ports.is_ipv6(wish.address) for wish in wishes):
            raise Unimplemented("an engine that is not root's publishes ports for IPv4 only: leave the address out")
        try:
            return self._ports.take(record.id, wishes, network.host_address, dual=not late)
        except Conflict as error:
            raise Conflict(
                "failed to set up container networking: driver failed programming external connectivity on endpoint "
                f"{record.name} ({endpoint.id}): {error}"
            ) from None

    def _endpoint(self, record: Record, network: Network, interface: str) -> Endpoint:
        wanted = record.networks[network.name]
        asked = wanted.get("IPAMConfig") or {}
        if asked.get("IPv6Address") and not network.subnet6:
            raise InvalidArgument(f"network {network.name} has no IPv6: it was not made with --ipv6")
        settings.check_address(network, wanted)
        return Endpoint(
            id=self._services.new_id(),
            network=network.id,
            container=record.id,
            interface=interface,
            names=names_of(record.name, record.short_id, record.config["Hostname"], wanted.get("Aliases") or ()),
            wanted_address=asked.get("IPv4Address", ""),
            wanted_address6=asked.get("IPv6Address", ""),
            wanted_mac=wanted.get("MacAddress", ""),
        )

    def joined(self, record: Record) -> Iterator[Network]:
        """The networks that a container's settings name, as far as they are there."""
        for name in record.networks:
            with contextlib.suppress(NotFound):
                yield self._registry.get(name)

    async def established(self, network: Network) -> Network:
        """The network, there on the host."""
        driver = self._driver(network)
        async with self._establishing:
            network = self._registry.get(network.id)
            avoid = [IPv4Network(one.subnet) for one in self._registry if one.subnet and one.id != network.id]
            found = await driver.establish(network, avoid)
            if found != network:
                await self._berths.clear(network)
                await self._registry.change(found)
            return found

    async def remove_network(self, network: Network) -> None:
        """Forget a network and take it off the host, with what was only made ahead on it. Conflict: it has endpoints.

        The record goes first: it alone is what a killed engine would look for, and a bridge alone is nobody's. Nobody
        establishes a network meanwhile, or its bridge would be made again behind this.
        """
        async with self._establishing:
            await self._berths.clear(network)
            await self._registry.remove(network)
            driver = self._services.network_drivers.get(network.driver)
            if driver is not None:
                await driver.dissolve(network)

    def _driver(self, network: Network) -> NetworkDriver:
        driver = self._services.network_drivers.get(network.driver)
        if driver is None:
            if network.driver == "bridge":
                raise FailedPrecondition(
                    f"network {network.name} needs an engine that runs as root: use --network host or --network none"
                )
            raise FailedPrecondition(f"network {network.name} cannot be used here: its driver is {network.driver}")
        return driver

    async def _answer(self, record: Record, attached: Sequence[tuple[Network, Endpoint]], *, again: bool) -> None:
        """Have a resolver in it, where names are to be known, or where nobody else could be asked."""
        servers = await asyncio.to_thread(_host_servers)
        if _is_answered(record, [network for network, _ in attached], servers):
            own = links.links_of(record.host_config, record.networks)
            names = NeighbourNames(self._registry, record.id, record.host_config["Dns"] or servers, own)
            await self._services.namespaces.answer(record.id, names, again=again)

    async def release(self, container: str) -> None:
        """Give back what others may be waiting for, before anybody hears of the end: ports of the host, or an address
        that it asked for. The rest is left to `close`."""
        attached = self.attached(container)
        if any(endpoint.wanted_address or endpoint.wanted_address6 for _, endpoint in attached):
            await self.close(container)
            return
        namespace = self._services.namespaces.path(container)
        for network, endpoint in attached:
            if endpoint.ports:
                # What fails is tried again by `close`.
                with contextlib.suppress(WherryError):
                    await self._driver(network).unpublish(network, endpoint, namespace)
                    self._registry.note(replace(endpoint, ports=()))
        self._ports.release(container)

    async def close(self, container: str) -> None:
        """Take a container's sandbox down, however far it had come. What cannot be taken back is told to the log."""
        if container not in self._open:
            return
        if (opening := self._opening.pop(container, None)) is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        namespace = self._services.namespaces.path(container)
        endpoints = self._registry.attached(container)
        try:
            for endpoint in endpoints:
                await self._detach(endpoint, namespace)
            await self._services.namespaces.remove(container)
            await self._registry.forget(endpoints)
        except (WherryError, OSError) as error:
            # It is found again, and taken down, by the container's next start or the engine's.
            log.warning("container %s: its network was not taken down: %s", container[:12], error)
        else:
            self._open.discard(container)
            for endpoint in endpoints:
                self._berths.left(endpoint.network)
        finally:
            self._ports.release(container)

    def leave(self, container: str) -> None:
        """`close` a container's sandbox after `release`, in the background: nobody is to wait for it, since the
        container itself goes. Until then its address is nobody else's; its names are free at once."""
        if container in self._open:
            for endpoint in self._registry.attached(container):
                self._registry.note(replace(endpoint, names=()))
            leaving = self._leaving[container] = self._background.spawn(self.close(container))
            leaving.add_done_callback(lambda _: self._leaving.pop(container, None))

    def is_leaving(self, container: str) -> bool:
        """Whether only its sandbox is there, and that for moments."""
        return container in self._leaving

    async def left(self) -> None:
        """Wait until the sandboxes that are on their way out are gone."""
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def _detach(self, endpoint: Endpoint, namespace: str) -> None:
        network = self._registry.get(endpoint.network)
        try:
            await self._driver(network).detach(network, endpoint, namespace)
        except WherryError as error:
            log.warning("container %s: leaving network %s: %s", endpoint.container[:12], network.name, error)

    async def leftovers(self) -> set[str]:
        """After a start of the engine: the containers that have a sandbox, or some of one."""
        self._open = self._registry.owners() | set(await asyncio.to_thread(self._services.namespaces.ids))
        return set(self._open)

    async def resume(self, record: Record) -> None:
        """A container runs on from an earlier engine: hold its ports again, and answer in it again."""
        if record.id not in self._open:
            return
        attached = self.attached(record.id)
        for _, endpoint in attached:
            if self._services.namespaces.late:
                self._ports.note(record.id, endpoint.ports)
            elif endpoint.ports:
                for port in self._ports.hold(record.id, endpoint.ports):
                    log.warning("container %s: port %d is another program's by now", record.short_id, port.host_port)
                self._ports.relay(record.id, endpoint.ports, endpoint.address)
        await self._answer(record, attached, again=True)

    def attached(self, container: str) -> list[tuple[Network, Endpoint]]:
        """Its endpoints with their networks."""
        return [(self._registry.get(endpoint.network), endpoint) for endpoint in self._registry.attached(container)]

    def settings(self, record: Record) -> dict[str, Any]:
        """A container's NetworkSettings."""
        ids = {network.name: network.id for network in self._registry if network.name in record.networks}
        shown, path = (self.attached(record.id), self.path(record.id)) if _runs(record) else ([], "")
        return views.network_settings(record.networks, shown, ids, self._exposed(record), sandbox=path)

    def ports(self, record: Record) -> list[dict[str, Any]]:
        """The Ports of its line in `docker ps`."""
        shown = self.attached(record.id) if _runs(record) else []
        return views.ports([endpoint for _, endpoint in shown], self._exposed(record))

    def _exposed(self, record: Record) -> list[tuple[int, str]]:
        return ports.exposed(record.config["ExposedPorts"])

    def files(self, record: Record) -> dict[str, str]:
        """The host's paths of a container's own files by those in it: the ones that are there. Blocks."""
        folder = os.path.join(self._services.config.root, "containers", record.id)
        found = {f"/etc/{name}": os.path.join(folder, name) for name in files.FILES}
        return {inside: path for inside, path in found.items() if os.path.exists(path)}

    async def connect(self, record: Record, network: Network) -> None:
        """Put a running container, whose ``networks`` have it already, into one more. Errors as `open`."""
        if record.id not in self._open:
            return
        if self._services.namespaces.late:
            raise FailedPrecondition(
                f"a running container can't be put into network {network.name} by an engine that is not root's: "
                "stop it first"
            )
        before = self.attached(record.id)
        network = await self.established(network)
        used = {endpoint.interface for _, endpoint in before}
        interface = next(name for number in range(len(used) + 1) if (name := f"{_PREFIX}{number}") not in used)
        endpoint = self._endpoint(record, network, interface)
        await self._registry.put([endpoint])
        namespace = self._services.namespaces.path(record.id)
        try:
            endpoint = await self._driver(network).attach(network, endpoint, namespace)
            await self._registry.put([endpoint])
            servers = await asyncio.to_thread(_host_servers)
            if not _is_answered(record, [one for one, _ in before], servers):
                await self._answer(record, self.attached(record.id), again=False)
        except BaseException:
            await self._detach(endpoint, namespace)
            await self._registry.forget([endpoint])
            raise
        await asyncio.to_thread(self._write_files, record, self.attached(record.id), network.name)

    async def disconnect(self, record: Record, network: Network) -> None:
        """Take a container out of a network that it is in."""
        gone = [endpoint for endpoint in self._registry.attached(record.id) if endpoint.network == network.id]
        namespace = self._services.namespaces.path(record.id)
        for endpoint in gone:
            await self._detach(endpoint, namespace)
            if endpoint.ports:
                self._ports.release(record.id)
        await self._registry.forget(gone)
        if gone:
            left = self.attached(record.id)
            for found, endpoint in left:
                if not found.internal and endpoint.gateway:
                    await self._services.namespaces.route(record.id, endpoint.gateway)
                    break
            await asyncio.to_thread(self._write_files, record, left, network.name)

    async def rename(self, record: Record) -> None:
        """A container has another name now: it is found by that from now on."""
        changed = []
        for network, endpoint in self.attached(record.id):
            aliases = record.networks.get(network.name, {}).get("Aliases") or ()
            names = names_of(record.name, record.short_id, record.config["Hostname"], aliases)
            changed.append(replace(endpoint, names=names))
        if changed:
            await self._registry.put(changed)

    async def shut(self) -> None:
        """The engine stops: networks that nobody is in are taken off the host, the others stay as they are."""
        await self.left()
        await self._berths.close()
        await self._services.namespaces.close()
        self._ports.close()
        for network in self._registry:
            if network.driver in self._services.network_drivers and not self._registry.members(network.id):
                with contextlib.suppress(WherryError):
                    await self._driver(network).dissolve(network)

    def _write_files(self, record: Record, attached: Sequence[tuple[Network, Endpoint]], mode: str) -> dict[str, str]:
        """The files by their paths in the container. Blocks. Written in place: a container has them mounted."""
        folder = os.path.join(self._services.config.root, "containers", record.id)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            texts = self._texts(record, attached, mode)
            found = {}
            for name, text in texts.items():
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8", opener=_public) as file:
                    file.write(text)
                found[f"/etc/{name}"] = path
        except OSError as error:
            raise FailedPrecondition(f"cannot write {error.filename}: {(error.strerror or '').lower()}") from error
        return found

    def _texts(self, record: Record, attached: Sequence[tuple[Network, Endpoint]], mode: str) -> dict[str, str]:
        host, config = record.host_config, record.config
        servers, found = list(host["Dns"]), _host_servers()
        options = list(host["DnsOptions"])
        if self._services.namespaces.late and attached:
            # What goes to the host's own comes back from the resolver's address: so that is the one to be asked.
            resolver = self._services.namespaces.resolver
            servers = list(dict.fromkeys(resolver if one in found else one for one in servers or [resolver]))
        elif _is_answered(record, [network for network, _ in attached], found):
            servers = [self._services.namespaces.resolver]
            options = options or ["ndots:0"]
        elif not servers:
            servers = found if mode == HOST else _outside(found)
        name = config["Hostname"]
        full = f"{name}.{config['Domainname']} {name}" if config["Domainname"] else name
        addresses = [address for _, endpoint in attached for address in (endpoint.address, endpoint.address6)]
        own = [(address, full) for address in addresses if address]
        for network, _ in attached:
            if network.name in PREDEFINED:
                own += links.lines(links.links_of(host, record.networks), self._registry.members(network.id))
        gateway = next((endpoint.gateway for _, endpoint in attached if endpoint.gateway), "")
        extra = files.extra_hosts(host["ExtraHosts"] or ())
        hosts = files.hosts(extra, own, gateway)
        if mode == HOST:
            hosts = _read("/etc/hosts") + files.added(extra)
        return {
            "hosts": hosts,
            "hostname": files.hostname(name),
            "resolv.conf": files.resolv_conf(_read(_HOST_RESOLV[0]), servers, host["DnsSearch"], options),
        }


def _taken_over(made: Endpoint, wanted: Endpoint) -> Endpoint:
    return replace(made, container=wanted.container, names=wanted.names, ports=wanted.ports)


def _runs(record: Record) -> bool:
    """What is still being taken down is not shown."""
    return record.state.status in RUNNING


def _is_answered(record: Record, networks: Sequence[Network], servers: Sequence[str]) -> bool:
    """Whether it has a resolver of its own: for the names of its neighbours, or because none of the host's ``servers``
    can be reached from its namespace."""
    if any(network.name not in PREDEFINED for network in networks):
        return True
    return bool(networks) and not record.host_config["Dns"] and not _outside(servers)


def _public(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _host_servers() -> list[str]:
    """The host's resolvers. Blocks."""
    return resolv_conf_servers(_read(_HOST_RESOLV[0]))


def _outside(servers: Sequence[str]) -> list[str]:
    """Those that can be reached from a container's own namespace: no loopback address is the host's there."""
    return [server for server in servers if not server.startswith("127.") and server != "::1"]
