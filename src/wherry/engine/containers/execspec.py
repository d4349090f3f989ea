"""The process that is added to a container: an exec's, a health check's."""

from collections.abc import Mapping
from typing import Any

from wherry.core.tasks.tasks import Process, Task, TaskIO
from wherry.engine.containers.ground import ground
from wherry.engine.containers.launch import find_user
from wherry.engine.containers.request import merged_environment
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.engine.spec.linux import held_capabilities
from wherry.engine.spec.process import exec_process
from wherry.errors import InvalidArgument


def exec_document(
    services: EngineServices, record: Record, config: Mapping[str, Any], size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The runtime spec's process. ``config`` is an exec's, complete; ``size`` (height, width) its terminal's, in cells.

    Blocks, for the image's passwd. InvalidArgument: no such user.
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


async def add(task: Task, exec_id: str, document: Mapping[str, Any], io: TaskIO, *, wasm: bool) -> Process:
    """Make the process of an `exec_document` in a task. A module is judged by the shim: what that refuses is told in
    the words by which clients tell 126. Errors as `Task.exec`."""
    try:
        return await task.exec(exec_id, document, io)
    except InvalidArgument as error:
        if not wasm or str(error).startswith(("exec: ", "chdir to cwd ")):  # which name their cause already
            raise
        raise InvalidArgument(f'exec: "{document["args"][0]}": exec format error: {error}') from error
