"""What the machine adds to a Linux container: looked up when one is about to start. All of it blocks, shortly."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from wherry.engine.containers.fit import weighs
from wherry.engine.services import EngineConfig
from wherry.engine.spec.devices import Throttle, Wanted, throttles, wanted
from wherry.engine.spec.linux import Ground
from wherry.errors import FailedPrecondition, InvalidArgument, NotFound
from wherry.linux import machine
from wherry.linux.devices import DeviceNode, node_at, nodes_below

_INITS: Final = ("docker-init", "tini-static")
"""Programs that do as a container's first process; static ones, for a rootfs may have no libraries."""


def ground(host: Mapping[str, Any], config: EngineConfig) -> Ground:
    """InvalidArgument: a device that is not there; FailedPrecondition: --init, and no init is installed."""
    return Ground(
        architecture=config.default_platform.architecture,
        kernel=machine.kernel_version(),
        capabilities=machine.bounding_capabilities(),
        devices=tuple(_devices(host)),
        throttles=_throttles(host),
        init=_init(config.path) if host["Init"] else "",
        apparmor=machine.has_apparmor(),
    )


def _devices(host: Mapping[str, Any]) -> list[tuple[DeviceNode, str]]:
    """By path, so that each is made once: what is asked for goes before what --privileged brings along."""
    found = {node.path: (node, "rwm") for node in (nodes_below("/dev") if host["Privileged"] else ())}
    for item in wanted(host):
        found |= {node.path: (node, item.access) for node in _nodes(item)}
    return list(found.values())


def _nodes(item: Wanted) -> list[DeviceNode]:
    """The nodes of one ``--device``, by their paths in the container."""
    try:
        if os.path.isdir(item.source):
            below = nodes_below(item.source)
            return [replace(node, path=item.target + node.path[len(item.source) :]) for node in below]
        return [replace(node_at(item.source), path=item.target)]
    except (NotFound, InvalidArgument) as error:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{item.source}": '
            f"{str(error).removeprefix(item.source + ': ')}"
        ) from None


def _throttles(host: Mapping[str, Any]) -> tuple[tuple[Throttle, DeviceNode], ...]:
    """Weights that the kernel has not are left out: the create has told."""
    weighed = bool(host["BlkioWeightDevice"]) and weighs(True)
    return tuple((limit, _throttled(limit.path)) for limit in throttles(host) if weighed or limit.key != "weightDevice")


def _throttled(path: str) -> DeviceNode:
    try:
        return node_at(path)
    except NotFound as error:
        raise InvalidArgument(str(error)) from None


def _init(folders: Sequence[str]) -> str:
    for name in _INITS:
        for path in (os.path.join(folder, name) for folder in folders):
            if os.access(path, os.X_OK):
                return os.path.realpath(path)
    raise FailedPrecondition("--init needs docker-init or tini-static on PATH: install Debian's tini")
