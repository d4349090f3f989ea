"""A way out for containers of an engine that is not root's: one `pasta` a container, which copies between its empty
network namespace and ordinary sockets of the user.

There is one network, and containers do not see each other in it: each is alone behind its own pasta, and all have the
same address. Nothing is changed on the host. The namespace is made by the runtime, with the task, and pasta is let
into it before the task is started; it does not notice that namespace's end, so it is ended by its pid file.
Source: passt(1); tried with Debian 12's 0.0~git20230309.
"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Final

from wherry.core.networks.network import Endpoint, Names, Network, PublishedPort
from wherry.core.networks.plugins import PluginConfig
from wherry.errors import Conflict, FailedPrecondition, Unavailable
from wherry.linux import program

SUBNET: Final = "10.0.2.0/24"
GATEWAY: Final = "10.0.2.2"
RESOLVER: Final = "10.0.2.3"
"""pasta passes on what is asked here to the host's resolver."""
ADDRESS: Final = "10.0.2.100"
_TUN: Final = "/dev/net/tun"
_OTHERWISE: Final = "or use --network host or --network none"
_PATIENCE: Final = 2.0
"""Seconds that pasta has to end at each signal."""
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class PastaConfig:
    """``folder`` is where pid files lie; ``network`` the name of the one network there is; ``tun`` the device."""

    folder: str
    programs: PluginConfig
    network: str = "bridge"
    tun: str = _TUN


class PastaDriver:
    """Driver of `NetworkDriver`. A ``namespace`` is the path of a task's own, /proc/PID/ns/net; only `publish` needs
    it."""

    def __init__(self, config: PastaConfig) -> None:
        self._config = config

    async def establish(self, network: Network, avoid: Sequence[IPv4Network]) -> Network:
        """See `NetworkDriver.establish`. FailedPrecondition: it is not the one that there is."""
        if network.name != self._config.network:
            raise FailedPrecondition(
                f"network {network.name} needs an engine that runs as root: use --network {self._config.network}, "
                "host or none"
            )
        return replace(network, subnet=SUBNET, gateway=GATEWAY)

    async def attach(self, network: Network, endpoint: Endpoint, namespace: str) -> Endpoint:
        """See `NetworkDriver.attach`."""
        self._program()
        await asyncio.to_thread(self._check_tun)
        prefix = IPv4Network(SUBNET).prefixlen
        return replace(endpoint, address=ADDRESS, prefix=prefix, gateway=GATEWAY)

    async def publish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.publish`: the way out is opened with the ports. Conflict: a port is in use."""
        os.makedirs(self._config.folder, mode=0o700, exist_ok=True)
        pid_file, log = self._files(endpoint)
        await asyncio.to_thread(_end, pid_file)
        command = (self._program(), *options(endpoint, namespace.split("/")[2]), "--log-file", log, "--pid", pid_file)
        ended = await program.run(
            command, b"", {"PATH": self._config.programs.path}, self._config.programs.timeout, named="pasta"
        )
        if ended.code != 0:
            words = _last_words(_read(log))
            _remove(pid_file, log)
            raise (
                Conflict(f"port is already allocated: {words}")
                if "bind" in words
                else Unavailable(f"pasta could not connect the container: {words}")
            )

    async def unpublish(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.unpublish`; the way out is closed with them."""
        await self.detach(network, endpoint, namespace)

    async def detach(self, network: Network, endpoint: Endpoint, namespace: str) -> None:
        """See `NetworkDriver.detach`."""
        pid_file, log = self._files(endpoint)
        await asyncio.to_thread(_end, pid_file)
        _remove(pid_file, log)

    async def dissolve(self, network: Network) -> None:
        """See `NetworkDriver.dissolve`: there is nothing."""

    def _files(self, endpoint: Endpoint) -> tuple[str, str]:
        stem = os.path.join(self._config.folder, endpoint.id)
        return f"{stem}.pid", f"{stem}.log"

    def _program(self) -> str:
        found = shutil.which("pasta", path=self._config.programs.path)
        if found is None:
            raise FailedPrecondition(
                "pasta is not installed, which networks of an engine that is not root's need: install passt, "
                + _OTHERWISE
            )
        return found

    def _check_tun(self) -> None:
        try:
            os.close(os.open(self._config.tun, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise FailedPrecondition(
                f"pasta needs {self._config.tun}, which {_why(error)}: have the administrator load the module tun and "
                f"give the device mode 0666, {_OTHERWISE}"
            ) from None


def _why(error: OSError) -> str:
    """Not in the kernel's words: clients take those for what is wrong with the container's program."""
    if isinstance(error, PermissionError):
        return "this user may not open"
    return "is not there" if isinstance(error, FileNotFoundError) else f"gives error {error.errno}"


def options(endpoint: Endpoint, pid: str) -> list[str]:
    """What pasta is told: whose namespaces (``pid``'s), its one interface there, and the ports. Pure."""
    fixed = "--config-net --quiet --ipv4-only --no-map-gw --no-dhcp --no-dhcpv6 --no-ndp --no-ra"
    network = {
        "--ns-ifname": endpoint.interface,
        "--address": ADDRESS,
        "--netmask": str(IPv4Network(SUBNET).netmask),
        "--gateway": GATEWAY,
        "--dns-forward": RESOLVER,
        "--tcp-ns": "none",
        "--udp-ns": "none",
    }
    words = [word for pair in network.items() for word in pair]
    return [*fixed.split(), *words, *_forwards(endpoint.ports), pid]


def _forwards(ports: Sequence[PublishedPort]) -> Iterator[str]:
    for protocol, option in (("tcp", "--tcp-ports"), ("udp", "--udp-ports")):
        found = [port for port in ports if port.protocol == protocol]
        for port in found:
            yield from (option, f"{port.host_address}/{port.host_port}:{port.port}")
        if not found:
            yield from (option, "none")


class TaskNamespaces:
    """Driver of `Namespaces` where the runtime makes them with the task: nothing is pinned, and a container's resolver
    is pasta's."""

    late = True

    @property
    def resolver(self) -> str:
        """See `Namespaces.resolver`."""
        return RESOLVER

    def path(self, container: str) -> str:
        """See `Namespaces.path`: none."""
        return ""

    def ids(self) -> list[str]:
        """See `Namespaces.ids`: none outlives its task."""
        return []

    async def make(self, container: str) -> str:
        """See `Namespaces.make`: the runtime will."""
        return ""

    async def hand_over(self, container: str, to: str) -> str:
        """See `Namespaces.hand_over`."""
        raise FailedPrecondition("a network namespace that the runtime makes is its task's alone")

    async def remove(self, container: str) -> None:
        """See `Namespaces.remove`: it went with the task."""

    async def answer(self, container: str, names: Names, *, again: bool) -> None:
        """See `Namespaces.answer`: pasta does."""

    async def route(self, container: str, gateway: str) -> None:
        """See `Namespaces.route`: pasta made it."""

    async def close(self) -> None:
        """See `Namespaces.close`."""


def _end(pid_file: str) -> None:
    """End the pasta of a pid file, if it is one's; no other process that has come to its number. Blocks."""
    try:
        pid = int(_read(pid_file) or 0)
        fd = os.pidfd_open(pid) if pid > 0 else -1
    except (ValueError, OSError):
        return
    if fd < 0:
        return
    try:
        if os.fsencode(pid_file) not in _command_line(pid):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(fd, number)
            if select.select([fd], [], [], _PATIENCE)[0]:
                return
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(fd)


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(64 << 10)
    except OSError:
        return ""


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _last_words(log: str) -> str:
    """Of pasta's own log: what follows ERROR."""
    said = [line.partition("ERROR:")[2].strip() for line in log.splitlines() if "ERROR:" in line]
    return said[-1][:_LONGEST] if said else "it said nothing"
