"""Containers made before they are asked for: who asks gets one, and one that nobody asks for leaves nothing behind."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeTasks
from wherry.engine.attach import AttachOptions
from wherry.engine.containers import twins
from wherry.engine.containers.containers import Containers
from wherry.errors import Conflict, Unavailable

HELLO: Mapping[str, Any] = {"Image": "hello", "Cmd": ["hello"]}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "_AFTER", 0.0)


async def create(containers: Containers, body: Mapping[str, Any] = HELLO, name: str | None = None) -> str:
    return str((await containers.create(name, body, None))["Id"])


async def twin_of(tasks: FakeTasks, *others: str) -> str:
    """Wait for a task of nobody's; its id."""
    await until(lambda: len(set(tasks.tasks) - set(others)) == 1 and len(tasks.created) > len(others))
    return (set(tasks.tasks) - set(others)).pop()


async def two(containers: Containers) -> tuple[str, str]:
    return await create(containers), await create(containers)


async def test_the_third_of_a_kind_is_there_before_it_is_asked_for(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        others = await two(containers)
        made = await twin_of(tasks, *others)
        assert made not in {row["Id"] for row in await containers.list(all=True)}
        assert await create(containers, name="third") == made
        document = await containers.inspect("third")
        assert document["Id"] == made
        assert document["Name"] == "/third"
        assert document["State"]["Status"] == "created"
        assert document["Config"]["Hostname"] == made[:12]
        assert world.events.actions(made) == ["create"]
        session = await containers.attach("third", AttachOptions(stdout=True))
        waiter = await containers.wait("third", "next-exit")
        await containers.start("third")
        async with asyncio.timeout(5):
            assert [chunk async for chunk in session.output()] == [("stdout", b"out\n")]
        assert await waiter == {"StatusCode": 7}
        assert [task.container_id for task in tasks.created].count(made) == 1
        await containers.remove("third")


async def test_one_that_is_asked_for_once_has_none(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        await create(containers)
        await create(containers, {"Image": "hello", "Cmd": ["cat"]})
        await asyncio.sleep(0.05)
        assert len(tasks.created) == 2


async def test_another_kind_does_not_get_it(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        others = await two(containers)
        made = await twin_of(tasks, *others)
        other = await create(containers, {"Image": "hello", "Cmd": ["hello"], "Env": ["A=1"]})
        assert other != made


async def test_nor_does_the_second_of_another_kind(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        others = await two(containers)
        made = await twin_of(tasks, *others)
        another = {"Image": "hello", "Cmd": ["cat"]}
        first, second = await create(containers, another), await create(containers, another)
        assert made not in (first, second)
        for container_id in (first, second):
            assert (await containers.inspect(container_id))["Config"]["Cmd"] == ["cat"]
    assert made not in tasks.tasks


async def test_it_is_given_up_after_a_while(world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "_SECONDS", 0.05)
    async with world.engine() as containers:
        others = await two(containers)
        made = await twin_of(tasks, *others)
        assert len(list((world.folder / "snapshots").iterdir())) >= 3
        await until(lambda: made not in tasks.tasks)
        await until(lambda: not (world.folder / "state" / "io" / made).exists())
        assert not (world.folder / "containers" / made).exists()
        assert await create(containers) != made


async def test_a_name_that_is_taken_costs_it_and_leaves_nothing(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        first = await create(containers, name="taken")
        others = first, await create(containers)
        made = await twin_of(tasks, *others)
        with pytest.raises(Conflict, match="taken"):
            await create(containers, name="taken")
        assert made not in tasks.tasks
        assert len(await containers.list(all=True)) == 2


async def test_layers_that_were_replaced_make_it_useless(
    world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.engine() as containers:
        others = await two(containers)
        made = await twin_of(tasks, *others)
        monkeypatch.setattr(twins.Twin, "fits", lambda _: False)
        fresh = await create(containers)
        assert fresh != made
        assert made not in tasks.tasks
        await containers.start(fresh)


async def test_the_engines_end_takes_it_along(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        await twin_of(tasks, *(await two(containers)))
    assert tasks.tasks == {}


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_the_engines_end_in_the_middle_of_its_making_leaves_none(
    world: World, tasks: FakeTasks, turns: int
) -> None:
    async with world.engine() as containers:
        others = await two(containers)
        for _ in range(turns):
            await asyncio.sleep(0)
    assert set(tasks.tasks) <= set(others)


async def test_what_goes_wrong_with_it_is_nobodys_trouble(world: World, tasks: FakeTasks) -> None:
    async with world.engine() as containers:
        await create(containers)
        tasks.create_fault = Unavailable("not now")
        second = await create(containers)
        await until(lambda: {task.container_id for task in tasks.refused} - {second})
        tasks.create_fault = None
        last = await create(containers)
        waiter = await containers.wait(last, "next-exit")
        await containers.start(last)
        assert await waiter == {"StatusCode": 7}


async def test_files_of_nobodys_are_removed_by_the_next_engine(world: World) -> None:
    async with world.engine():
        stranger = world.folder / "containers" / "nobody"
        stranger.mkdir(parents=True)
        (stranger / "nobody-json.log").write_bytes(b"{}\n")
        early = world.folder / "state" / "io" / "killed-before-anything-else-was-made"
        early.mkdir(parents=True)
    async with world.engine():
        assert not stranger.exists()
        assert not early.exists()


@pytest.mark.parametrize("host", [{"NetworkMode": "container:other"}, {"VolumesFrom": ["other"]}])
async def test_one_that_needs_another_container_has_none(
    world: World, tasks: FakeTasks, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on when the other one is gone."""
    asked: list[bytes] = []
    monkeypatch.setattr(twins.Twins, "asked", lambda _, key, __: asked.append(key))
    async with world.engine() as containers:
        await create(containers, name="other")
        for _ in range(2):
            await create(containers, {**HELLO, "HostConfig": host})
        assert len(asked) == 1
