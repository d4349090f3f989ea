"""Tasks without processes: what a container "runs" is a coroutine chosen by its second word. For tests of the engine.

It keeps what shims keep, so that a second engine on the same object finds its containers again.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from wherry.core.tasks.bundle import check_id
from wherry.core.tasks.tasks import ExitStatus, NewTask, Status, TaskEvent, TaskIO, TaskState
from wherry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, WherryError

PID = os.getpid()
"""Of all that pretends to run: a process that there is."""

Behaviour = Callable[["FakeProcess"], Awaitable[int]]


class FakeProcess:
    """A process that is a coroutine. `written` is what it was given on stdin so far."""

    def __init__(self, owner: "FakeTasks", container_id: str, exec_id: str, process: Mapping[str, Any], io: TaskIO):
        self._owner, self._id, self._exec_id = owner, container_id, exec_id
        self.args: list[str] = list(process["args"])
        self.process = process
        self._io = io
        self.status: Status = "created"
        self.signals: list[int] = []
        self.size: tuple[int, int] | None = None
        self._killed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exit: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._life: asyncio.Task[None] | None = None
        self._held = [os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in (io.stdout, io.stderr) if path]
        self._stdin = os.open(io.stdin, os.O_RDONLY | os.O_NONBLOCK) if io.stdin else -1
        self.deleted = False

    @property
    def io(self) -> TaskIO:
        return self._io

    @property
    def container_id(self) -> str:
        return self._id

    @property
    def pid(self) -> int:
        return PID

    async def start(self) -> int:
        self._check()
        if self.status != "created":
            raise FailedPrecondition(f"{self._id} was started before")
        fault = self._owner.start_fault
        if fault is not None:
            raise fault
        self.status = "running"
        behaviour = self._owner.behaviours[self.args[1] if len(self.args) > 1 else "true"]
        self._life = asyncio.create_task(self._live(behaviour))
        self._tell("/tasks/start", pid=PID)
        return self.pid

    async def _live(self, behaviour: Behaviour) -> None:
        mine = asyncio.ensure_future(behaviour(self))
        await asyncio.wait([mine, self._killed], return_when=asyncio.FIRST_COMPLETED)
        code = 128 + self._killed.result() if self._killed.done() else mine.result()
        mine.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await mine
        self.status = "stopped"
        self._close()
        self._ended(code)

    def _ended(self, code: int) -> None:
        ended = ExitStatus(code, time.time())
        self._exit.set_result(ended)
        process = self._exec_id or self._id
        self._tell("/tasks/exit", id=process, pid=PID, exit_status=code, exited_at=ended.exited_at)

    def _tell(self, topic: str, **fields: Any) -> None:
        self._owner.tell(topic, self._id, **fields)

    def write(self, stream: str, data: bytes) -> None:
        """Write output; it must fit into the FIFO."""
        assert os.write(self._held[("stdout", "stderr").index(stream)], data) == len(data)

    async def write_all(self, data: bytes) -> None:
        """Write to stdout, waiting while the FIFO is full, as a process would."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._held[0], view) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def read(self) -> bytes:
        """The next input; b"" at its end."""
        while True:
            try:
                data = os.read(self._stdin, 65536)
            except BlockingIOError:
                data = None
            if data or (data is not None and self.closed_stdin):
                return data
            await asyncio.sleep(0.001)

    closed_stdin = False

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._exit)

    async def kill(self, signal: int, *, everyone: bool = False) -> None:
        self._check()
        if self.status == "stopped":
            raise NotFound(f"{self._id} has ended")
        self.signals.append(signal)
        if signal not in self._owner.ignored and not self._killed.done():
            self._killed.set_result(signal)
            if self._life is None:
                self.status = "stopped"
                self._ended(128 + signal)

    async def resize(self, width: int, height: int) -> None:
        self.size = (width, height)

    async def close_stdin(self) -> None:
        self.closed_stdin = True

    async def state(self) -> TaskState:
        self._check()
        ended = self._exit.result() if self._exit.done() else None
        return TaskState(self.status, 0 if ended else self.pid, ended)

    async def delete(self) -> ExitStatus:
        self._check()
        if self.status in ("running", "paused"):
            raise FailedPrecondition(f"{self._id} still runs")
        self.deleted = True
        self._close()
        self._owner.forget(self._id, self._exec_id)
        self._tell("/tasks/delete", id=self._exec_id or self._id)
        return self._exit.result() if self._exit.done() else ExitStatus(0, 0)

    def _check(self) -> None:
        if self.deleted:
            raise NotFound(f"{self._id} has no task")

    def _close(self) -> None:
        for fd in [*self._held, *([self._stdin] if self._stdin >= 0 else [])]:
            os.close(fd)
        self._held, self._stdin = [], -1

    async def end(self) -> None:
        """Be over, for the test's own end."""
        if self._life is not None and not self._exit.done():
            if not self._killed.done():
                self._killed.set_result(9)
            await self._exit
        self._close()


class FakeTask(FakeProcess):
    """A container's main process."""

    def __init__(self, owner: "FakeTasks", new: NewTask):
        super().__init__(owner, new.container_id, "", new.spec["process"], new.io)
        self.new = new
        self.execs: dict[str, FakeProcess] = {}
        self.updates: list[Mapping[str, Any]] = []

    async def exec(self, exec_id: str, process: Mapping[str, Any], io: TaskIO) -> FakeProcess:
        if exec_id in self.execs:
            raise AlreadyExists(exec_id)
        try:
            made = FakeProcess(self._owner, self._id, exec_id, process, io)
        except FileNotFoundError as error:  # its container was removed meanwhile, and its folder with it
            raise NotFound(f"{error.filename} is not there") from None
        self.execs[exec_id] = made
        return made

    async def process(self, exec_id: str) -> FakeProcess:
        try:
            return self.execs[exec_id]
        except KeyError:
            raise NotFound(exec_id) from None

    async def pids(self) -> Sequence[int]:
        return [PID]

    async def pause(self) -> None:
        self.status = "paused"

    async def resume(self) -> None:
        self.status = "running"

    async def stats(self) -> Mapping[str, Any]:
        return {
            "cpu": {"usage": {"total": 5_000_000}},
            "memory": {"usage": {"usage": 4096, "limit": 1 << 63}},
            "pids": {"current": 1},
        }

    async def update(self, resources: Mapping[str, Any]) -> None:
        self.updates.append(resources)


class FakeStaged:
    """A task that is prepared."""

    def __init__(self, owner: "FakeTasks", new: NewTask) -> None:
        self._owner, self._new = owner, new

    async def create(self) -> FakeTask:
        self._owner.staged.discard(self._new.container_id)
        return await self._owner.create(self._new)

    async def discard(self) -> None:
        self._owner.staged.discard(self._new.container_id)


class FakeTasks:
    """See the module. ``behaviours`` by the second word of the command; ``ignored`` signals do nothing."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self.behaviours = {"true": true, "sleep": sleep, **behaviours}
        self.tasks: dict[str, FakeTask] = {}
        self.created: list[NewTask] = []
        self.refused: list[NewTask] = []
        self.staged: set[str] = set()
        self.ignored: set[int] = set()
        self.create_fault: WherryError | None = None
        self.start_fault: WherryError | None = None
        self._subscribers: list[asyncio.Queue[TaskEvent]] = []
        self._all: list[FakeProcess] = []

    def stage(self, new: NewTask) -> "FakeStaged":
        check_id(new.container_id)
        if new.container_id in self.tasks or new.container_id in self.staged:
            raise AlreadyExists(f"container {new.container_id} has a task already")
        self.staged.add(new.container_id)
        return FakeStaged(self, new)

    async def create(self, new: NewTask) -> FakeTask:
        check_id(new.container_id)
        if self.create_fault is not None:
            self.refused.append(new)
            raise self.create_fault
        if new.container_id in self.tasks:
            raise AlreadyExists(f"container {new.container_id} has a task already")
        if not isinstance(new.spec.get("ociVersion"), str):
            raise InvalidArgument("the spec has no ociVersion")
        task = self.tasks[new.container_id] = FakeTask(self, new)
        self.created.append(new)
        self._all.append(task)
        self.tell("/tasks/create", new.container_id, pid=PID)
        return task

    async def load(self, container_id: str) -> FakeTask:
        check_id(container_id)
        try:
            return self.tasks[container_id]
        except KeyError:
            raise NotFound(f"container {container_id} has no task") from None

    def forget(self, container_id: str, exec_id: str) -> None:
        if exec_id:
            if container_id not in self.tasks:
                raise NotFound(f"container {container_id} has no task")
            self.tasks[container_id].execs.pop(exec_id, None)
        else:
            self.tasks.pop(container_id, None)

    def events(self, topics: Collection[str] = ()) -> AsyncIterator[TaskEvent]:
        """What happens from now on, not only from the first time somebody looks."""
        queue: asyncio.Queue[TaskEvent] = asyncio.Queue()
        self._subscribers.append(queue)
        return _taken(queue, topics)

    def tell(self, topic: str, container_id: str, **fields: Any) -> None:
        for queue in self._subscribers:
            queue.put_nowait(TaskEvent(topic, container_id, fields, time.time()))

    def known_runtimes(self) -> Sequence[str]:
        return ["io.containerd.runc.v2", "io.containerd.wherry.v1"]

    async def ids(self) -> Sequence[str]:
        return list(self.tasks)

    async def close(self) -> None:
        """The engine lets go; what runs goes on."""

    async def end(self) -> None:
        """Be over, for the test's own end."""
        for process in self._all:
            await process.end()


async def _taken(queue: asyncio.Queue[TaskEvent], topics: Collection[str]) -> AsyncIterator[TaskEvent]:
    while True:
        event = await queue.get()
        if not topics or event.topic in topics:
            yield event


async def true(process: FakeProcess) -> int:
    return 0


async def sleep(process: FakeProcess) -> int:
    await asyncio.get_running_loop().create_future()
    return 0
