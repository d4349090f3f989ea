"""Debian's containerd-shim-runc-v2 under our driver: what is not every runtime's (see tests/contract/test_tasks)."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.test_tasks import DEADLINE, Bench, RuncHarness, collect
from tests.fifos import read_all
from wherry.core.tasks.fifos import FifoReader
from wherry.core.tasks.shim_tasks import ShimTasks
from wherry.core.tasks.tasks import NewTask, TaskIO
from wherry.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound, WherryError
from wherry.oci.mount import Mount
from wherry.wire.task import ConnectResponse, TaskRequest

RUNC_ROOT = Path("/run/containerd/runc/wherrytest")


@pytest.fixture(scope="session")
def native_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "program"
    source = Path(__file__).parent.parent / "data" / "task_program.c"
    subprocess.run(["gcc", "-static", "-O1", "-o", path, source], check=True)
    return path


@pytest.fixture
def short_path() -> Iterator[Path]:
    path = Path("/tmp") / f"wt-{uuid.uuid4().hex[:8]}"
    path.mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def runc(native_program: Path, short_path: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    harness = RuncHarness("io.containerd.runc.v2", native_program)
    tasks = await ShimTasks.open(harness.config(short_path))
    bench = Bench(harness, tasks, short_path, tmp_path)
    yield bench
    await bench.clean()
    await bench.tasks.close()


async def shim_pid(bench: Bench, container_id: str) -> int:
    shim = bench.tasks._entries[container_id].shim
    return (await shim.call("Connect", TaskRequest(id=container_id), ConnectResponse)).shim_pid


def processes_of(container_id: str) -> list[int]:
    """Shims that have the id among their arguments."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if container_id.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


async def gone(pid: int) -> None:
    """Return when a process that is no child of ours has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)


async def test_a_missing_program_is_told_and_leaves_nothing(runc: Bench) -> None:
    new = runc.new()
    spec = runc.harness.spec(new.container_id, ["/nope"])
    with pytest.raises(Internal, match=r'exec: "/nope": stat /nope: no such file or directory'):
        await runc.tasks.create(replace(new, spec=spec))
    assert os.listdir(runc.state / "tasks") == []
    assert not (RUNC_ROOT / new.container_id).exists()
    assert not Path(f"/sys/fs/cgroup/pids/wherrytest/{new.container_id}").exists()
    assert str(runc.state) not in Path("/proc/self/mounts").read_text()


async def test_an_unmountable_root_is_told_and_leaves_nothing(runc: Bench) -> None:
    new = runc.new()
    rootfs = [Mount(new.rootfs[0].type, "/does/not/exist", new.rootfs[0].options)]
    with pytest.raises(WherryError, match=r"/does/not/exist|no such file"):
        await runc.tasks.create(replace(new, rootfs=rootfs))
    assert os.listdir(runc.state / "tasks") == []


async def test_a_cancelled_create_leaves_nothing(runc: Bench) -> None:
    new = runc.new("sleep")
    creating = asyncio.ensure_future(runc.tasks.create(new))
    while not (runc.state / "tasks" / new.container_id / "address").exists():
        await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    for pid in processes_of(new.container_id):
        await gone(pid)
    assert os.listdir(runc.state / "tasks") == []
    assert not (RUNC_ROOT / new.container_id).exists()


async def test_the_shim_dies(runc: Bench) -> None:
    task, io = await runc.create("sleep")
    reader = FifoReader(io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"ready\n"
        events = runc.tasks.events()
        waiters = [asyncio.ensure_future(task.wait()) for _ in range(2)]
        os.kill(await shim_pid(runc, task.container_id), signal.SIGKILL)
        assert [status.code for status in await asyncio.gather(*waiters)] == [137, 137]
        assert await reader.read() == b""
    reader.close()
    heard = await collect(events, task.container_id, "/tasks/exit")
    assert heard[-1].fields["exit_status"] == 137
    assert await runc.tasks.ids() == []
    assert not (RUNC_ROOT / task.container_id).exists()
    assert (await task.delete()).code == 137
    with pytest.raises(NotFound):
        await runc.tasks.load(task.container_id)


async def test_the_shim_dies_while_no_engine_is_there(runc: Bench) -> None:
    task, _ = await runc.create("sleep")
    pid = await task.start()
    shim = await shim_pid(runc, task.container_id)
    await runc.tasks.close()
    os.kill(shim, signal.SIGKILL)
    await gone(shim)
    runc.tasks = await ShimTasks.open(runc.harness.config(runc.state))
    with pytest.raises(NotFound, match="its shim died"):
        await runc.tasks.load(task.container_id)
    assert await runc.tasks.ids() == []
    with contextlib.suppress(ProcessLookupError):
        await gone(pid)
    assert not (RUNC_ROOT / task.container_id).exists()


async def test_an_engine_killed_between_start_and_create(runc: Bench, native_program: Path) -> None:
    """The bundle is there and a shim listens, but there is no task and nobody noted the address."""
    new = runc.new("sleep")
    task = await runc.tasks.create(new)
    pid = await shim_pid(runc, new.container_id)
    bundle = runc.state / "tasks" / new.container_id
    record = (bundle / "task.json").read_text()
    await runc.tasks.close()
    (bundle / "task.json").write_text(record.replace((bundle / "address").read_text()[len("unix://") :], ""))
    runc.tasks = await ShimTasks.open(runc.harness.config(runc.state))
    assert (await runc.tasks.load(new.container_id)).pid == task.pid
    await runc.tasks.close()
    command = ("runc", "--root", str(RUNC_ROOT), "delete", "--force", new.container_id)
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
    (bundle / "address").unlink()
    runc.tasks = await ShimTasks.open(runc.harness.config(runc.state))
    with pytest.raises(NotFound):
        await runc.tasks.load(new.container_id)
    assert os.listdir(runc.state / "tasks") == []
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def test_exec(runc: Bench) -> None:
    task, _ = await runc.create("sleep")
    await task.start()
    exec_io = runc.io("exec")
    process = runc.harness.spec("x", ["/program", "hello"])["process"]
    made = await task.exec("one", process, exec_io)
    with pytest.raises(AlreadyExists):
        await task.exec("one", process, exec_io)
    with pytest.raises(InvalidArgument):
        await task.exec("../one", process, exec_io)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out, err = group.create_task(read_all(exec_io.stdout)), group.create_task(read_all(exec_io.stderr))
        waiting = group.create_task(made.wait())
        pid = await made.start()
    assert pid != task.pid
    assert (out.result(), err.result(), waiting.result().code) == (b"out\n", b"err\n", 7)
    found = await task.process("one")
    assert (found.io, (await found.state()).status) == (exec_io, "stopped")
    assert (await found.delete()).code == 7
    with pytest.raises(NotFound):
        await task.process("one")
    assert (await task.state()).status == "running"


async def test_terminal(runc: Bench) -> None:
    task, io = await runc.create("hello", terminal=True)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_all(io.stdout))
        await task.resize(100, 40)
        await task.start()
        assert (await task.wait()).code == 7
    assert out.result() == b"out\r\nerr\r\n"
    assert io.stderr == ""


async def test_crun_is_asked_for_by_name(runc: Bench) -> None:
    """crun refuses machines whose cgroups are hybrid; its own words prove that it was the one to run."""
    new = replace(runc.new("hello"), runtime="crun")
    hybrid = Path("/sys/fs/cgroup/unified").exists()
    if hybrid:
        with pytest.raises(Internal, match="cgroups in hybrid mode not supported"):
            await runc.tasks.create(new)
        assert os.listdir(runc.state / "tasks") == []
    else:
        task = await runc.tasks.create(new)
        assert (await task.state()).status == "created"


async def test_no_shim_of_that_name(runc: Bench) -> None:
    new = NewTask("x", "io.containerd.nothere.v9", {}, [], TaskIO())
    with pytest.raises(FailedPrecondition, match="containerd-shim-nothere-v9 is not on PATH"):
        await runc.tasks.create(new)
    with pytest.raises(InvalidArgument, match=r"unknown or invalid runtime name: nonsense \(known: .*runc"):
        await runc.tasks.create(replace(new, runtime="nonsense"))


async def test_damaged_record(runc: Bench) -> None:
    task, _ = await runc.create("sleep")
    await runc.tasks.close()
    record = runc.state / "tasks" / task.container_id / "task.json"
    saved = record.read_bytes()
    runc.tasks = await ShimTasks.open(runc.harness.config(runc.state))
    for damage in (b"", b"{", b"[]", b"null", b'{"io": {}}', b"\xff" * 100, saved.replace(b"binary", b"banary")):
        record.write_bytes(damage)
        with pytest.raises(WherryError, match="damaged"):
            await runc.tasks.load(task.container_id)
    record.write_bytes(saved)
    assert (await (await runc.tasks.load(task.container_id)).state()).status == "created"
