"""Bridges by CNI's plugins (bridge, host-local, firewall, portmap), for root: one bridge a network.

The bridge itself is made here and not by its plugin, so that a network's subnet is routed, and seen to be in use by
every other engine, from the moment it is chosen. Which plugin is asked for what is written in `configurations`.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, Final

from wherry.core.networks import pools
from wherry.core.networks.network import Endpoint, Network, PublishedPort
from wherry.core.networks.plugins import Place, Plugins
from wherry.errors import Conflict, FailedPrecondition, InvalidArgument, Unavailable, WherryError
from wherry.linux import links, netns

VERSION: Final = "1.0.0"
_TRIES: Final = 3
_BETWEEN: Final = 0.02
"""Seconds between two looks at a lock."""
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CniConfig:
    """``leases`` is the folder where addresses in use are kept; ``lock`` a file all engines of this machine share,
    waited for ``patience`` seconds."""

    leases: str
    lock: str
    patience: float = 30.0


class CniDriver:
    """Driver of `NetworkDriver` for bridges."""

    def __init__(self, config: CniConfig, plugins: Plugins) -> None:
        self._config = config
        self._plugins = plugins

    async def establish(self, network: Network, avoid: Sequence[IPv4Network]) -> Network:
        """See `NetworkDriver.establish`."""
        return await asyncio.to_thread(self._establish, network, avoid)

    def _establish(self, network: Network, avoid: Sequence[IPv4Network]) -> Network:
        if network.subnet and links.exists(network.link):
            return network
        try:
            with locked(self._config.lock, self._config.patience):
                network = with_subnet(network, [*links.routed(), *avoid])
                gateway = IPv4Interface(f"{network.gateway}/{IPv4Network(network.subnet).prefixlen}")
                hardware = b"\x02\x42" + bytes.fromhex(network.id[:8])
                links.remove_bridge(network.link)
                links.add_bridge(network.link, gateway, hardware, network.mtu)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot make the bridge of network {network.name}: {(error.strerror or str(error)).lower()}"
            ) from error
        return network

    async def attach(self, network: Network, endpoint: Endpoint, namespace: str) -> Endpoint:
        """See `NetworkDriver.attach`."""
        place = Place(endpoint.id, namespace, endpoint.interface)
        first, *others = configurations(network, replace(endpoint, ports=()), self._config.leases)
        try:
            result = await self._plugins.add(first, place)
            attached = read_result(endpoint, result)
            await asyncio.gather(*(self._add_again(other | {"prevResult": result}, place) for other in others))
        except BaseException as error:
            with contextlib.suppress(WherryError):
                await self.detach(network, endpoint, namespace)
            if isinstance(error, Unavailable) and "is not available in range set" in str(error):
                raise Conflict("Address already in use") from None
            raise
        return attached

    async def _add_again(self, document: Document, place: Place) -> None:
        """Several at a time may make the same chain: who comes second fails, and finds it there the next time."""
        for attempt in range(_TRIES):
            try:
                await self._plugins.add(document, place)
            except Unavailable:
                if attempt == _TRIES - 1:
                    raise
                await self._plugins.delete(document, place)
            else:
                return

    async def publish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.publish`."""
        if _turned(endpoint):
            await self._add_again(*self._opening(network, endpoint, namespace))

    async def unpublish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.unpublish`."""
        if _turned(endpoint):
            await self._plugins.delete(*self._opening(network, endpoint, namespace))

    def _opening(self, network: Network, endpoint: Endpoint, namespace: str) -> tuple[Document, Place]:
        # Of IPv4 alone: the rule would catch who asks at ::1 too, and nobody can be turned away from there. Those who
        # come by IPv6 are the relay's.
        known = result_of(network, replace(endpoint, address6=""), namespace)
        told = opening(network, endpoint) | {"prevResult": known}
        return told, Place(endpoint.id, namespace, endpoint.interface)

    async def detach(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.detach`."""
        place = Place(endpoint.id, namespace, endpoint.interface)
        if not endpoint.address:
            endpoint = await asyncio.to_thread(_look, endpoint, namespace)
        result = result_of(network, endpoint, namespace)
        documents = configurations(network, endpoint, self._config.leases)
        done = await asyncio.gather(
            *(self._plugins.delete(document | {"prevResult": result}, place) for document in documents),
            return_exceptions=True,
        )
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome

    async def dissolve(self, network: Network) -> None:
        """See `NetworkDriver.dissolve`."""
        if not await asyncio.to_thread(links.exists, network.link):
            return
        await self._plugins.forget_bridge(network.link)
        try:
            await asyncio.to_thread(links.remove_bridge, network.link)
        except OSError as error:
            raise Unavailable(f"the bridge {network.link} could not be removed: {error.strerror}") from error
        await asyncio.to_thread(shutil.rmtree, os.path.join(self._config.leases, network.link), ignore_errors=True)


def with_subnet(network: Network, used: Sequence[IPv4Network]) -> Network:
    """The network with a subnet that overlaps none of ``used``, and a gateway in it. Pure.

    InvalidArgument: the one it asks for does; ResourceExhausted: all do.
    """
    if network.subnet:
        subnet = IPv4Network(network.subnet)
        if not any(subnet.overlaps(other) for other in used):
            return network
        if not network.chosen:
            raise InvalidArgument("invalid pool request: Pool overlaps with other one on this address space")
    subnet = pools.choose(used)
    return replace(network, subnet=str(subnet), gateway=str(subnet[1]), chosen=True)


def configurations(network: Network, endpoint: Endpoint, leases: str) -> list[Document]:
    """What each plugin is told, in the order of the chain. Pure.

    Source: the plugins' pages at https://www.cni.dev/plugins/current/
    """
    common = _common(network)
    spans = [(network.subnet, network.gateway, network.ip_range, endpoint.wanted_address, "0.0.0.0/0")]
    if network.subnet6:
        spans.append((network.subnet6, network.gateway6, network.ip_range6, endpoint.wanted_address6, "::/0"))
    routes = [] if network.internal else [{"dst": anywhere} for *_, anywhere in spans]
    wanted: Document = {}
    if asked := [f"{address}/{subnet.rpartition('/')[2]}" for subnet, _, _, address, _ in spans if address]:
        wanted["ips"] = asked
    if endpoint.wanted_mac:
        wanted["mac"] = endpoint.wanted_mac
    ranges = [[_range(*span[:3])] for span in spans]
    bridge = common | {
        "type": "bridge",
        "bridge": network.link,
        "isGateway": True,
        "ipMasq": network.masquerade and not network.internal,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": leases, "ranges": ranges, "routes": routes},
        **({"mtu": network.mtu} if network.mtu else {}),
        **({"runtimeConfig": wanted} if wanted else {}),
    }
    chain = [bridge, common | {"type": "firewall", "ingressPolicy": "same-bridge"}]
    if _turned(endpoint):
        chain.append(opening(network, endpoint))
    return chain


def _range(subnet: str, gateway: str, ip_range: str) -> Document:
    """One of host-local's."""
    span: Document = {"subnet": subnet, "gateway": gateway}
    if ip_range and ip_range != subnet:
        part = ipaddress.ip_network(ip_range)
        span |= {"rangeStart": str(part[0]), "rangeEnd": str(part[-1])}
    return span


def _turned(endpoint: Endpoint) -> list[PublishedPort]:
    """The ports that the kernel turns to the container: those of the host's IPv4."""
    return [port for port in endpoint.ports if ":" not in port.host_address]


def opening(network: Network, endpoint: Endpoint) -> Document:
    """What the portmap plugin is told. Pure."""
    ports = [
        {
            "hostPort": port.host_port,
            "containerPort": port.port,
            "protocol": port.protocol,
            **({} if port.host_address == "0.0.0.0" else {"hostIP": port.host_address}),
        }
        for port in _turned(endpoint)
    ]
    return _common(network) | {"type": "portmap", "snat": True, "runtimeConfig": {"portMappings": ports}}


def _common(network: Network) -> Document:
    return {"cniVersion": VERSION, "name": network.link}


def read_result(endpoint: Endpoint, result: Mapping[str, Any]) -> Endpoint:
    """The endpoint with what the bridge plugin gave it. Unavailable: it gave nothing that can be used."""
    try:
        own = next(one for one in result["interfaces"] if one.get("sandbox") and one["name"] == endpoint.interface)
        found = replace(endpoint, mac=str(own.get("mac", "")))
        for given in result["ips"]:
            address = ipaddress.ip_interface(given["address"])
            gateway = str(ipaddress.ip_address(given["gateway"])) if given.get("gateway") else ""
            ip, prefix = str(address.ip), address.network.prefixlen
            if address.version == 4:
                found = replace(found, address=ip, prefix=prefix, gateway=gateway)
            else:
                found = replace(found, address6=ip, prefix6=prefix, gateway6=gateway)
        if not found.address:
            raise ValueError(endpoint.interface)
        return found
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration):
        raise Unavailable("network plugin bridge answered with a result that names no address") from None


def result_of(network: Network, endpoint: Endpoint, namespace: str) -> Document:
    """What the bridge plugin answered when it made ``endpoint``, as far as others ask for it. Pure."""
    addresses = []
    if endpoint.address:
        addresses.append({"interface": 1, "address": f"{endpoint.address}/{endpoint.prefix or 32}"})
    if endpoint.address6:
        addresses.append({"interface": 1, "address": f"{endpoint.address6}/{endpoint.prefix6 or 128}"})
    return {
        "cniVersion": VERSION,
        "interfaces": [{"name": network.link}, {"name": endpoint.interface, "sandbox": namespace}],
        "ips": addresses,
    }


def _look(endpoint: Endpoint, namespace: str) -> Endpoint:
    """The endpoint with the address that its interface has, if any: whoever made it was killed before it told."""
    name = endpoint.interface
    try:
        four, six = netns.inside(namespace, lambda: (links.address_of(name), links.address6_of(name)))
    except OSError:
        return endpoint
    return replace(endpoint, address=four, address6=six)


@contextlib.contextmanager
def locked(path: str, patience: float) -> Iterator[None]:
    """Blocks. Unavailable: it is held for too long; who holds it does so for some milliseconds."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + patience
        while not _takes(fd):
            if time.monotonic() > end:
                raise Unavailable(f"another engine of this machine holds {path} for over {patience:g} seconds")
            time.sleep(_BETWEEN)
        yield
    finally:
        os.close(fd)


def _takes(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
