"""What every runtime behind the Tasks contract does alike. A runtime is a `Harness`: how it is set up, what it runs."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.fakes.tasks import FakeProcess, FakeTasks, sleep
from tests.fifos import read_all
from tests.zig import compile_wasm
from wherry.core.tasks.fifos import FifoReader, FifoWriter, make_fifos
from wherry.core.tasks.runtimes import RuntimeTable
from wherry.core.tasks.shim_tasks import ShimTasks, TasksConfig
from wherry.core.tasks.tasks import NewTask, Task, TaskEvent, TaskIO, Tasks
from wherry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, WherryError
from wherry.oci.mount import Mount

DATA = Path(__file__).parent.parent / "data"
PATH = [*os.environ.get("PATH", "/usr/bin:/bin").split(":"), "/usr/sbin", "/usr/local/sbin", "/sbin"]
DEADLINE = 30


class Harness(Protocol):
    """A runtime under test."""

    runtime: str

    async def open(self, state: Path) -> Tasks:
        """The tasks of an engine with that state folder; a second engine finds those of the first."""

    async def end(self) -> None: ...

    def bundles(self, state: Path) -> list[str]:
        """Ids of containers that something is kept for."""

    def spec(self, container_id: str, args: list[str], *, terminal: bool = False) -> dict[str, Any]: ...

    def rootfs(self, folder: Path) -> list[Mount]:
        """A root that holds the test program as /program."""


class ShimHarness:
    """What both real ones do alike."""

    def config(self, state: Path) -> TasksConfig:
        raise NotImplementedError

    async def open(self, state: Path) -> ShimTasks:
        return await ShimTasks.open(self.config(state))

    async def end(self) -> None:
        return None

    def bundles(self, state: Path) -> list[str]:
        return os.listdir(state / "tasks")


@dataclass
class RuncHarness(ShimHarness):
    runtime: str
    program: Path

    def config(self, state: Path) -> TasksConfig:
        return TasksConfig(
            state=str(state),
            runtimes=RuntimeTable(PATH),
            environ={"PATH": ":".join(PATH)},
            namespace="wherrytest",
            publisher="/bin/true",
        )

    def spec(self, container_id: str, args: list[str], *, terminal: bool = False) -> dict[str, Any]:
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": terminal,
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/"],
                "cwd": "/",
                "capabilities": {"bounding": [], "effective": [], "permitted": []},
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs"},
            "hostname": "test",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
            ],
            "linux": {
                "cgroupsPath": f"/wherrytest/{container_id}",
                "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
            },
        }

    def rootfs(self, folder: Path) -> list[Mount]:
        root = folder / "root"
        for name in ("proc", "dev"):
            (root / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(self.program, root / "program")
        return [Mount("bind", str(root), ("rbind", "rw"))]


@dataclass
class WherryHarness(ShimHarness):
    runtime: str
    program: Path
    cache: Path

    def config(self, state: Path) -> TasksConfig:
        path = [os.path.dirname(sys.executable), *PATH]
        return TasksConfig(
            state=str(state),
            runtimes=RuntimeTable(path),
            environ={"PATH": ":".join(path), "WHERRY_CACHE": str(self.cache)},
            namespace="wherrytest",
            publisher="/bin/true",
        )

    def spec(self, container_id: str, args: list[str], *, terminal: bool = False) -> dict[str, Any]:
        return {
            "ociVersion": "1.1.0",
            "process": {"terminal": terminal, "user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/"},
            "root": {"path": "rootfs"},
            "hostname": "test",
            "linux": {
                "cgroupsPath": f"/wherrytest/{container_id}",
                "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
            },
        }

    def rootfs(self, folder: Path) -> list[Mount]:
        root = folder / "wasmroot"
        root.mkdir(exist_ok=True)
        shutil.copy(self.program, root / "program")
        return [Mount("bind", str(root), ("rbind", "rw"))]


async def hello(process: FakeProcess) -> int:
    process.write("stdout", b"out\n")
    process.write("stderr", b"err\n")
    return 7


async def cat(process: FakeProcess) -> int:
    while data := await process.read():
        await process.write_all(data)
    return 0


async def ready(process: FakeProcess) -> int:
    process.write("stdout", b"ready\n")
    return await sleep(process)


async def flood(process: FakeProcess) -> int:
    await process.write_all(bytes(int(process.args[2])))
    return 0


class FakeHarness:
    """The fake that the engine's tests stand on: it does what shims do, or they prove nothing."""

    runtime = "io.containerd.wherry.v1"

    def __init__(self) -> None:
        self._tasks = FakeTasks({"hello": hello, "cat": cat, "sleep": ready, "flood": flood})

    async def open(self, state: Path) -> FakeTasks:
        return self._tasks

    async def end(self) -> None:
        await self._tasks.end()

    def bundles(self, state: Path) -> list[str]:
        return list(self._tasks.tasks)

    def spec(self, container_id: str, args: list[str], *, terminal: bool = False) -> dict[str, Any]:
        return {"ociVersion": "1.1.0", "process": {"terminal": terminal, "args": args, "cwd": "/"}}

    def rootfs(self, folder: Path) -> list[Mount]:
        return []


@pytest.fixture(scope="session")
def wasm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_wasm(DATA / "task_program.c", tmp_path_factory.mktemp("wasm") / "program")


@pytest.fixture(scope="session")
def wasm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "compiled"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "program"
    subprocess.run(["gcc", "-static", "-O1", "-o", path, DATA / "task_program.c"], check=True)
    return path


@pytest.fixture(params=["io.containerd.runc.v2", "io.containerd.wherry.v1", "fake"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    made = _harness(request)
    yield made
    await made.end()


def _harness(request: pytest.FixtureRequest) -> Harness:
    if request.param == "fake":
        return FakeHarness()
    if request.param == "io.containerd.runc.v2":
        return RuncHarness(request.param, request.getfixturevalue("program"))
    return WherryHarness(request.param, request.getfixturevalue("wasm_program"), request.getfixturevalue("wasm_cache"))


@pytest.fixture
def state(harness: Harness) -> "AsyncIterator[Path]":
    # Short: unix sockets lie in it.
    path = Path("/tmp") / f"wt-{uuid.uuid4().hex[:8]}"
    path.mkdir(mode=0o700)
    yield path  # type: ignore[misc]
    shutil.rmtree(path)


@pytest.fixture
async def tasks(harness: Harness, state: Path) -> AsyncIterator[Tasks]:
    opened = await harness.open(state)
    yield opened
    await opened.close()


@pytest.fixture
async def bench(harness: Harness, tasks: Tasks, state: Path, tmp_path: Path) -> AsyncIterator["Bench"]:
    made = Bench(harness, tasks, state, tmp_path)
    yield made
    await made.clean()


class Bench:
    """Makes tasks, reads their output, and clears them away whatever the test did."""

    def __init__(self, harness: Harness, tasks: Tasks, state: Path, folder: Path) -> None:
        self.harness, self.tasks, self.state, self.folder = harness, tasks, state, folder
        self.made: list[str] = []

    def io(self, container_id: str, **options: bool) -> TaskIO:
        return make_fifos(str(self.state / "io" / container_id), **options)

    def new(self, *args: str, io: TaskIO | None = None, container_id: str = "") -> NewTask:
        container_id = container_id or uuid.uuid4().hex
        self.made.append(container_id)
        terminal = io is not None and io.terminal
        return NewTask(
            container_id=container_id,
            runtime=self.harness.runtime,
            spec=self.harness.spec(container_id, ["/program", *args], terminal=terminal),
            rootfs=self.harness.rootfs(self.folder),
            io=io or TaskIO(),
        )

    async def create(self, *args: str, **options: bool) -> tuple[Task, TaskIO]:
        container_id = uuid.uuid4().hex
        io = self.io(container_id, **options)
        return await self.tasks.create(self.new(*args, io=io, container_id=container_id)), io

    async def clean(self) -> None:
        for container_id in self.made:
            try:
                task = await self.tasks.load(container_id)
            except NotFound:
                continue
            if (await task.state()).status in ("running", "paused"):
                await task.kill(signal.SIGKILL)
                await task.wait()
            await task.delete()


async def collect(events: AsyncIterator[TaskEvent], container_id: str, last: str) -> list[TaskEvent]:
    found = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            if event.container_id == container_id:
                found.append(event)
                if event.topic == last:
                    break
    return found


async def test_life_of_a_task(bench: Bench) -> None:
    events = bench.tasks.events()
    ends = bench.tasks.events(("/tasks/exit", "/tasks/delete"))
    task, io = await bench.create("hello")
    assert (await task.state()).status == "created"
    assert task.pid > 0
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_all(io.stdout))
        err = group.create_task(read_all(io.stderr))
        waiting = group.create_task(task.wait())
        assert await task.start() == task.pid
    assert (out.result(), err.result(), waiting.result().code) == (b"out\n", b"err\n", 7)
    state = await task.state()
    assert state.status == "stopped"
    assert state.exit is not None
    assert state.exit.code == 7
    assert (await task.wait()).code == 7
    assert (await task.delete()).code == 7
    heard = await collect(events, task.container_id, "/tasks/delete")
    topics = [event.topic for event in heard]
    assert topics == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    assert heard[2].fields["exit_status"] == 7
    told = await collect(ends, task.container_id, "/tasks/delete")
    assert [event.topic for event in told] == topics[2:]
    assert heard[2].fields["id"] == task.container_id
    assert abs(heard[2].fields["exited_at"] - heard[2].time) < DEADLINE
    assert await bench.tasks.ids() == []
    assert bench.harness.bundles(bench.state) == []
    with pytest.raises(NotFound):
        await bench.tasks.load(task.container_id)


async def test_stdin_reaches_the_program_and_ends(bench: Bench) -> None:
    task, io = await bench.create("cat", stdin=True)
    writer = FifoWriter(io.stdin)
    payload = os.urandom(3 << 20)  # more than all pipes on the way hold: backpressure both ways
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_all(io.stdout))
        await task.start()
        await writer.write(payload)
        writer.close()
        await task.close_stdin()
        assert (await task.wait()).code == 0
    assert out.result() == payload


async def test_kill_by_signal(bench: Bench) -> None:
    task, io = await bench.create("sleep")
    reader = FifoReader(io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"ready\n"
        waiters = [asyncio.ensure_future(task.wait()) for _ in range(3)]
        await task.kill(signal.SIGKILL)
        assert [status.code for status in await asyncio.gather(*waiters)] == [137] * 3
        assert await reader.read() == b""
    reader.close()
    with pytest.raises(NotFound):
        await task.kill(signal.SIGTERM)


async def test_delete_of_a_running_task_is_refused(bench: Bench) -> None:
    task, _ = await bench.create("sleep")
    await task.start()
    with pytest.raises(FailedPrecondition, match="still runs"):
        await task.delete()
    assert (await task.state()).status == "running"


async def test_a_task_starts_once(bench: Bench) -> None:
    task, _ = await bench.create("sleep")
    await task.start()
    with pytest.raises(FailedPrecondition, match="started before"):
        await task.start()


async def test_a_created_task_can_be_deleted(bench: Bench) -> None:
    task, _ = await bench.create("sleep")
    async with asyncio.timeout(DEADLINE):
        await task.delete()
    assert await bench.tasks.ids() == []


async def test_two_tasks_with_one_id(bench: Bench) -> None:
    task, _ = await bench.create("sleep")
    with pytest.raises(AlreadyExists):
        await bench.tasks.create(bench.new("sleep", container_id=task.container_id))
    assert (await task.state()).status == "created"


@pytest.mark.parametrize("identifier", ["", "..", "a/b", "../../x", "a\n", "x" * 100, ".hidden", "a..b"])
async def test_ids_that_would_leave_the_folder(bench: Bench, identifier: str) -> None:
    new = NewTask(identifier, bench.harness.runtime, {}, [], TaskIO())
    with pytest.raises(InvalidArgument):
        await bench.tasks.create(new)
    with pytest.raises(InvalidArgument):
        await bench.tasks.load(identifier)


async def test_pids_and_stats(bench: Bench) -> None:
    task, io = await bench.create("sleep")
    reader = FifoReader(io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"ready\n"
    reader.close()
    assert task.pid in await task.pids()
    figures = await task.stats()
    assert figures["pids"]["current"] >= 1
    assert figures["memory"]["usage"]["usage"] >= 0


async def test_pause_and_resume(bench: Bench) -> None:
    task, _ = await bench.create("sleep")
    await task.start()
    await task.pause()
    assert (await task.state()).status == "paused"
    await task.resume()
    assert (await task.state()).status == "running"


async def test_output_arrives_whole(bench: Bench) -> None:
    size = 64 << 20
    task, io = await bench.create("flood", str(size))
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_all(io.stdout))
        await task.start()
        assert (await task.wait()).code == 0
    assert len(out.result()) == size


async def test_another_engine_finds_the_task(bench: Bench, harness: Harness, state: Path) -> None:
    task, io = await bench.create("sleep")
    reader = FifoReader(io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"ready\n"
    await bench.tasks.close()
    bench.tasks = await harness.open(state)
    try:
        assert await bench.tasks.ids() == [task.container_id]
        found = await bench.tasks.load(task.container_id)
        events = bench.tasks.events()
        assert (found.pid, found.io, (await found.state()).status) == (task.pid, io, "running")
        assert await bench.tasks.load(task.container_id) is found
        await found.kill(signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            assert (await found.wait()).code == 137
        exits = await collect(events, task.container_id, "/tasks/exit")
        assert exits[-1].fields["exit_status"] == 137
    finally:
        reader.close()
        await bench.clean()
        await bench.tasks.close()


async def test_a_task_that_ended_meanwhile_is_found_with_its_exit(bench: Bench, harness: Harness, state: Path) -> None:
    task, io = await bench.create("hello")
    # Somebody must take its output, or a shim may rightly keep the end from us.
    readers = [FifoReader(io.stdout), FifoReader(io.stderr)]
    await bench.tasks.close()
    pid = task.pid
    bench.tasks = await harness.open(state)
    try:
        other = await harness.open(state)
        await (await other.load(task.container_id)).start()
        await other.close()
        found = await bench.tasks.load(task.container_id)
        async with asyncio.timeout(DEADLINE):
            assert (await found.wait()).code == 7
        ended = await found.state()
        assert (found.pid, ended.status, ended.exit and ended.exit.code) == (pid, "stopped", 7)
    finally:
        for reader in readers:
            reader.close()
        await bench.clean()
        await bench.tasks.close()


async def test_a_failed_create_leaves_nothing(bench: Bench, state: Path) -> None:
    new = bench.new()
    bad = NewTask(new.container_id, new.runtime, {**new.spec, "ociVersion": 5}, new.rootfs, new.io)
    with pytest.raises(WherryError) as raised:
        await bench.tasks.create(bad)
    assert "\n" not in str(raised.value)
    assert bench.harness.bundles(state) == []
    assert await bench.tasks.ids() == []
    task, _ = await bench.create("hello")
    assert (await task.state()).status == "created"
