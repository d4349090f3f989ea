"""Exec: another process in a container."""

import asyncio

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeTasks
from wherry.engine.exec import ExecStart
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError


async def test_an_exec_runs_with_its_own_streams(world: World, tasks: FakeTasks) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        execs = session_of_engine.execs
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"], "Env": ["A=1"]}, None))["Id"]
        with pytest.raises(Conflict, match="is not running"):
            await execs.create(container, {"Cmd": ["/other.wasm"]})
        await containers.start(container)
        config = {"Cmd": ["/other.wasm", "hello"], "AttachStdout": True, "AttachStderr": True, "Env": ["B=2"]}
        made = (await execs.create(container, config))["Id"]
        assert (await execs.inspect(made))["Running"] is False
        assert (await containers.inspect(container))["ExecIDs"] == [made]
        session = await execs.start(made, ExecStart())
        assert session is not None
        async with asyncio.timeout(5):
            assert sorted([chunk async for chunk in session.output()]) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        await until(lambda: "exec_die" in world.events.actions(container))
        found = await execs.inspect(made)
        assert (found["ExitCode"], found["Running"]) == (7, False)
        assert found["ProcessConfig"]["arguments"] == ["hello"]
        with pytest.raises(Conflict):
            await execs.start(made, ExecStart())
        assert tasks.tasks[container].execs == {}
        await containers.remove(container, force=True)
        with pytest.raises(NotFound, match="No such exec instance"):
            await execs.inspect(made)


async def test_stdin_and_detaching(world: World, tasks: FakeTasks) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        execs = session_of_engine.execs
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"]}, None))["Id"]
        await containers.start(container)
        config = {"Cmd": ["/x", "cat"], "AttachStdin": True, "AttachStdout": True}
        session = await execs.start((await execs.create(container, config))["Id"], ExecStart())
        assert session is not None
        await session.write(b"abc")
        await session.close_stdin()
        async with asyncio.timeout(5):
            assert [chunk async for chunk in session.output()] == [("stdout", b"abc")]
        detached = (await execs.create(container, {"Cmd": ["/x", "sleep"], "Tty": True}))["Id"]
        assert await execs.start(detached, ExecStart(detach=True, tty=True, size=(24, 80))) is None
        await execs.resize(detached, 10, 20)
        process = tasks.tasks[container].execs[detached]
        assert process.size == (20, 10)
        assert process.process["consoleSize"] == {"height": 24, "width": 80}
        assert "TERM=xterm" in process.process["env"]
        await process.kill(9)
        await until(lambda: detached not in tasks.tasks[container].execs)
        assert (await execs.inspect(detached))["ExitCode"] == 137
        await containers.remove(container, force=True)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (NotFound('exec: "/nope": stat /nope: no such file or directory'), 127),
        (InvalidArgument('exec: "/text": exec format error: not a WebAssembly module'), 126),
    ],
)
async def test_what_cannot_be_run_is_told_in_the_stream(
    world: World, tasks: FakeTasks, fault: WherryError, code: int
) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        execs = session_of_engine.execs
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"]}, None))["Id"]
        await containers.start(container)
        tasks.start_fault = fault
        made = (await execs.create(container, {"Cmd": ["/nope"], "AttachStdout": True}))["Id"]
        session = await execs.start(made, ExecStart())
        assert session is not None
        async with asyncio.timeout(5):
            said = b"".join([data async for _, data in session.output()])
        assert said == f"OCI runtime exec failed: {fault}\r\n".encode()
        found = await execs.inspect(made)
        assert (found["ExitCode"], found["Running"]) == (code, False)
        detached = (await execs.create(container, {"Cmd": ["/nope"]}))["Id"]
        with pytest.raises(type(fault)):
            await execs.start(detached, ExecStart(detach=True))
        assert (await execs.inspect(detached))["ExitCode"] == code
        assert tasks.tasks[container].execs == {}
        tasks.start_fault = None
        await containers.remove(container, force=True)


async def test_nonsense_is_refused(world: World) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"]}, None))["Id"]
        await containers.start(container)
        for config in ({}, {"Cmd": []}, {"Cmd": [1]}, {"Cmd": ["x"], "Tty": "yes"}):
            with pytest.raises(InvalidArgument):
                await session_of_engine.execs.create(container, config)
        with pytest.raises(NotFound):
            await session_of_engine.execs.start("f" * 64, ExecStart())
        await containers.remove(container, force=True)
