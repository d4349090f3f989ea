"""The engine over real shims: runc's for a native program, wherry's for the same program as WASM."""

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.engine import LINUX, WASM, World
from tests.zig import compile_wasm
from wherry.core.modules.subprocess_compiler import CompilerConfig, SubprocessCompiler
from wherry.core.tasks.runtimes import RuntimeTable
from wherry.core.tasks.shim_tasks import ShimTasks, TasksConfig
from wherry.engine.attach import AttachOptions
from wherry.engine.containers.containers import Containers, LogQuery
from wherry.engine.exec import ExecStart
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.wasm.library import library_path

SOURCE = Path(__file__).parent.parent / "data" / "task_program.c"
PATH = [os.path.dirname(sys.executable), *os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
ALL = AttachOptions(stdin=True, stdout=True, stderr=True)
DEADLINE = 30


@dataclass(frozen=True)
class Built:
    """The program for both, and the folder of compiled modules."""

    native: bytes
    module: bytes
    cache: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("engine-programs")
    subprocess.run(["gcc", "-static", "-O1", "-o", folder / "native", SOURCE], check=True)
    compile_wasm(SOURCE, folder / "module")
    return Built((folder / "native").read_bytes(), (folder / "module").read_bytes(), folder / "compiled")


@pytest.fixture
def state() -> Iterator[Path]:
    # Short: unix sockets lie in it.
    folder = Path("/tmp") / f"we-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


def tasks_config(state: Path, built: Built) -> TasksConfig:
    environ = {"PATH": ":".join(PATH), "WHERRY_CACHE": str(built.cache)}
    return TasksConfig(str(state), RuntimeTable(PATH), environ, namespace="wherryengine", publisher="/bin/true")


@pytest.fixture
async def world(state: Path, tmp_path: Path, built: Built) -> AsyncIterator[World]:
    tasks = await ShimTasks.open(tasks_config(state, built))
    compiler = SubprocessCompiler(CompilerConfig(str(built.cache), library_path(sys.path)))
    made = World(tmp_path, tasks, overlay=True, compiler=compiler)
    made.add_image("wasm", WASM, {"program.wasm": built.module, "notes.txt": b"text"}, entrypoint=("/program.wasm",))
    made.add_image("linux", LINUX, {"program": built.native}, entrypoint=("/program",))
    yield made
    async with made.engine() as containers:
        for row in await containers.list(all=True):
            await containers.remove(row["Id"], force=True)
    await made.tasks.close()
    made.close()


@pytest.fixture(params=["wasm", "linux"])
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def create(containers: Containers, image: str, *words: str, **more: object) -> str:
    body = {"Image": image, "Cmd": list(words), "HostConfig": {"NetworkMode": "none"}, **more}
    return str((await containers.create(None, body, None))["Id"])


async def logged(containers: Containers, ref: str) -> list[tuple[str, bytes]]:
    return [chunk async for batch in await containers.logs(ref, LogQuery()) for chunk in batch]


async def test_output_exit_code_and_log(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "hello")
        session = await containers.attach(container, ALL)
        waiter = await containers.wait(container, "next-exit")
        await containers.start(container)
        assert sorted([chunk async for chunk in session.output()]) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        assert await waiter == {"StatusCode": 7}
        assert sorted(await logged(containers, container)) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        await containers.start(container)
        await (await containers.wait(container))
        await containers.remove(container)


async def test_stdin(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "cat", OpenStdin=True, StdinOnce=True)
        session = await containers.attach(container, ALL)
        await containers.start(container)
        sent = os.urandom(300_000)

        async def feed() -> None:
            await session.write(sent)
            await session.close_stdin()

        feeding = asyncio.create_task(feed())
        assert b"".join([data async for _, data in session.output()]) == sent
        await feeding
        assert (await (await containers.wait(container)))["StatusCode"] == 0


async def test_a_flood_with_a_client_that_never_reads(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "flood", str(32 << 20))
        deaf = await containers.attach(container, ALL)
        await containers.start(container)
        assert (await (await containers.wait(container)))["StatusCode"] == 0
        assert deaf.cut
        assert sum(len(data) for _, data in await logged(containers, container)) == 32 << 20


async def test_stop_pause_and_kill(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "sleep")
        session = await containers.attach(container, ALL)
        await containers.start(container)
        assert [chunk async for chunk in _first(session.output())] == [("stdout", b"ready\n")]
        await containers.pause(container)
        assert (await containers.list())[0]["Status"].endswith("(Paused)")
        await containers.unpause(container)
        await containers.stop(container, timeout=1)
        assert (await containers.inspect(container))["State"]["ExitCode"] in (137, 143)


async def test_a_terminal(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "hello", Tty=True)
        session = await containers.attach(container, ALL)
        assert session.tty
        await containers.start(container)
        assert b"".join([data async for _, data in session.output()]) == b"out\r\nerr\r\n"


async def test_exec(world: World, image: str) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, "sleep")
        await containers.start(container)
        program = "/program.wasm" if image == "wasm" else "/program"
        made = await session_of_engine.execs.create(container, {"Cmd": [program, "hello"], "AttachStdout": True})
        session = await session_of_engine.execs.start(made["Id"], ExecStart())
        assert session is not None
        assert [chunk async for chunk in session.output()] == [("stdout", b"out\n")]
        while (await session_of_engine.execs.inspect(made["Id"]))["Running"]:
            await asyncio.sleep(0.01)
        assert (await session_of_engine.execs.inspect(made["Id"]))["ExitCode"] == 7
        await containers.remove(container, force=True)


async def test_the_engine_comes_back(world: World, image: str, state: Path, built: Built) -> None:
    async with asyncio.timeout(DEADLINE):
        async with world.engine() as containers:
            running = await create(containers, image, "sleep")
            ending = await create(containers, image, "cat", OpenStdin=True)
            for container in (running, ending):
                await containers.start(container)
        await world.tasks.close()
        pid = world.services.containers.get(ending).extensions["docker"]["state"]["pid"]
        os.kill(pid, 9)
        world.replace_tasks(await ShimTasks.open(tasks_config(state, built)))
        async with world.engine() as containers:
            assert (await (await containers.wait(ending)))["StatusCode"] == 137
            assert (await containers.inspect(running))["State"]["Running"] is True
            assert await logged(containers, running) == [("stdout", b"ready\n")]
            await containers.kill(running)


async def test_what_cannot_be_run(world: World, image: str) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, image, Entrypoint=["/nope"])
        with pytest.raises(WherryError, match="no such file or directory"):
            await containers.start(container)
        state = (await containers.inspect(container))["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 127)


async def test_a_text_is_no_module(world: World) -> None:
    async with world.engine() as containers, asyncio.timeout(DEADLINE):
        container = await create(containers, "wasm", Entrypoint=["/notes.txt"])
        with pytest.raises(InvalidArgument, match="exec format error"):
            await containers.start(container)
        assert (await containers.inspect(container))["State"]["ExitCode"] == 126
        await containers.remove(container)
        with pytest.raises(NotFound):
            await containers.inspect(container)


async def _first(chunks: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[tuple[str, bytes]]:
    async for chunk in chunks:
        yield chunk
        return
