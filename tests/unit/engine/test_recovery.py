"""The engine goes away, kindly or not, and comes back: what it finds, and restart policies."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import PID, FakeTasks
from wherry.core.tasks.tasks import TaskIO
from wherry.engine.containers.containers import Containers, LogQuery
from wherry.engine.record import from_container, to_container
from wherry.errors import NotFound


async def started(containers: Containers, *words: str, **host: Any) -> str:
    body = {"Image": "hello", "Cmd": list(words), "HostConfig": host}
    container = str((await containers.create(None, body, None))["Id"])
    await containers.start(container)
    return container


async def state(containers: Containers, ref: str) -> dict[str, Any]:
    return dict((await containers.inspect(ref))["State"])


async def logged(containers: Containers, ref: str) -> bytes:
    return b"".join([data async for batch in await containers.logs(ref, LogQuery()) for _, data in batch])


async def test_a_container_goes_on_while_the_engine_is_away(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "ready")
        await until(lambda: bool(world.logs.logs and next(iter(world.logs.logs.values())).entries))
    tasks.tasks[container].write("stdout", b"meanwhile\n")
    async with world.engine() as containers:
        assert (await state(containers, container))["Running"] is True
        tasks.tasks[container].write("stdout", b"afterwards\n")
        await containers.stop(container)
        assert await logged(containers, container) == b"ready\nmeanwhile\nafterwards\n"
        assert (await state(containers, container))["ExitCode"] == 143


async def test_an_exit_code_of_meanwhile_is_found(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "ready")
        alone = await started(containers, "sleep", AutoRemove=True)
    await tasks.tasks[container].kill(6)
    await tasks.tasks[alone].kill(6)
    await tasks.tasks[container].wait()
    async with world.engine() as containers:
        assert (await (await containers.wait(container)))["StatusCode"] == 134
        assert tasks.tasks == {} or await _settles(tasks)
        await until(lambda: alone not in [live.record.id for live in containers.registry])
        assert await logged(containers, container) == b"ready\n"


async def _settles(tasks: FakeTasks) -> bool:
    await until(lambda: tasks.tasks == {})
    return True


async def test_a_task_that_nobody_has_any_more(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "sleep")
        again = await started(containers, "sleep", RestartPolicy={"Name": "always"})
    await tasks.close()
    tasks.tasks.clear()
    async with world.engine() as containers:
        found = await state(containers, container)
        assert (found["Status"], found["ExitCode"]) == ("exited", 255)
        await until(lambda: containers.registry.get(again).record.state.status == "running")
        await containers.remove(again, force=True)


async def test_killed_between_create_and_start_of_the_task(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "sleep")
        task = tasks.tasks[container]
        await containers.stop(container)
    # As if it had been killed having made the task, and not yet started it.
    tasks.tasks.clear()
    again = await tasks.create(replace(task.new, io=TaskIO()))
    async with world.engine() as containers:
        assert again.deleted
        assert (await state(containers, container))["Status"] == "exited"


async def test_killed_after_the_start_before_the_record(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "sleep")
    stored = from_container(world.services.containers.get(container))
    world.services.containers.update(to_container(stored.with_state(status="created", pid=0, started_at=0)))
    async with world.engine() as containers:
        found = await state(containers, container)
        assert (found["Status"], found["Pid"]) == ("running", PID)
        await containers.remove(container, force=True)


async def test_killed_together_with_the_shim_before_the_record_of_a_start(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        twice = await started(containers, "sleep")
        await containers.stop(twice)
        await until(lambda: tasks.tasks == {})
        before = from_container(world.services.containers.get(twice))
        await containers.start(twice)
        others = {
            name: await started(containers, "sleep", **host)
            for name, host in {
                "first": {},
                "always": {"RestartPolicy": {"Name": "always"}},
                "itself": {"AutoRemove": True},
            }.items()
        }
    tasks.tasks.clear()
    for container in others.values():
        stored = from_container(world.services.containers.get(container))
        world.services.containers.update(to_container(stored.with_state(status="created", pid=0, started_at=0)))
    world.services.containers.update(to_container(before))  # its second run was not written
    async with world.engine() as containers:
        for container in (others["first"], twice):
            found = await state(containers, container)
            assert (found["Status"], found["ExitCode"]) == ("exited", 255)
            assert found["StartedAt"] > "2020"
            assert found["FinishedAt"] > found["StartedAt"]
        await until(lambda: containers.registry.get(others["always"]).record.state.status == "running")
        await until(lambda: others["itself"] not in containers.registry)
        await containers.remove(others["always"], force=True)
    async with world.engine() as containers:  # an end that was written is not found again
        assert (await state(containers, twice))["FinishedAt"] == found["FinishedAt"]


async def test_killed_before_the_record_of_a_task_made_ahead(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await started(containers, "sleep")
        task = tasks.tasks[container]
        await containers.remove(container, force=True)
    folder = world.folder / "state" / "io" / container
    folder.mkdir()
    nobodys = await tasks.create(replace(task.new, io=TaskIO()))
    await nobodys.start()
    async with world.engine() as containers:
        assert nobodys.deleted
        assert not folder.exists()
        assert list(containers.registry) == []


async def test_killed_in_the_middle_of_create_and_of_remove(world: World) -> None:
    async with world.engine() as containers:
        body = {"Image": "hello", "Cmd": ["true"]}
        half_made = (await containers.create(None, body, None))["Id"]
        half_gone = (await containers.create("gone", body, None))["Id"]
    world.snapshots.remove(half_made)
    stored = from_container(world.services.containers.get(half_gone))
    world.services.containers.update(to_container(stored.with_state(status="removing")))
    async with world.engine() as containers:
        for container in (half_made, half_gone):
            with pytest.raises(NotFound):
                await containers.inspect(container)
        assert not containers.registry.is_taken("gone")
    assert [info.key for info in world.snapshots.walk()] == ["image-hello"]


async def test_a_damaged_record_hides_no_other(world: World) -> None:
    async with world.engine() as containers:
        body = {"Image": "hello", "Cmd": ["true"]}
        broken = (await containers.create(None, body, None))["Id"]
        whole = (await containers.create(None, body, None))["Id"]
    world.services.containers.update(replace(world.services.containers.get(broken), extensions={"docker": {}}))
    async with world.engine() as containers:
        assert [row["Id"] for row in await containers.list(all=True)] == [whole]


async def test_on_failure_tries_as_often_as_it_may(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        waits: list[float] = []
        containers.supervisor._sleep = waits_of(waits)
        body = {
            "Image": "hello",
            "Cmd": ["fail"],
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
        }
        container = (await containers.create(None, body, None))["Id"]
        waiter = await containers.wait(container, "next-exit")
        await containers.start(container)
        assert await waiter == {"StatusCode": 1}  # the first end, as with docker
        await until(lambda: containers.registry.get(container).record.state.status == "exited")
        assert waits == [0.1, 0.2, 0.4]
        assert (await containers.inspect(container))["RestartCount"] == 3
        assert len(tasks.created) == 4


async def test_always_stops_when_the_user_says_so_and_boots_again(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        always = await started(containers, "sleep", RestartPolicy={"Name": "always"})
        unless = await started(containers, "sleep", RestartPolicy={"Name": "unless-stopped"})
        for container in (always, unless):
            await containers.stop(container)
            assert (await state(containers, container))["Status"] == "exited"
    async with world.engine() as containers:
        await until(lambda: containers.registry.get(always).running and always in tasks.tasks)
        assert (await state(containers, unless))["Status"] == "exited"
        await containers.remove(always, force=True)


async def test_a_container_that_waits_for_its_next_start_can_be_stopped(world: World) -> None:
    async with world.engine() as containers:
        forever = asyncio.Event()
        containers.supervisor._sleep = lambda _: forever.wait()  # type: ignore[assignment]
        container = await started(containers, "fail", RestartPolicy={"Name": "always"})
        await until(lambda: containers.registry.get(container).record.state.status == "restarting")
        shown = (await containers.list())[0]
        assert shown["Status"].startswith("Restarting (1)")
        await containers.stop(container)
        assert (await state(containers, container))["Status"] == "exited"
        await containers.remove(container)


def waits_of(waits: list[float]) -> Any:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return sleep
