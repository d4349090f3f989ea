"""From a record to a started task: find the entry in the rootfs, compile it, make the spec, ask the runtime.

Everything that a start can fail with comes out of here, worded so that clients tell 126 from 127 by it.
"""

import asyncio
import contextlib
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from wherry.core.tasks.fifos import remove_fifos
from wherry.core.tasks.tasks import NewTask, StagedTask, Task, TaskIO
from wherry.engine import signals
from wherry.engine.background import Background
from wherry.engine.containers.folders import Folders
from wherry.engine.containers.ground import ground
from wherry.engine.containers.pins import Pins
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.record import Record
from wherry.engine.run import Run
from wherry.engine.services import EngineConfig, EngineServices
from wherry.engine.spec.linux import Ground, linux_spec
from wherry.engine.spec.network import Joint, joined
from wherry.engine.spec.process import PATH, User
from wherry.engine.spec.rootless import rootless
from wherry.engine.spec.user import resolve_user
from wherry.engine.spec.wasm import has_fuel, names_modules, wasm_spec
from wherry.engine.streams import Sink
from wherry.errors import Internal, InvalidArgument, NotFound, WherryError
from wherry.linux import stacked
from wherry.linux.files import open_regular
from wherry.oci.mount import Mount

_LARGEST_PASSWD: Final = 4 << 20
_PATIENCE: Final = 10

_RUNTIME_SAYS: Final = "OCI runtime"
"""What runc's and crun's own words begin with; docker puts some before."""

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
FAILED: Final = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """What the disk told of a container about to start. ``module`` is the host path of a WASM container's entry,
    ``ground`` what the machine adds to a Linux one."""

    mounts: Sequence[Mount]
    user: User
    args: tuple[str, ...]
    module: str = ""
    ground: Ground | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """All that blocks of making a task is done: only the shim is still to be asked. ``pins`` are the
    parts of volumes to be mounted."""

    io: TaskIO
    task: StagedTask
    pins: Pins = field(default_factory=Pins)


class Launcher:
    """Starts tasks; keeps nothing."""

    def __init__(self, services: EngineServices, sandboxes: Sandboxes, folders: Folders) -> None:
        self._services = services
        self._folders = folders
        self._sandboxes = sandboxes

    async def prepare(self, record: Record) -> Laid:
        """Look at the rootfs, make sure that a module is compiled, open the network, make the FIFOs and the bundle.

        After a failure the network may be open: whoever called closes it.
        """
        plan, laid = await asyncio.to_thread(self._prepare, record)
        if laid is None:
            if plan.module:
                await self.compile(plan.args[0], plan.module, record)
            wanted = await asyncio.to_thread(self.wants_network, record, plan.module)
            joint = await self._sandboxes.open(record) if wanted else self.plain_joint(record)
            laid = await asyncio.to_thread(self.lay, record, plan, joint)
        return laid

    def _prepare(self, record: Record) -> tuple[Plan, Laid | None]:
        """In one thread all that is to be done, when nothing has to be compiled and there is no network."""
        plan = self._look(record)
        at_once = self.is_compiled(plan.module, record) and not self.wants_network(record, plan.module)
        return plan, self.lay(record, plan, self.plain_joint(record)) if at_once else None

    def wants_network(self, record: Record, module: str) -> bool:
        """Whether a network is to be opened before the task is made; ``module`` is compiled. Blocks, shortly."""
        known = self._services.compiler.known(module, fuel=has_fuel(record)) if module else None
        return self._sandboxes.is_wanted(record, known.info if known else {})

    def plain_joint(self, record: Record) -> Joint:
        """The joint of a container that has no network, or the host's."""
        return self._sandboxes.plain(record)

    def is_compiled(self, module: str, record: Record) -> bool:
        """Whether nothing has to be compiled, also because there is no module. Blocks, shortly."""
        return not module or self._services.compiler.known(module, fuel=has_fuel(record)) is not None

    def lay(self, record: Record, plan: Plan, joint: Joint) -> Laid:
        """Make the FIFOs and the bundle, or nothing. Blocks."""
        pins = Pins()
        io = self._folders.lay(record)
        try:
            record = pins.hold(record)
            return Laid(io, self._services.tasks.stage(self._new_task(record, plan, joint, io)), pins)
        except BaseException:
            pins.release()
            remove_fifos(io)
            raise

    async def compile(self, entry: str, module: str, record: Record) -> None:
        """InvalidArgument: the module cannot run here; the message says why and names the entry."""
        try:
            await self._services.compiler.ensure(module, fuel=has_fuel(record))
        except InvalidArgument as error:
            raise InvalidArgument(f'exec: "{entry}": exec format error: {error}') from error

    async def create(self, laid: Laid, run: Run, sink: Sink, background: Background) -> Task:
        """The task, not yet started, its stdio carried by ``run``. A failure leaves only ``run`` and its clients, for
        another try."""
        try:
            run.open(laid.io, sink, background)
            task = await laid.task.create()
            try:
                if laid.pins:
                    await asyncio.to_thread(laid.pins.verify, task.pid)
            except BaseException:
                await self._end(task)
                raise
            return task
        except BaseException as error:
            run.withdraw()
            await self.discard(laid)
            if isinstance(error, Internal) and str(error).startswith(_RUNTIME_SAYS):
                raise Internal(f"failed to create task for container: failed to create shim task: {error}") from None
            raise
        finally:
            laid.pins.release()

    async def discard(self, laid: Laid) -> None:
        """Take back what `lay` made."""
        laid.pins.release()
        with contextlib.suppress(WherryError):
            await laid.task.discard()
        await asyncio.to_thread(remove_fifos, laid.io)

    def retire(self, run: Run) -> Callable[[], None]:
        """Take the FIFOs of a run that has ended out of the way. What is returned tidies up, and blocks."""
        return self._folders.retire(run.io)

    async def undo(self, run: Run, task: Task | None) -> None:
        """Take back what `create` made, whatever became of it since."""
        run.failed()
        if task is not None:
            await self._end(task)
        await asyncio.to_thread(run.remove)

    async def _end(self, task: Task) -> None:
        with contextlib.suppress(WherryError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await task.kill(signals.KILL)
                await task.wait()
        with contextlib.suppress(WherryError):
            await task.delete()

    def _new_task(self, record: Record, plan: Plan, joint: Joint, io: TaskIO) -> NewTask:
        make = wasm_spec if plan.ground is None else partial(linux_spec, ground=plan.ground)
        cgroup = cgroup_of(record, self._services.config)
        spec = make(record, args=plan.args, user=plan.user, cgroup=cgroup, annotations={})
        spec = joined(spec, joint, wasm=plan.ground is None)
        if plan.ground is not None and self._services.config.rootless:
            spec = rootless(spec)
        return NewTask(container_id=record.id, runtime=record.runtime, spec=spec, rootfs=plan.mounts, io=io)

    def _look(self, record: Record) -> Plan:
        snapshots = self._services.snapshots
        mounts, layers = snapshots.mounts(record.id), snapshots.layers(record.id)
        linux = record.kind == "linux"
        user = find_user(record.config["User"], record.host_config["GroupAdd"] or (), layers, always=linux)
        args, module = record.args, ""
        if record.kind == "wasm":
            path, module = find_module(record, layers)
            args, module = (path, *args[1:]), "" if names_modules(record) else module
        check_binds(record)
        found = ground(record.host_config, self._services.config) if linux else None
        return Plan(mounts, user, args, module, found)


def cgroup_of(record: Record, config: EngineConfig) -> str:
    """The cgroup of a container, as the runtime specification's cgroupsPath."""
    return posixpath.join("/", record.host_config["CgroupParent"] or config.cgroup_parent, record.id)


def exit_code_of(error: WherryError) -> int:
    """What `docker run` says of a start that failed so: 127 not found, 126 cannot be run, 128 anything else."""
    text = str(error)
    if "executable file not found" in text or "no such file or directory" in text:
        return NOT_FOUND
    if any(words in text for words in ("exec format error", "permission denied", "is a directory")):
        return NOT_RUNNABLE
    return FAILED


def find_module(record: Record, layers: Sequence[str]) -> tuple[str, str]:
    """The entry's absolute path in the container, with ``#name`` if it has one, and the module's host path.

    NotFound and InvalidArgument, worded as runc words them.
    """
    entry, sharp, function = record.args[0].partition("#")
    for candidate in _candidates(entry, record.config):
        with contextlib.suppress(NotFound):
            host_path = in_container(record, layers, candidate)
            if os.path.isdir(host_path):
                raise InvalidArgument(f'exec: "{entry}": is a directory: permission denied')
            return candidate + sharp + function, host_path
    if "/" in entry:
        raise NotFound(f'exec: "{entry}": stat {entry}: no such file or directory')
    raise NotFound(f'exec: "{entry}": executable file not found in $PATH')


def _candidates(entry: str, config: Mapping[str, object]) -> list[str]:
    """Absolute paths to try: from the working directory, then, for a bare name, the folders of PATH."""
    folder = str(config["WorkingDir"] or "/")
    found = [posixpath.normpath(posixpath.join(folder, entry))]
    if "/" not in entry:
        own = config["Env"]
        variables = dict(str(word).partition("=")[::2] for word in own) if isinstance(own, list) else {}
        found += [posixpath.join(place, entry) for place in variables.get("PATH", PATH).split(":") if place]
    return found


def in_container(record: Record, layers: Sequence[str], path: str) -> str:
    """The host path of ``path`` as the container sees it, bind mounts included. NotFound."""
    for point in sorted(record.mounts, key=lambda item: len(item.destination), reverse=True):
        if point.type != "tmpfs" and (path + "/").startswith(point.destination + "/"):
            inside = path[len(point.destination) :]
            inside = f"{point.subpath}{inside}"
            return stacked.resolve((point.whole,), inside) if inside else point.whole
    return stacked.resolve(layers, path)


def find_user(text: str, groups: Sequence[str], layers: Sequence[str], *, always: bool = False) -> User:
    """``--user`` by the rootfs's own files; they are read only when it takes them, or ``always``: they tell root's home
    and groups too."""
    if not text and not groups and not always:
        return User()
    return resolve_user(text, _text(layers, "/etc/passwd"), _text(layers, "/etc/group"), groups)


def _text(layers: Sequence[str], path: str) -> str:
    try:
        with open(open_regular(stacked.resolve(layers, path)), "rb") as file:
            return file.read(_LARGEST_PASSWD).decode("utf-8", "replace")
    except (NotFound, OSError):
        return ""


def check_binds(record: Record) -> None:
    """InvalidArgument: a folder or file to be bound is gone."""
    for point in record.mounts:
        if point.type == "volume" and not os.path.lexists(point.whole):
            raise InvalidArgument(f"error while mounting volume '{point.whole}': it is not there any more")
        if point.type == "bind" and not os.path.lexists(point.source):
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            )
