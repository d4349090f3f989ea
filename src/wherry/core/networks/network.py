"""Networks and a container's places in them: the values, and what a driver of networks does.

An endpoint is one interface of one container in one network. It is written down before the driver is asked to attach
it, and forgotten after it was detached: whatever is killed in between is found again by the store's record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Network:
    """``subnet`` as ``172.18.0.0/16``; when it is ``chosen`` by the driver, it may be chosen anew as long as nothing
    is attached. ``link`` is the bridge's name on the host. ``created`` in nanoseconds since the epoch.
    ``masquerade``: what leaves goes by the host's address; ``internal``: nothing leaves. ``subnet6`` and what goes with
    it are IPv6's, if it has that beside IPv4: never chosen anew."""

    id: str
    name: str
    driver: str
    created: int
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    chosen: bool = True
    subnet6: str = ""
    gateway6: str = ""
    ip_range6: str = ""
    internal: bool = False
    attachable: bool = False
    masquerade: bool = True
    link: str = ""
    mtu: int = 0
    host_address: str = "0.0.0.0"
    options: Mapping[str, str] = field(default_factory=dict)
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of a container and where the host has it."""

    port: int
    protocol: str
    host_address: str
    host_port: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``address``, ``prefix``, ``gateway`` and ``mac`` are what the driver gave; ``wanted_address`` and ``wanted_mac``
    what it was asked for; those with a 6 are IPv6's. ``names`` are what the container is found by in this network, in
    lower case."""

    id: str
    network: str
    container: str
    interface: str
    names: tuple[str, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    wanted_address: str = ""
    wanted_mac: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    mac: str = ""
    wanted_address6: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""


class NetworkDriver(Protocol):
    """Makes networks of one kind be there. All calls are idempotent: a killed engine's half-done work is done again."""

    async def establish(self, network: Network, avoid: Sequence[IPv4Network]) -> Network:
        """Make on the host what the network needs, now, and return it with what was chosen for it; subnets that
        overlap one of ``avoid`` are not chosen. InvalidArgument: the subnet asked for is in use; ResourceExhausted: no
        free one is left; FailedPrecondition: the machine lacks something."""

    async def attach(self, network: Network, endpoint: Endpoint, namespace: str) -> Endpoint:
        """Put an interface into the network namespace pinned at ``namespace``; returns the endpoint with its addresses.
        Its ports are not open yet. FailedPrecondition: a plugin is missing, the message says which package has it;
        Conflict: the address asked for cannot be had; Unavailable: it failed otherwise, and nothing is left."""

    async def publish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """Open the ports of an endpoint that was attached. FailedPrecondition, Unavailable, as `attach`; what was
        opened until then is taken back by `detach`."""

    async def unpublish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """Close an endpoint's ports, and leave all else of it. Unavailable: something stayed."""

    async def detach(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """Take interface, ports and addresses back; ``namespace`` may be gone. Unavailable: something stayed."""

    async def dissolve(self, network: Network) -> None:
        """Take away what `establish` made. Nothing is attached."""


class Names(Protocol):
    """What a container's resolver answers from."""

    def addresses(self, name: str) -> Sequence[str] | None:
        """Those of a name (lower case), IPv4's and IPv6's; None when the name is not known."""

    def name_of(self, address: str) -> str:
        """The name of an address, "" when it is not known."""

    def servers(self) -> Sequence[str]:
        """The resolvers that know the rest, the first to be asked first; none when nothing outside may be asked."""


class Namespaces(Protocol):
    """Network namespaces by the ids of containers. They outlive the engine, their resolvers do not.

    ``late``: they are made by the runtime with the task, and not pinned; paths are "" and `make` makes nothing. Then a
    `NetworkDriver` is shown the namespace when its `publish` is called, which is done for every endpoint.
    """

    @property
    def late(self) -> bool:
        """See above."""

    @property
    def resolver(self) -> str:
        """The address that `answer` has a resolver at."""

    def path(self, container: str) -> str:
        """Where the namespace is pinned, or would be."""

    def ids(self) -> list[str]:
        """Whose namespaces are there. Blocks, shortly."""

    async def make(self, container: str) -> str:
        """Make one with nothing but a loopback device; returns its path. FailedPrecondition: this process may not."""

    async def hand_over(self, container: str, to: str) -> str:
        """What was made for ``container`` is that of ``to`` from now on; returns its path. FailedPrecondition: it is
        gone, and neither has one."""

    async def remove(self, container: str) -> None:
        """Stop its resolver and let go of it. One that is gone is no error."""

    async def answer(self, container: str, names: Names, *, again: bool) -> None:
        """Have a resolver in it, at the address that `resolver` says; ``again``: an earlier engine had one there.
        FailedPrecondition: a program is missing, the message says which package has it; Unavailable."""

    async def route(self, container: str, gateway: str) -> None:
        """Have a default route by ``gateway``, if there is none."""

    async def close(self) -> None:
        """Stop all resolvers; the namespaces stay."""


class NetworkStore(Protocol):
    """Records; names of networks are unique. Durable when a call returns. All calls block; thread-safe."""

    def networks(self) -> list[Network]:
        """Every network, oldest first. DataLoss: one cannot be read."""

    def add(self, network: Network) -> None:
        """Write a new network. AlreadyExists: another one has its name, or its id."""

    def change(self, network: Network) -> None:
        """Write what became of one. NotFound: it was removed meanwhile, and stays so. AlreadyExists, as `add`."""

    def remove(self, network_id: str) -> None:
        """One that is gone is no error. Conflict: it has endpoints."""

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint."""

    def put_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Write endpoints, new or changed: all of them or none. NotFound: a network is gone."""

    def remove_endpoints(self, ids: Sequence[str]) -> None:
        """Forget endpoints; those that are gone are no error."""


def to_document(value: Network | Endpoint) -> dict[str, Any]:
    """As JSON has it."""
    document: dict[str, Any] = {name: getattr(value, name) for name in value.__slots__}
    if isinstance(value, Endpoint):
        document["ports"] = [[port.port, port.protocol, port.host_address, port.host_port] for port in value.ports]
    return document


def network_of(document: Mapping[str, Any]) -> Network:
    """Back from `to_document`; fields that this version does not know are dropped. TypeError, ValueError."""
    return Network(**{name: value for name, value in document.items() if name in Network.__slots__})


def endpoint_of(document: Mapping[str, Any]) -> Endpoint:
    """Back from `to_document`. TypeError, ValueError."""
    known = {name: value for name, value in document.items() if name in Endpoint.__slots__}
    known["ports"] = tuple(PublishedPort(*entry) for entry in document.get("ports", ()))
    known["names"] = tuple(document.get("names", ()))
    return Endpoint(**known)
