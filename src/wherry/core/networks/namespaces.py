"""Containers' network namespaces, each pinned at a file of a folder, with a resolver in it where one is asked for."""

import asyncio
import contextlib
import ipaddress
import os

from wherry.core.networks import dns
from wherry.core.networks.network import Names
from wherry.core.networks.plugins import PluginConfig, run_program
from wherry.errors import FailedPrecondition, Unavailable
from wherry.linux import links, netns


class PinnedNamespaces:
    """Driver of `Namespaces`, for root. ``programs`` says where iptables is."""

    late = False

    def __init__(self, folder: str, programs: PluginConfig) -> None:
        self._folder = folder
        self._programs = programs
        self._resolvers: dict[str, dns.Resolver] = {}

    @property
    def resolver(self) -> str:
        """See `Namespaces.resolver`."""
        return dns.ADDRESS

    def path(self, container: str) -> str:
        """See `Namespaces.path`."""
        return os.path.join(self._folder, container)

    def ids(self) -> list[str]:
        """See `Namespaces.ids`."""
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []

    async def make(self, container: str) -> str:
        """See `Namespaces.make`."""
        path = self.path(container)
        try:
            await asyncio.to_thread(self._make, path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FailedPrecondition(f"cannot make a network namespace: {reason}") from error
        return path

    def _make(self, path: str) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        netns.remove(path)
        netns.make(path)

    async def hand_over(self, container: str, to: str) -> str:
        """See `Namespaces.hand_over`."""
        path = self.path(to)
        try:
            await asyncio.to_thread(self._move, self.path(container), path)
        except OSError as error:
            await asyncio.to_thread(netns.remove, self.path(container))
            reason = (error.strerror or str(error)).lower()
            raise FailedPrecondition(f"cannot pin a network namespace: {reason}") from error
        return path

    def _move(self, path: str, to: str) -> None:
        netns.remove(to)
        netns.move(path, to)

    async def remove(self, container: str) -> None:
        """See `Namespaces.remove`."""
        await self._silence(container)
        await asyncio.to_thread(netns.remove, self.path(container))

    async def _silence(self, container: str) -> None:
        resolver = self._resolvers.pop(container, None)
        if resolver is not None:
            await resolver.close()

    async def answer(self, container: str, names: Names, *, again: bool) -> None:
        """See `Namespaces.answer`."""
        await self._silence(container)
        path = self.path(container)
        try:
            udp, tcp = await asyncio.to_thread(netns.inside, path, dns.open_sockets)
        except OSError as error:
            raise Unavailable(f"cannot open a resolver's sockets in {path}: {error.strerror}") from error
        resolver = self._resolvers[container] = dns.Resolver(names)
        rules = dns.rules(udp.getsockname()[1], tcp.getsockname()[1], again=again)
        enter = (f"--net={path}", "iptables-restore", "--noflush", "--wait")
        try:
            await resolver.serve(udp, tcp)
            await run_program("nsenter", enter, rules, self._programs)
        except BaseException:
            await self._silence(container)
            raise

    async def route(self, container: str, gateway: str) -> None:
        """See `Namespaces.route`."""
        address = ipaddress.IPv4Address(gateway)
        # There is one already, or the gateway is behind an interface that has just gone: then there is none to be had.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(netns.inside, self.path(container), lambda: links.add_default_route(address))

    async def close(self) -> None:
        """See `Namespaces.close`."""
        for container in list(self._resolvers):
            await self._silence(container)
