"""The process that is added to a container: an exec's, a health check's. Blocks, for the image's passwd."""

from collections.abc import Mapping
from typing import Any

from wherry.engine.containers.ground import ground
from wherry.engine.containers.launch import find_user
from wherry.engine.containers.request import merged_environment
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.engine.spec.linux import held_capabilities
from wherry.engine.spec.process import exec_process


def exec_document(
    services: EngineServices, record: Record, config: Mapping[str, Any], size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The runtime spec's process. ``config`` is an exec's, complete; ``size`` (height, width) its terminal's, in cells.

    InvalidArgument: no such user.
    """
    layers = services.snapshots.layers(record.id)
    linux = record.kind == "linux"
    name = config["User"] or record.config["User"]
    user = find_user(name, record.host_config["GroupAdd"] or (), layers, always=linux)
    merged = {
        **config,
        "Env": merged_environment(config["Env"], record.config["Env"]),
        "WorkingDir": config["WorkingDir"] or record.config["WorkingDir"],
        "Hostname": record.config["Hostname"],
    }
    held = None
    if linux:
        there = ground(record.host_config, services.config)
        held = held_capabilities(record.host_config, there, privileged=config["Privileged"])
    return exec_process(merged, record.host_config, user, size, held)
