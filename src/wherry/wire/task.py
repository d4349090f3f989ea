"""Messages of containerd's Task service, version 2: what an engine asks of a shim. Plain values, no I/O.

Source: containerd api/runtime/task/v2/shim.proto, api/types/{mount,task/task}.proto; unchanged from 1.6 to 2.x (service
v3 of 2.x has the same messages under another name). Imported by the shim.
"""

from __future__ import annotations

from wherry.wire import usage
from wherry.wire.protobuf import Message, boolean, message, messages, string, string_map, strings, uint32
from wherry.wire.usage import Usage
from wherry.wire.wellknown import Any, Empty, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE = "containerd.task.v2.Task"

# containerd.v1.types.Status
UNKNOWN, CREATED, RUNNING, STOPPED, PAUSED, PAUSING = range(6)

PROCESS_TYPE_URL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
"""Type of ExecProcessRequest.spec: the OCI spec's ``process`` object as JSON."""
RESOURCES_TYPE_URL = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
"""Type of UpdateTaskRequest.resources: the OCI spec's ``linux.resources`` as JSON."""
RUNC_OPTIONS_TYPE_URL = "containerd.runc.v1.Options"


class Mount(Message):
    """containerd.types.Mount: one mount(2) to be done."""

    type: str = string(1)
    source: str = string(2)
    target: str = string(3)
    options: tuple[str, ...] = strings(4)


class ProcessInfo(Message):
    """containerd.v1.types.ProcessInfo."""

    pid: int = uint32(1)
    info: Any | None = message(2, Any)


class RuncOptions(Message):
    """containerd.runc.v1.Options: what containerd-shim-runc-v2 understands in CreateTaskRequest.options."""

    no_pivot_root: bool = boolean(1)
    no_new_keyring: bool = boolean(2)
    shim_cgroup: str = string(3)
    io_uid: int = uint32(4)
    io_gid: int = uint32(5)
    binary_name: str = string(6)
    root: str = string(7)
    systemd_cgroup: bool = boolean(9)


class CreateTaskRequest(Message):
    id: str = string(1)
    bundle: str = string(2)
    rootfs: tuple[Mount, ...] = messages(3, Mount)
    terminal: bool = boolean(4)
    stdin: str = string(5)
    stdout: str = string(6)
    stderr: str = string(7)
    checkpoint: str = string(8)
    parent_checkpoint: str = string(9)
    options: Any | None = message(10, Any)


class CreateTaskResponse(Message):
    pid: int = uint32(1)


class ProcessRequest(Message):
    """Any request that names a process and nothing else; ``exec_id`` is empty for the task's main process."""

    id: str = string(1)
    exec_id: str = string(2)


class TaskRequest(Message):
    """Any request that names a task and nothing else."""

    id: str = string(1)


class StartResponse(Message):
    pid: int = uint32(1)


class DeleteResponse(Message):
    """Also what a shim's ``delete`` command prints to its stdout."""

    pid: int = uint32(1)
    exit_status: int = uint32(2)
    exited_at: Timestamp | None = message(3, Timestamp)


class ExecProcessRequest(Message):
    id: str = string(1)
    exec_id: str = string(2)
    terminal: bool = boolean(3)
    stdin: str = string(4)
    stdout: str = string(5)
    stderr: str = string(6)
    spec: Any | None = message(7, Any)


class ResizePtyRequest(Message):
    """``width`` and ``height`` in cells."""

    id: str = string(1)
    exec_id: str = string(2)
    width: int = uint32(3)
    height: int = uint32(4)


class StateResponse(Message):
    id: str = string(1)
    bundle: str = string(2)
    pid: int = uint32(3)
    status: int = uint32(4)
    stdin: str = string(5)
    stdout: str = string(6)
    stderr: str = string(7)
    terminal: bool = boolean(8)
    exit_status: int = uint32(9)
    exited_at: Timestamp | None = message(10, Timestamp)
    exec_id: str = string(11)


class KillRequest(Message):
    id: str = string(1)
    exec_id: str = string(2)
    signal: int = uint32(3)
    all: bool = boolean(4)


class CloseIORequest(Message):
    id: str = string(1)
    exec_id: str = string(2)
    stdin: bool = boolean(3)


class PidsResponse(Message):
    processes: tuple[ProcessInfo, ...] = messages(1, ProcessInfo)


class CheckpointTaskRequest(Message):
    id: str = string(1)
    path: str = string(2)
    options: Any | None = message(3, Any)


class UpdateTaskRequest(Message):
    id: str = string(1)
    resources: Any | None = message(2, Any)
    annotations: Mapping[str, str] = string_map(3)


class WaitResponse(Message):
    """``usage`` is wherry's shim's own."""

    exit_status: int = uint32(1)
    exited_at: Timestamp | None = message(2, Timestamp)
    usage: Usage | None = message(usage.FIELD, Usage)


class StatsResponse(Message):
    stats: Any | None = message(1, Any)


class ConnectResponse(Message):
    shim_pid: int = uint32(1)
    task_pid: int = uint32(2)
    version: str = string(3)


class ShutdownRequest(Message):
    id: str = string(1)
    now: bool = boolean(2)


METHODS: dict[str, tuple[type[Message], type[Message]]] = {
    "State": (ProcessRequest, StateResponse),
    "Create": (CreateTaskRequest, CreateTaskResponse),
    "Start": (ProcessRequest, StartResponse),
    "Delete": (ProcessRequest, DeleteResponse),
    "Pids": (TaskRequest, PidsResponse),
    "Pause": (TaskRequest, Empty),
    "Resume": (TaskRequest, Empty),
    "Checkpoint": (CheckpointTaskRequest, Empty),
    "Kill": (KillRequest, Empty),
    "Exec": (ExecProcessRequest, Empty),
    "ResizePty": (ResizePtyRequest, Empty),
    "CloseIO": (CloseIORequest, Empty),
    "Update": (UpdateTaskRequest, Empty),
    "Wait": (ProcessRequest, WaitResponse),
    "Stats": (TaskRequest, StatsResponse),
    "Connect": (TaskRequest, ConnectResponse),
    "Shutdown": (ShutdownRequest, Empty),
}
"""Every method of the service: what it takes and what it returns."""
