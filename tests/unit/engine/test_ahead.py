"""Tasks made before their start is asked for: used, given up, never in anybody's way."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeTasks
from wherry.core.tasks.tasks import Task
from wherry.engine.attach import AttachOptions
from wherry.engine.background import Background
from wherry.engine.containers import ahead
from wherry.engine.containers.containers import Containers
from wherry.engine.containers.launch import Laid
from wherry.engine.containers.live import Live
from wherry.engine.run import Run
from wherry.errors import ResourceExhausted, Unavailable


async def create(containers: Containers, word: str = "hello") -> str:
    return str((await containers.create(None, {"Image": "hello", "Cmd": [word]}, None))["Id"])


async def test_the_start_finds_the_task_made_and_clients_see_its_run(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await create(containers)
        session = await containers.attach(container, AttachOptions(stdout=True))
        await until(lambda: container in tasks.tasks)
        assert tasks.tasks[container].status == "created"
        assert (await containers.inspect(container))["State"]["Status"] == "created"
        await containers.start(container)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in session.output()] == [("stdout", b"out\n")]
        assert len(tasks.created) == 1


async def test_a_task_that_nobody_starts_is_given_up(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_SECONDS", 0.02)
    async with world.engine() as containers:
        watched, forgotten = await create(containers), await create(containers)
        session = await containers.attach(watched, AttachOptions(stdout=True))
        await until(lambda: len(tasks.created) >= 2 and forgotten not in tasks.tasks)
        await until(lambda: not (world.folder / "state" / "io" / forgotten).exists())
        # Whoever is attached still sees the run that will be.
        assert watched in tasks.tasks
        await containers.start(watched)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in session.output()] == [("stdout", b"out\n")]
        waiter = await containers.wait(forgotten, "next-exit")
        await containers.start(forgotten)
        assert await waiter == {"StatusCode": 7}


async def test_removal_and_the_engines_end_take_it_along(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        removed = await create(containers)
        await containers.remove(removed)
        assert tasks.tasks == {}
        kept = await create(containers)
        await until(lambda: kept in tasks.tasks)
    assert tasks.tasks == {}


async def test_new_limits_make_a_new_task(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        container = await create(containers)
        await containers.update(container, {"Memory": 1 << 20})
        waiter = await containers.wait(container, "next-exit")
        await containers.start(container)
        await waiter
        assert tasks.created[-1].spec["linux"]["resources"]["memory"]["limit"] == 1 << 20


async def test_what_goes_wrong_ahead_is_told_by_the_start_alone(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        tasks.create_fault = Unavailable("not now")
        container = await create(containers)
        await until(lambda: tasks.refused)
        assert (await containers.inspect(container))["State"]["Error"] == ""
        with pytest.raises(Unavailable):
            await containers.start(container)
        tasks.create_fault = None
        waiter = await containers.wait(container, "next-exit")
        await containers.start(container)
        assert await waiter == {"StatusCode": 7}


async def test_a_record_that_cannot_be_written_leaves_nothing(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise ResourceExhausted("the disk is full")

    async with world.engine() as containers:
        await containers.remove(await create(containers))  # its module is compiled now
        with monkeypatch.context() as patch:
            patch.setattr(world.services.containers, "create", full)
            with pytest.raises(ResourceExhausted):
                await containers.create("boat", {"Image": "hello", "Cmd": ["hello"]}, None)
        assert (tasks.tasks, tasks.staged) == ({}, set())
        assert [info.key for info in world.snapshots.walk()] == ["image-hello"]
        await until(lambda: len(list((world.folder / "snapshots").iterdir())) == 1)
        await until(lambda: not list((world.folder / "state" / "io").glob("*")))
        await containers.create("boat", {"Image": "hello", "Cmd": ["hello"]}, None)


async def test_a_start_that_is_cancelled_loses_no_task() -> None:
    """What is being made ahead is nobody's who only waited for it."""
    going = asyncio.Event()
    undone: list[object] = []

    async def make(_: Live, __: Laid | None) -> tuple[Run, Task]:
        await going.wait()
        return run, task

    async def undo(_: Run, made: Task) -> None:
        undone.append(made)

    run, task = cast("Run", object()), cast("Task", object())
    async with Background() as background:
        kept = ahead.Ahead(make, undo, background)
        one, other = (cast("Live", SimpleNamespace(record=SimpleNamespace(id=name), run=None)) for name in "ab")
        kept.begin(one, None)
        kept.begin(other, None)
        for waits in (kept.take(one), kept.drop(one)):
            waiting = asyncio.ensure_future(waits)
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        closing = asyncio.ensure_future(kept.close())
        await asyncio.sleep(0)
        kept.begin(cast("Live", SimpleNamespace(record=SimpleNamespace(id="c"), run=None)), None)
        going.set()
        await closing
        assert undone == [task] * 3
        assert await kept.take(other) is None
