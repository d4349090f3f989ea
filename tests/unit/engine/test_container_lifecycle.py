"""From create to removal: what a container goes through, and what is told of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeTasks
from wherry.engine.attach import AttachOptions, AttachSession
from wherry.engine.containers import supervisor
from wherry.engine.containers.containers import Containers, LogQuery
from wherry.errors import Conflict, InvalidArgument, NotFound, NotModified, ResourceExhausted, Unavailable

ALL = AttachOptions(stdin=True, stdout=True, stderr=True)


class Unread(NamedTuple):
    """A client that has taken nothing yet, and the answer to wait, as it comes."""

    session: AttachSession
    waiter: asyncio.Future[dict[str, Any]]


async def create(containers: Containers, *words: str, name: str | None = None, **more: Any) -> str:
    body = {"Image": "hello", "Cmd": list(words), **more}
    created = await containers.create(name, body, None)
    return str(created["Id"])


async def run(containers: Containers, *words: str, **more: Any) -> tuple[str, int]:
    """Create, start, wait: the id and the exit code."""
    container = await create(containers, *words, **more)
    waiter = await containers.wait(container, "next-exit")
    await containers.start(container)
    return container, (await waiter)["StatusCode"]


async def output(containers: Containers, ref: str) -> list[tuple[str, bytes]]:
    return [chunk async for batch in await containers.logs(ref, LogQuery()) for chunk in batch]


async def test_a_container_runs_and_its_record_tells_of_it(world: World) -> None:
    async with world.engine() as containers:
        container, code = await run(containers, "hello", name="boat")
        assert code == 7
        found = await containers.inspect("boat")
        assert found["Id"] == container
        assert found["State"]["Status"] == "exited"
        assert found["State"]["ExitCode"] == 7
        assert found["State"]["Pid"] == 0
        assert found["State"]["StartedAt"] < found["State"]["FinishedAt"]
        assert found["Platform"] == "wasi"
        assert found["Path"] == "/hello.wasm"
        assert found["Args"] == ["hello"]
        assert sorted(await output(containers, "boat")) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        assert world.events.actions(container) == ["create", "start", "die"]
        await containers.remove("boat")
        with pytest.raises(NotFound, match="No such container: boat"):
            await containers.inspect("boat")
        assert world.events.actions(container)[-1] == "destroy"
    assert list(world.services.containers.walk()) == []
    assert not (world.folder / "containers" / container).exists()
    assert [info.key for info in world.snapshots.walk()] == ["image-hello"]


async def test_an_attached_client_sees_all_output_and_its_end(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "hello")
        session = await containers.attach(container, ALL)
        await containers.start(container)
        async with asyncio.timeout(5):
            assert sorted([chunk async for chunk in session.output()]) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        await session.aclose()


@contextlib.asynccontextmanager
async def ended_unread(world: World, longest: float, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Unread]:
    """A container that has ended, attached clients being given ``longest`` seconds to take their output."""
    monkeypatch.setattr(supervisor, "_HEARD", longest)
    async with world.engine() as containers:
        container = await create(containers, "hello")
        session = await containers.attach(container, ALL)
        waiter = asyncio.ensure_future(await containers.wait(container, "next-exit"))
        await containers.start(container)
        await until(lambda: "die" in world.events.actions(container))
        yield Unread(session, waiter)
        await session.aclose()


async def test_a_client_that_reads_late_has_its_output_before_wait_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(10), ended_unread(world, 60, monkeypatch) as (session, waiter):
        chunks = session.output()
        assert {await anext(chunks), await anext(chunks)} == {("stderr", b"err\n"), ("stdout", b"out\n")}
        # The last is in its hands, and perhaps not on its way yet: it has it once it asks for more.
        assert not waiter.done()
        assert [chunk async for chunk in chunks] == []
        assert (await waiter)["StatusCode"] == 7


async def test_a_client_that_goes_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(10), ended_unread(world, 60, monkeypatch) as (session, waiter):
        assert not waiter.done()
        await session.aclose()
        assert (await waiter)["StatusCode"] == 7


async def test_a_client_that_never_reads_delays_the_answer_to_wait_by_the_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    async with asyncio.timeout(10), ended_unread(world, 0.2, monkeypatch) as (session, waiter):
        assert (await waiter)["StatusCode"] == 7
        assert time.monotonic() - begun >= 0.2
        # It loses nothing by it.
        assert sorted([chunk async for chunk in session.output()]) == [("stderr", b"err\n"), ("stdout", b"out\n")]


async def test_who_asks_for_the_end_while_it_is_heard_waits_like_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_HEARD", 60)
    async with asyncio.timeout(10), world.engine() as containers:
        container = await create(containers, "hello")
        session = await containers.attach(container, ALL)
        await containers.start(container)
        await until(lambda: not containers.registry.get(container).running)
        waiter = asyncio.ensure_future(await containers.wait(container))
        await asyncio.sleep(0.01)
        assert not waiter.done()
        assert len([chunk async for chunk in session.output()]) == 2
        assert (await waiter)["StatusCode"] == 7
        await session.aclose()


async def test_one_whose_client_never_reads_is_removed_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_HEARD", 60)
    async with asyncio.timeout(10), world.engine() as containers:
        container = await create(containers, "hello")
        session = await containers.attach(container, ALL)
        ended = asyncio.ensure_future(await containers.wait(container, "next-exit"))
        removed = asyncio.ensure_future(await containers.wait(container, "removed"))
        await containers.start(container)
        await until(lambda: not containers.registry.get(container).running)
        await containers.remove(container)
        with pytest.raises(NotFound):
            await containers.inspect(container)
        # Who waits is told when the last words were heard, as ever, and in order.
        assert not ended.done()
        assert not removed.done()
        assert len([chunk async for chunk in session.output()]) == 2
        assert [(await told)["StatusCode"] for told in (ended, removed)] == [7, 7]
        await session.aclose()


async def test_the_next_run_begins_when_the_last_ones_end_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_HEARD", 60)
    async with asyncio.timeout(10), world.engine() as containers:
        container = await create(containers, "hello")
        session = await containers.attach(container, ALL)
        await containers.start(container)
        await until(lambda: containers.registry.get(container).farewell)
        last = asyncio.ensure_future(await containers.wait(container))
        starting = asyncio.create_task(containers.start(container))
        await asyncio.sleep(0)
        assert not last.done()
        assert not starting.done()
        await session.aclose()
        await starting
        assert (await last)["StatusCode"] == 7
        assert world.events.actions(container).count("start") == 2


async def test_one_that_removes_itself_does_so_when_its_last_words_were_heard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_HEARD", 60)
    async with asyncio.timeout(10), world.engine() as containers:
        container = await create(containers, "hello", HostConfig={"AutoRemove": True})
        session = await containers.attach(container, ALL)
        removed = asyncio.ensure_future(await containers.wait(container, "removed"))
        await containers.start(container)
        await until(lambda: containers.registry.get(container).farewell)
        assert "destroy" not in world.events.actions(container)
        assert len([chunk async for chunk in session.output()]) == 2
        assert (await removed)["StatusCode"] == 7
        await session.aclose()


async def test_without_clients_wait_is_answered_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_HEARD", 60)
    async with asyncio.timeout(10), world.engine() as containers:
        assert (await run(containers, "hello"))[1] == 7
        container = await create(containers, "hello")
        await (await containers.attach(container, ALL)).aclose()  # one that has gone before the end
        waiter = await containers.wait(container, "next-exit")
        await containers.start(container)
        assert (await waiter)["StatusCode"] == 7


async def test_stdin_reaches_the_container_and_its_end_too(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "cat", OpenStdin=True, StdinOnce=True, AttachStdin=True)
        session = await containers.attach(container, ALL)
        # Before the start: the bytes wait for the process.
        typing = asyncio.create_task(session.write(b"to and fro\n"))
        await containers.start(container)
        await typing
        await session.close_stdin()
        async with asyncio.timeout(5):
            assert b"".join([data async for _, data in session.output()]) == b"to and fro\n"
        assert (await (await containers.wait(container)))["StatusCode"] == 0


async def test_remove_of_itself(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "hello", HostConfig={"AutoRemove": True})
        waiter = await containers.wait(container, "removed")
        await containers.start(container)
        assert await waiter == {"StatusCode": 7}
        with pytest.raises(NotFound):
            await containers.inspect(container)


async def test_stop_asks_first_and_then_kills(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        polite = await create(containers, "sleep", name="polite")
        await containers.start(polite)
        await containers.stop(polite)
        assert (await containers.inspect(polite))["State"]["ExitCode"] == 143
        with pytest.raises(NotModified):
            await containers.stop(polite)
        tasks.ignored = {15}
        rude = await create(containers, "sleep", name="rude")
        await containers.start(rude)
        task = tasks.tasks[rude]
        await containers.stop(rude, timeout=0)
        assert task.signals == [15, 9]
        assert (await containers.inspect(rude))["State"]["ExitCode"] == 137
        assert world.events.actions(rude) == ["create", "start", "kill", "kill", "die", "stop"]


async def test_what_states_refuse(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep", name="boat")
        for refused, text in (
            (containers.kill("boat"), "is not running"),
            (containers.pause("boat"), "is not running"),
            (containers.unpause("boat"), "is not paused"),
        ):
            with pytest.raises(Conflict, match=text):
                await refused
        await containers.start("boat")
        with pytest.raises(NotModified):
            await containers.start("boat")
        with pytest.raises(Conflict, match="stop the container before removing or force remove"):
            await containers.remove("boat")
        await containers.pause("boat")
        assert (await containers.inspect("boat"))["State"]["Paused"] is True
        with pytest.raises(Conflict, match="unpause the container before attach"):
            await containers.attach("boat", ALL)
        await containers.unpause("boat")
        await containers.remove("boat", force=True)
        assert world.events.actions(container)[-3:] == ["kill", "die", "destroy"]


async def test_names_are_unique_and_prefixes_must_be(world: World) -> None:
    async with world.engine() as containers:
        first = await create(containers, "true", name="boat")
        await create(containers, "true")
        with pytest.raises(Conflict, match=f'"/boat" is already in use by container "{first}"'):
            await create(containers, "true", name="boat")
        with pytest.raises(InvalidArgument, match="Multiple IDs found with provided prefix: 0"):
            await containers.inspect("0")
        assert (await containers.inspect(first[:4]))["Name"] == "/boat"
        await containers.rename("boat", "ship")
        again = await create(containers, "true", name="boat")
        with pytest.raises(Conflict):
            await containers.rename("ship", "boat")
        assert (await containers.inspect("ship"))["Id"] == first
        assert (await containers.inspect("boat"))["Id"] == again


async def test_a_start_that_fails_is_recorded_and_leaves_nothing(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        missing = await create(containers, name="missing", Entrypoint=["/nope.wasm"])
        with pytest.raises(InvalidArgument, match=r'exec: "/nope.wasm": stat /nope.wasm: no such file or directory'):
            await containers.start("missing")
        state = (await containers.inspect("missing"))["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 127)
        assert "no such file" in state["Error"]

        world.compiler.fault = InvalidArgument("hello.wasm is truncated at byte 9 (section code)")
        await create(containers, "sleep", name="broken")
        with pytest.raises(InvalidArgument, match=r"exec format error: hello\.wasm is truncated"):
            await containers.start("broken")
        assert (await containers.inspect("broken"))["State"]["ExitCode"] == 126
        world.compiler.fault = None

        tasks.create_fault = Unavailable("the shim said no")
        with pytest.raises(Unavailable):
            await containers.start("broken")
        assert (await containers.inspect("broken"))["State"]["ExitCode"] == 128
        tasks.create_fault, tasks.start_fault = None, Unavailable("the shim says no")
        with pytest.raises(Unavailable):
            await containers.start("broken")
        assert tasks.tasks == {}
        assert not list((world.folder / "state" / "io").glob("*/*"))
        tasks.start_fault = None
        await containers.start("broken")
        assert (await containers.inspect("broken"))["State"]["Error"] == ""
        await containers.stop("broken")
    assert missing


async def test_a_failed_start_removes_what_removes_itself(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        tasks.create_fault = Unavailable("no")
        container = await create(containers, "true", HostConfig={"AutoRemove": True})
        waiter = await containers.wait(container, "removed")
        with pytest.raises(Unavailable):
            await containers.start(container)
        assert (await waiter)["StatusCode"] == 128
        with pytest.raises(NotFound):
            await containers.inspect(container)


async def test_restart_starts_it_again_and_keeps_what_removes_itself(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep", HostConfig={"AutoRemove": True})
        await containers.start(container)
        await containers.restart(container)
        assert (await containers.inspect(container))["State"]["Running"] is True
        assert len(tasks.created) == 2
        await containers.kill(container)
        await until(lambda: container not in [live.record.id for live in containers.registry])


async def test_out_of_memory_is_told(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep", HostConfig={"Memory": 1 << 20})
        await containers.start(container)
        waiter = await containers.wait(container)
        task = tasks.tasks[container]
        await task.kill(9)
        # The word comes after the end.
        tasks.tell("/tasks/oom", container)
        await waiter
        assert (await containers.inspect(container))["State"]["OOMKilled"] is True
        assert "oom" in world.events.actions(container)


@pytest.mark.parametrize("turns", range(12))
async def test_a_start_that_is_cancelled_leaves_no_container_half_started(
    world: World, tasks: FakeTasks, turns: int
) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep")
        starting = asyncio.create_task(containers.start(container))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        if starting.cancelled():
            assert not containers.registry.get(container).running
            assert not any(task.status == "running" for task in tasks.tasks.values())
            await containers.start(container)
        assert tasks.tasks[container].status == "running"
        assert containers.registry.get(container).running
        await containers.remove(container, force=True)


async def test_what_comes_while_a_start_is_written_down_waits_for_it(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.engine() as engine:
        for act in (
            lambda ref: engine.kill(ref, "TERM"),
            lambda ref: engine.stop(ref),
            lambda ref: engine.remove(ref, force=True),
        ):
            container = await create(engine, "sleep")
            written, save = asyncio.Event(), engine.registry.save

            async def slow(*given: object, written: asyncio.Event = written, save: Any = save) -> None:
                await written.wait()
                await save(*given)

            monkeypatch.setattr(engine.registry, "save", slow)
            starting = asyncio.create_task(engine.start(container))
            await until(lambda name=container: name in tasks.tasks and tasks.tasks[name].status == "running")
            task, acting = tasks.tasks[container], asyncio.create_task(act(container))
            await asyncio.sleep(0)
            assert not acting.done()
            written.set()
            await starting
            monkeypatch.undo()
            await acting
            assert task.signals[0] in (15, 9)


async def test_conditions_of_wait(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "hello")
        assert await (await containers.wait(container, "not-running")) == {"StatusCode": 0}
        exit_, gone = await containers.wait(container, "next-exit"), await containers.wait(container, "removed")
        await containers.start(container)
        assert await exit_ == {"StatusCode": 7}
        await containers.remove(container)
        assert await gone == {"StatusCode": 7}
        with pytest.raises(NotFound):
            await containers.wait(container)
        other = await create(containers, "true")
        for ref in (other, "nobody"):  # as dockerd: that is looked at first
            with pytest.raises(InvalidArgument, match="invalid condition"):
                await containers.wait(ref, "tomorrow")


async def test_update_reaches_the_task_and_the_record(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep")
        await containers.start(container)
        await containers.update(container, {"Memory": 64 << 20, "RestartPolicy": {"Name": "always"}})
        host = (await containers.inspect(container))["HostConfig"]
        assert (host["Memory"], host["RestartPolicy"]["Name"]) == (64 << 20, "always")
        assert tasks.tasks[container].updates == [{"memory": {"limit": 64 << 20, "swap": 128 << 20}}]
        with pytest.raises(InvalidArgument, match="512KB"):
            await containers.update(container, {"Memory": 5})
        told = await containers.update(container, {"CpusetCpus": "0", "CpuShares": 9})
        assert told == {"Warnings": ["--cpuset-cpus has no effect on a WASM container: use --cpus"]}
        assert await containers.update(container, {"CpuShares": 8}) == {"Warnings": []}
        await containers.remove(container, force=True)


async def test_stats_and_prune(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep")
        done, _ = await run(containers, "true")
        await containers.start(container)
        lines = [line async for line in await containers.stats(container, one_shot=True)]
        assert lines[0]["cpu_stats"]["cpu_usage"]["total_usage"] == 5_000_000
        assert 0 < lines[0]["memory_stats"]["limit"] < 1 << 60
        lines = [line async for line in await containers.stats(done, stream=False)]
        assert lines[0]["memory_stats"] == {}
        assert (await containers.prune({}))["ContainersDeleted"] == [done]
        assert [row["Id"] for row in await containers.list(all=True)] == [container]
        await containers.remove(container, force=True)


async def test_a_full_disk_keeps_nobody_from_starting_or_ending(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.engine() as containers:
        container = await create(containers, "sleep")
        other = await create(containers, "sleep", Labels={"another": "kind"})
        await containers.start(container)
        waiter = await containers.wait(container)

        def full(_: object) -> None:
            raise ResourceExhausted("db cannot grow: the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(world.services.containers, "update", full)
            await containers.start(other)
            assert (await containers.inspect(other))["State"]["Status"] == "running"
            await tasks.tasks[container].kill(9)
            assert await waiter == {"StatusCode": 137}
            assert (await containers.inspect(container))["State"]["Status"] == "exited"
        await until(lambda: list(tasks.tasks) == [other])
        await containers.remove(other, force=True)
        assert tasks.tasks == {}
