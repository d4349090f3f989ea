"""Exec: another process in a container."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeTasks
from wherry.engine.containers.folders import io_folder
from wherry.engine.exec import ExecStart
from wherry.errors import Conflict, InvalidArgument, NotFound, ResourceExhausted, WherryError


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


async def test_an_exec_without_room_for_its_streams_says_so_and_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ResourceExhausted("cannot make a FIFO: no space left on device")

    session_of_engine = world.engine()
    async with session_of_engine as containers:
        execs = session_of_engine.execs
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"]}, None))["Id"]
        await containers.start(container)
        made = (await execs.create(container, {"Cmd": ["/x", "sleep"], "AttachStdout": True}))["Id"]
        monkeypatch.setattr("wherry.engine.containers.folders.make_fifos", full)
        session = await execs.start(made, ExecStart())
        assert session is not None
        async with asyncio.timeout(5):
            said = [chunk async for chunk in session.output()]
        assert said == [("stdout", b"cannot make a FIFO: no space left on device\r\n")]
        assert (await execs.inspect(made))["ExitCode"] == 126


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


@pytest.mark.parametrize("place", ["wherry.engine.exec", "wherry.engine.containers.probes"])
async def test_one_that_begins_as_its_container_goes_leaves_no_folder(
    world: World, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        config = {"Image": "hello", "Cmd": ["sleep"]}
        if place.endswith("probes"):
            config["Healthcheck"] = {"Test": ["CMD", "/x"], "Interval": 10_000_000, "Timeout": 10**9}
        container = (await containers.create(None, config, None))["Id"]
        folder = Path(io_folder(world.services.config.state, container))
        asked = []

        def document(*_: object) -> dict:
            folder.rename(folder.with_name("retired"))  # what an end does, in this very moment
            asked.append(True)
            return {"args": ["/x"]}

        monkeypatch.setattr(f"{place}.exec_document", document)
        await containers.start(container)
        if place.endswith("exec"):
            made = (await session_of_engine.execs.create(container, {"Cmd": ["/x"]}))["Id"]
            with pytest.raises(Conflict, match="is not running"):
                await session_of_engine.execs.start(made, ExecStart(detach=True))
            attached = (await session_of_engine.execs.create(container, {"Cmd": ["/x"], "AttachStdout": True}))["Id"]
            folder.with_name("retired").rename(folder)
            session = await session_of_engine.execs.start(attached, ExecStart())
            assert session is not None
            async with asyncio.timeout(5):
                assert b"is not running" in b"".join([data async for _, data in session.output()])
        else:
            await until(lambda: containers.registry.get(container).record.state.health["Log"])
            assert "is not running" in containers.registry.get(container).record.state.health["Log"][0]["Output"]
        assert asked
        assert not folder.exists()
        await containers.remove(container, force=True)


async def test_those_that_have_ended_are_forgotten_after_a_while_and_those_that_run_are_not(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time_ns()]
    world.services = replace(world.services, clock=lambda: now[0])
    session_of_engine = world.engine()
    async with session_of_engine as containers:
        execs = session_of_engine.execs
        container = (await containers.create(None, {"Image": "hello", "Cmd": ["sleep"]}, None))["Id"]
        await containers.start(container)
        ids = [(await execs.create(container, {"Cmd": ["/x", word]}))["Id"] for word in ("hello", "sleep", "no")]
        for made in ids[:2]:
            await execs.start(made, ExecStart(detach=True))
        await until(lambda: "exec_die" in world.events.actions(container))
        tasks.start_fault = NotFound("no such program")
        failed = (await execs.create(container, {"Cmd": ["/nope"]}))["Id"]
        with pytest.raises(NotFound):
            await execs.start(failed, ExecStart(detach=True))
        tasks.start_fault = None
        assert set((await containers.inspect(container))["ExecIDs"]) == {*ids[1:]}
        for seconds, left in ((200, {*ids, failed}), (200, {*ids[1:]}), (3601, {ids[1]})):
            now[0] += seconds * 1_000_000_000
            made = (await execs.create(container, {"Cmd": ["/x"]}))["Id"]
            known = set()
            for one in (*ids, failed):
                with contextlib.suppress(NotFound):
                    known.add((await execs.inspect(one))["ID"])
            assert known == left
        assert set((await containers.inspect(container))["ExecIDs"]) == {ids[1], made}
        await containers.remove(container, force=True)
