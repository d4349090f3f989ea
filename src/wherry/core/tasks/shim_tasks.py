"""The driver of tasks: containerd's part towards shims. Launches them, finds them again, buries them.

One `Shim` per address serves one task or a group; what a single task does is in process.py.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakValueDictionary

from wherry.core.sweeper import Sweeper
from wherry.core.tasks import launch
from wherry.core.tasks.bundle import Bundles, Record, check_id
from wherry.core.tasks.client import ConnectionLost
from wherry.core.tasks.fifos import held, reading_ends
from wherry.core.tasks.forwarded import EXIT, EventHub, EventsServer, make_event, task_event
from wherry.core.tasks.jobs import Jobs, in_thread
from wherry.core.tasks.process import KILLED, Handle, ShimTask
from wherry.core.tasks.runtimes import Runtime, RuntimeTable
from wherry.core.tasks.shim import Shim
from wherry.core.tasks.shimlog import ShimLog
from wherry.core.tasks.stage import Stage
from wherry.core.tasks.tasks import ExitStatus, NewTask, Task, TaskEvent
from wherry.errors import NotFound, ResourceExhausted, Unavailable, WherryError
from wherry.wire import events as wire_events
from wherry.wire import task, wellknown
from wherry.wire.protobuf import Message

_CREATE_TIMEOUT: Final = 120.0
_SHUTDOWN_TIMEOUT: Final = 10.0
_CLOSE_TIMEOUT: Final = 15.0
_KNOWN_FOR: Final = 10.0
"""Seconds after which it is looked up again which shims are installed."""


@dataclass(frozen=True, slots=True)
class TasksConfig:
    """``state`` is a short-lived folder of this engine alone, with a path short enough for sockets (108 bytes in all);
    ``environ`` what shims get as environment (PATH above all); ``publisher`` the path of wherryd; ``stage`` where other
    shims than ours run, if this user's rights are too few for them."""

    state: str
    runtimes: RuntimeTable
    environ: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "wherry"
    publisher: str = "wherryd"
    stage: Stage | None = None


@dataclass(slots=True)
class _Entry:
    """A task this engine knows. ``exit`` is what the shim reported of the main process."""

    task: ShimTask
    shim: Shim
    record: Record
    gone: asyncio.Future[ExitStatus]
    exit: ExitStatus | None = None


@dataclass(frozen=True, slots=True)
class _Staged:
    """Driver of `StagedTask`."""

    owner: "ShimTasks"
    new: NewTask
    runtime: Runtime
    record: Record

    async def create(self) -> Task:
        return await self.owner.create_staged(self.new, self.runtime, self.record)

    async def discard(self) -> None:
        await self.owner.discard_staged(self.new)


class ShimTasks:
    """Tasks by way of containerd shims. Made by `open`; `close` it in the end."""

    def __init__(self, config: TasksConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._bundles = Bundles(os.path.join(config.state, "tasks"))
        events_path = os.path.join(config.state, "events.ttrpc")
        self._launch = launch.LaunchConfig(config.namespace, events_path, config.publisher, config.environ)
        self._hub = EventHub()
        self._jobs = Jobs()
        self._sweeper = Sweeper(self._bundles.trim)
        self._entries: dict[str, _Entry] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._shims: dict[str, Shim] = {}
        self._groups: dict[str, Shim] = {}
        self._server: EventsServer | None = None
        self._known: Sequence[str] = ()
        self._known_at = float("-inf")

    @classmethod
    async def open(cls, config: TasksConfig, clock: Callable[[], float] = time.time) -> "ShimTasks":
        """Listen for events and clear away what a killed engine left half made. ResourceExhausted: it cannot."""
        tasks = cls(config, clock)
        try:
            await asyncio.to_thread(tasks._bundles.open)
        except OSError as error:
            raise ResourceExhausted(f"cannot use {config.state}: {error.strerror}") from None
        tasks._server = EventsServer.listen(tasks._launch.events, tasks._receive)
        return tasks

    def stage(self, new: NewTask) -> _Staged:
        runtime = self._config.runtimes.resolve(new.runtime)
        record = Record(runtime.name, runtime.binary, new.io, new.environ, runtime.grouped)
        group = self._groups.get(runtime.binary) if runtime.grouped else None
        if group is not None:  # written at once, it need not be noted later
            record = replace(record, address=group.address.path, version=group.address.version)
        self._bundles.create(new.container_id, new.spec, record)
        return _Staged(self, new, runtime, record)

    async def create(self, new: NewTask) -> Task:
        async with self._lock(check_id(new.container_id)):
            staged = await in_thread(self._jobs, self.stage, new)
            return await self._create(new, staged.runtime, staged.record)

    async def create_staged(self, new: NewTask, runtime: Runtime, record: Record) -> Task:
        """The second half of a create."""
        async with self._lock(new.container_id):
            return await self._create(new, runtime, record)

    async def discard_staged(self, new: NewTask) -> None:
        """Take the first half of a create back, unless it has become a task."""
        async with self._lock(new.container_id):
            if new.container_id not in self._entries:
                await in_thread(self._jobs, self._bundles.remove, new.container_id)

    async def load(self, container_id: str) -> Task:
        async with self._lock(check_id(container_id)):
            if container_id in self._entries:
                return self._entries[container_id].task
            record = await in_thread(self._jobs, self._bundles.record, container_id)
            return await self._load(container_id, record)

    async def ids(self) -> Sequence[str]:
        return await in_thread(self._jobs, lambda: list(self._bundles.ids()))

    def events(self, topics: Collection[str] = ()) -> AsyncIterator[TaskEvent]:
        return self._hub.subscribe(topics)

    def known_runtimes(self) -> Sequence[str]:
        now = self._clock()
        if not 0 <= now - self._known_at < _KNOWN_FOR:
            self._known, self._known_at = self._config.runtimes.known(), now
        return self._known

    async def close(self) -> None:
        """Let go of all shims; tasks go on. Shims kept for a group that is empty are told to end. Twice is no
        error."""
        await self._jobs.close(_CLOSE_TIMEOUT)
        await self._sweeper.close()
        await asyncio.to_thread(self._bundles.close)
        for shim in list(self._shims.values()):
            if not shim.container_ids:
                await self._shutdown(shim)
            shim.close()
        server, self._server = self._server, None
        if server is not None:
            await server.close()
            self._hub.close()

    # Making a task.

    async def _create(self, new: NewTask, runtime: Runtime, record: Record) -> ShimTask:
        container_id = new.container_id
        try:
            shim, record = await self._reach(container_id, runtime, record)
            try:
                answer = await self._ask_create(shim, new, runtime)
            except ConnectionLost as error:
                if not runtime.grouped:
                    last_words = shim.log.last_line if shim.log else ""
                    raise Unavailable(f"shim died during Create: {last_words or error}") from None
                # Perhaps the group's shim ended just then, having had no task left: another one is started, once.
                shim, record = await self._reach(container_id, runtime, record)
                answer = await self._ask_create(shim, new, runtime)
        except BaseException:
            await self._jobs.finish(self._clear(container_id, record))
            raise
        return self._enter(container_id, shim, record, answer.pid)

    async def _reach(self, container_id: str, runtime: Runtime, record: Record) -> tuple[Shim, Record]:
        """The shim for a new task: the group's living one without asking its binary, which takes milliseconds, or a
        new one."""
        if not runtime.grouped:
            return await self._start(container_id, runtime, record)
        async with self._lock(runtime.binary):
            shim = self._groups.get(runtime.binary)
            if shim is not None and await shim.settled():
                if record.address != shim.address.path:
                    record = await self._note(container_id, record, shim.address)
                return shim, record
            shim, record = await self._start(container_id, runtime, record)
            self._groups[runtime.binary] = shim
            return shim, record

    async def _start(self, container_id: str, runtime: Runtime, record: Record) -> tuple[Shim, Record]:
        log = ShimLog(await in_thread(self._jobs, self._bundles.make_log, container_id), container_id)
        try:
            # To its end, cancelled or not: a shim whose address nobody noted would run for ever.
            record = await self._jobs.finish(self._launched(container_id, runtime, record))
            shim = await self._connect(launch.Address(record.address, record.version), log)
        except BaseException:
            log.close()
            raise
        return shim, record

    async def _launched(self, container_id: str, runtime: Runtime, record: Record) -> Record:
        bundle = self._bundles.path(container_id)
        config = self._launch_of(record)
        # A shim of one task lets go of its FIFOs when the process ends. What lies in them is there until an engine has
        # read it, for the shim has an end of them that it does not know of. A group's would have it for ever.
        ends = contextlib.nullcontext(()) if runtime.grouped else reading_ends(record.io)
        with ends as fds:
            address = await launch.start(
                runtime.binary, bundle, container_id, config, options=runtime.options, inherited=fds
            )
        return await self._note(container_id, record, address)

    async def _note(self, container_id: str, record: Record, address: launch.Address) -> Record:
        """Write down where the task's shim is, before the task is made: a killed engine finds it by that."""
        record = replace(record, address=address.path, version=address.version)
        await in_thread(self._jobs, self._bundles.update, container_id, record)
        return record

    async def _connect(self, address: launch.Address, log: ShimLog | None = None) -> Shim:
        """The shim at ``address``: the one known, else a new connection. It takes ``log``."""
        async with self._lock(address.path):
            shim = self._shims.get(address.path)
            if shim is None or not await shim.settled():
                shim = Shim(address, self._config.namespace, self._lost, log)
                await shim.connect()
                self._shims[address.path] = shim
            elif log is not None:
                log.close()
            return shim

    async def _ask_create(self, shim: Shim, new: NewTask, runtime: Runtime) -> task.CreateTaskResponse:
        options = new.options or runtime.options
        request = task.CreateTaskRequest(
            id=new.container_id,
            bundle=self._bundles.path(new.container_id),
            rootfs=tuple(
                task.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
                for mount in new.rootfs
            ),
            terminal=new.io.terminal,
            stdin=new.io.stdin,
            stdout=new.io.stdout,
            stderr=new.io.stderr,
            options=wellknown.Any.decode(options) if options else None,
        )
        with held(new.io):
            return await shim.call("Create", request, task.CreateTaskResponse, _CREATE_TIMEOUT)

    def _enter(self, container_id: str, shim: Shim, record: Record, pid: int) -> ShimTask:
        gone: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        handle = Handle(container_id, shim, gone, lambda: self._jobs.finish(self._forget(container_id)))
        made = ShimTask(handle, record.io, pid)
        self._entries[container_id] = _Entry(made, shim, record, gone)
        shim.container_ids.add(container_id)
        return made

    # Finding one again.

    async def _load(self, container_id: str, record: Record) -> ShimTask:
        record = await self._with_address(container_id, record)
        try:
            shim = await self._find(container_id, record)
            state = await shim.call("State", task.ProcessRequest(id=container_id), task.StateResponse)
        except (NotFound, ConnectionLost):
            await self._jobs.finish(self._clear(container_id, record))
            raise NotFound(f"container {container_id} has no task: its shim died and was cleared away") from None
        if record.grouped:
            self._groups[record.binary] = shim
        return self._enter(container_id, shim, record, state.pid)

    async def _with_address(self, container_id: str, record: Record) -> Record:
        """An engine killed just after ``start`` has not noted the address, but the shim has."""
        noted = "" if record.address else await in_thread(self._jobs, self._bundles.shim_address, container_id)
        if not noted:
            return record
        with contextlib.suppress(WherryError):
            address = launch.parse_address(noted.encode(), self._launch_of(record).stage)
            return replace(record, address=address.path, version=address.version)
        return record

    async def _find(self, container_id: str, record: Record) -> Shim:
        if not record.address:
            raise ConnectionLost(f"no shim was started for {container_id}")
        address = launch.Address(record.address, record.version)
        if record.grouped or address.path in self._shims:
            return await self._connect(address)
        log = ShimLog(os.path.join(self._bundles.path(container_id), "log"), container_id)
        try:
            return await self._connect(address, log)
        except BaseException:
            log.close()
            raise

    # The end of one, orderly.

    async def _forget(self, container_id: str) -> None:
        """After Delete: end the shim unless it serves others or a group, and remove the bundle."""
        entry = self._entries.pop(container_id, None)
        if entry is None:
            return
        entry.shim.container_ids.discard(container_id)
        if not entry.shim.container_ids and not entry.record.grouped:
            await self._shutdown(entry.shim)
        self._sweeper.later(self._bundles.retire(container_id))

    async def _shutdown(self, shim: Shim) -> None:
        self._shims.pop(shim.address.path, None)
        shim.expect_end()
        # It may end before it answers, or be dead already.
        with contextlib.suppress(WherryError):
            await shim.call("Shutdown", task.ShutdownRequest(), wellknown.Empty, _SHUTDOWN_TIMEOUT)
        shim.close()

    # The end of one, disorderly.

    async def _clear(self, container_id: str, record: Record) -> None:
        """Remove every trace of a task that is not in `_entries`: by the shim's own ``delete``, then its bundle."""
        with contextlib.suppress(WherryError):  # what was noted last counts
            record = await in_thread(self._jobs, self._bundles.record, container_id)
        record = await self._with_address(container_id, record)
        with contextlib.suppress(WherryError):
            await self._delete(container_id, record)
        if record.address and not record.grouped:
            with contextlib.suppress(WherryError, OSError):  # mostly it is gone
                await self._end(container_id, launch.Address(record.address, record.version))
        await asyncio.to_thread(self._bundles.remove, container_id)

    async def _end(self, container_id: str, address: launch.Address) -> None:
        """End a shim whose task was never made, or is no more."""
        # A shim that has come no further than opening its log does not answer until somebody reads that.
        with contextlib.closing(ShimLog(os.path.join(self._bundles.path(container_id), "log"), container_id)):
            shim = await self._connect(address)
            if not shim.container_ids:
                await self._shutdown(shim)

    async def _delete(self, container_id: str, record: Record) -> task.DeleteResponse:
        return await launch.delete(
            record.binary, self._bundles.path(container_id), container_id, self._launch_of(record)
        )

    def _launch_of(self, record: Record) -> launch.LaunchConfig:
        """How the shim of a task is run: our own, which serves a group, needs no stage."""
        stage = None if record.grouped else self._config.stage
        return replace(self._launch, environ={**self._launch.environ, **record.environ}, stage=stage)

    def _lost(self, shim: Shim) -> None:
        self._jobs.spawn(self._recover(shim))

    async def _recover(self, shim: Shim) -> None:
        """The connection to a shim ended: make it again, and bury the tasks that are no more."""
        try:
            await shim.connect()
        except Unavailable:
            self._shims.pop(shim.address.path, None)
            shim.close()
            lost = set(shim.container_ids)
        else:
            lost = {
                container_id
                for container_id in list(shim.container_ids)
                if not await self._is_there(shim, container_id)
            }
        for container_id in sorted(lost):
            await self._bury(container_id)

    async def _is_there(self, shim: Shim, container_id: str) -> bool:
        try:
            await shim.call("State", task.ProcessRequest(id=container_id), task.StateResponse)
        except NotFound:
            return False
        except WherryError:  # lost once more, or slow: whoever notices next looks again
            return True
        return True

    async def _bury(self, container_id: str) -> None:
        """A task's shim died: clear away what is left of it and tell those who wait, as if the shim had told them."""
        entry = self._entries.pop(container_id, None)
        if entry is None:
            return
        entry.shim.container_ids.discard(container_id)
        code = KILLED
        with contextlib.suppress(WherryError):
            code = (await self._delete(container_id, entry.record)).exit_status or KILLED
        now = self._clock()
        ended = entry.exit or ExitStatus(code, now)
        pid = entry.task.pid
        moment = wellknown.Timestamp.from_ns(int(ended.exited_at * 1e9))
        common: dict[str, Any] = {"pid": pid, "exit_status": ended.code, "exited_at": moment}
        told: list[Message] = [wire_events.TaskDelete(container_id=container_id, id=container_id, **common)]
        if entry.exit is None:
            told.insert(0, wire_events.TaskExit(container_id=container_id, id=container_id, **common))
        with contextlib.suppress(WherryError):  # a folder that stays is no reason to let nobody know
            await asyncio.to_thread(self._bundles.remove, container_id)
        for message in told:
            self._hub.publish(make_event(message, now))
        entry.gone.set_result(ended)

    # Events.

    def _receive(self, envelope: wire_events.Envelope) -> None:
        if envelope.namespace != self._config.namespace or not (
            envelope.topic == EXIT or self._hub.wants(envelope.topic)
        ):
            return
        event = task_event(envelope)
        if event is None:
            return
        entry = self._entries.get(event.container_id)
        if entry is not None and event.topic == EXIT and event.fields["id"] == event.container_id:
            entry.exit = ExitStatus(int(event.fields["exit_status"]), float(event.fields.get("exited_at", event.time)))
        self._hub.publish(event)

    def _lock(self, key: str) -> asyncio.Lock:
        """The lock of a container or of a shim; it exists while somebody holds or awaits it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
