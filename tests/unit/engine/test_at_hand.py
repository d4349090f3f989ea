"""One more of a kind whose last one is gone by now: made where it is asked for, for all that it needs is in memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import World
from tests.fakes.tasks import FakeTasks
from wherry.core.logs.drivers import LogDrivers
from wherry.core.snapshots import folders as snapshot_folders
from wherry.engine.containers import twins
from wherry.engine.containers.containers import Containers
from wherry.engine.containers.creation import Creation
from wherry.errors import ResourceExhausted

HELLO: Mapping[str, Any] = {"Image": "hello", "Cmd": ["hello"]}


@pytest.fixture
async def world(tmp_path: Path, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Where folders may be used again at once, and nothing is made before it is asked for."""
    monkeypatch.setattr(snapshot_folders, "_REST", -1.0)
    monkeypatch.setattr(twins, "_AFTER", 3600.0)
    made = await asyncio.to_thread(World, tmp_path, tasks, overlay=True)
    made.services = replace(made.services, logs=LogDrivers())
    yield made
    made.close()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each container: whether it is made in a thread."""
    seen: list[bool] = []
    make = Creation._make

    def watched(*args: Any) -> Any:
        try:
            asyncio.get_running_loop()
            seen.append(False)
        except RuntimeError:
            seen.append(True)
        return make(*args)

    monkeypatch.setattr(Creation, "_make", watched)
    return seen


async def create(containers: Containers, body: Mapping[str, Any] = HELLO) -> str:
    return str((await containers.create(None, body, None))["Id"])


async def run(containers: Containers, body: Mapping[str, Any] = HELLO) -> None:
    container = await create(containers, body)
    waiter = await containers.wait(container, "next-exit")
    await containers.start(container)
    assert (await waiter)["StatusCode"] == 7
    await containers.remove(container)
    await containers._sweeper.close()  # it is looked at whether its folders can be used again


async def test_the_next_of_a_kind_takes_what_the_last_one_left(world: World, threads: list[bool]) -> None:
    async with world.engine() as containers:
        for _ in range(3):
            await run(containers)
        assert threads == [True, False, False]
        document = await containers.inspect(await create(containers))
        assert document["State"]["Status"] == "created"
        log = Path(document["LogPath"])
        assert (log.read_bytes(), log.stat().st_mode & 0o777) == (b"", 0o640)
        assert os.listdir(log.parent) == [log.name]


@pytest.mark.parametrize(
    "other",
    [
        {"Cmd": ["hello", "more"]},
        {"HostConfig": {"Binds": ["/tmp:/data"]}},
        {"HostConfig": {"LogConfig": {"Type": "syslog"}}},
    ],
    ids=["another kind", "mounts", "a log elsewhere"],
)
async def test_what_was_never_made_before_is_made_in_a_thread(
    world: World, threads: list[bool], other: Mapping[str, Any]
) -> None:
    async with world.engine() as containers:
        await run(containers)
        await create(containers, {**HELLO, **other})
    assert threads == [True, True]


@pytest.mark.parametrize("gone", ["snapshots", "logs"])
async def test_without_a_folder_to_take_one_is_made_in_a_thread(world: World, threads: list[bool], gone: str) -> None:
    async with world.engine() as containers:
        await run(containers)
        if gone == "snapshots":
            assert not world.snapshots.trim(-1)
        else:
            await asyncio.to_thread(containers._folders.clear)
        await run(containers)
    assert threads == [True, True]


@pytest.mark.parametrize("fault", [ResourceExhausted("the disk is full"), OSError(28, "No space left on device")])
async def test_what_cannot_be_written_down_leaves_nothing(
    world: World, tasks: FakeTasks, threads: list[bool], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async with world.engine() as containers:
        await run(containers)
        before = _files(world.folder)
        with monkeypatch.context() as patched:
            patched.setattr(containers.registry, "store_new", _raise(fault))
            with pytest.raises(type(fault)):
                await create(containers)
        assert (await containers.list(all=True), tasks.tasks) == ([], {})
        assert _files(world.folder) <= before
        await run(containers)
    assert threads[:2] == [True, False]


def _raise(fault: Exception) -> Callable[..., None]:
    def broken(*args: object) -> None:
        raise fault

    return broken


def _files(root: Path) -> set[str]:
    """Folders of containers, with what is kept for others to come."""
    return {
        str(path.relative_to(root))
        for part in ("snapshots", "containers", "state")
        for path in (root / part).rglob("*")
    }
