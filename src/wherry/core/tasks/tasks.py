"""The contract of tasks: a container's running life, whoever's shim runs it. The driver lies in shim_tasks.py."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from wherry.oci.mount import Mount

Status = Literal["created", "running", "stopped", "paused", "pausing", "unknown"]


@dataclass(frozen=True, slots=True)
class TaskIO:
    """Paths of the FIFOs a task's stdio is bound to; "" is none. With ``terminal``, stderr is part of stdout."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """``code`` 0-255, 128+n for death by signal n; ``exited_at`` in seconds since the epoch. ``usage`` is what
    the guests of a WASM task used, by the names of wire/usage.py, where the shim tells it: in `Task.wait`."""

    code: int
    exited_at: float
    usage: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TaskState:
    """``exit`` is there when ``status`` is ``stopped``."""

    status: Status
    pid: int
    exit: ExitStatus | None = None


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a task is made of. ``runtime`` is a runtime's name (``io.containerd.runc.v2``); ``spec`` the OCI runtime
    spec as JSON; ``rootfs`` is mounted on the bundle's ``rootfs`` by the shim; ``options`` an encoded
    google.protobuf.Any for the runtime, b"" for its usual ones; ``environ`` is added to the shim's environment."""

    container_id: str
    runtime: str
    spec: Mapping[str, Any]
    rootfs: Sequence[Mount]
    io: TaskIO
    options: bytes = b""
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """An event a shim forwarded: ``topic`` as containerd names it (``/tasks/exit``), ``fields`` the message's own
    (``container_id``, ``id``, ``pid``, ``exit_status``, ``exited_at`` ...). Times in seconds since the epoch."""

    topic: str
    container_id: str
    fields: Mapping[str, Any]
    time: float


class Process(Protocol):
    """The main process of a task or an exec in it. Methods raise NotFound once it is deleted, Unavailable when the
    shim is gone (then the process is gone too: see Tasks.load)."""

    @property
    def io(self) -> TaskIO: ...

    async def start(self) -> int:
        """Run it; returns its pid. FailedPrecondition if it was started before."""

    async def wait(self) -> ExitStatus:
        """Return when it has ended. Any number may wait; a shim that dies ends the wait with code 137."""

    async def kill(self, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to it, or to every process of the task. NotFound if it has ended."""

    async def resize(self, width: int, height: int) -> None:
        """Set its terminal's size in cells."""

    async def close_stdin(self) -> None:
        """Let it see the end of stdin once the writers of the FIFO are gone."""

    async def state(self) -> TaskState: ...

    async def delete(self) -> ExitStatus:
        """Forget it. FailedPrecondition while it runs."""


class Task(Process, Protocol):
    """A container's main process and what concerns the whole container."""

    @property
    def container_id(self) -> str: ...

    @property
    def pid(self) -> int: ...

    async def exec(self, exec_id: str, process: Mapping[str, Any], io: TaskIO) -> Process:
        """Add a process (OCI spec's ``process`` object as JSON); it runs when started. AlreadyExists."""

    async def process(self, exec_id: str) -> Process:
        """An exec made earlier. NotFound."""

    async def pids(self) -> Sequence[int]: ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def stats(self) -> Mapping[str, Any]:
        """Figures of the task's cgroup, by the names of containerd's io.containerd.cgroups.v1.Metrics; under ``wasm``
        those of wire/usage.py, where the shim tells them."""

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Apply the OCI spec's ``linux.resources``."""


class StagedTask(Protocol):
    """A task for which only the shim is still to be asked. Its holder calls one of the two, once."""

    async def create(self) -> Task:
        """See `Tasks.create`. A failed create leaves nothing."""

    async def discard(self) -> None:
        """It is not wanted after all."""


class Tasks(Protocol):
    """All tasks of this engine, by container id.

    Life of a task: `create` (status created) -> start -> running -> stopped -> delete. The shims outlive this
    object: `load` finds a task again, with its exit status if it ended meanwhile.
    """

    def stage(self, new: NewTask) -> StagedTask:
        """Do what blocks of a `create`: make the bundle. Blocks, so that callers can do it in the thread where they do
        the rest that blocks. AlreadyExists; FailedPrecondition as `create`; ResourceExhausted: no room."""

    async def create(self, new: NewTask) -> Task:
        """Make the bundle, launch the runtime's shim, Create. AlreadyExists; FailedPrecondition: no such shim on PATH
        (the message names the binary and what to install); else what the shim said. A failed create leaves nothing."""

    async def load(self, container_id: str) -> Task:
        """Find a task after a restart of the engine. NotFound: it has none, or its shim died and was cleared
        away; DataLoss: the note of where it runs is damaged."""

    def events(self, topics: Collection[str] = ()) -> AsyncIterator[TaskEvent]:
        """What shims report from this call on, in order per task; of ``topics`` alone if some are named. It ends when
        this object is closed. A shim that dies reports nothing: then an exit with code 137 comes in its stead."""

    async def ids(self) -> Sequence[str]:
        """Containers that have, or may have, a task: after a restart, `load` each of them; that also clears away what
        a killed engine left half made."""

    def known_runtimes(self) -> Sequence[str]:
        """Names of the runtimes whose shims are on PATH."""

    async def close(self) -> None:
        """Let go of all shims; tasks go on."""
