"""Volumes as the engine has them: who uses one, what a failed create leaves, and many who want the same at once."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import WASM, World
from wherry.core.volumes.store import Volume
from wherry.engine.containers.containers import Containers
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError


async def create(containers: Containers, name: str, image: str = "hello", **host: Any) -> str:
    body = {"Image": image, "HostConfig": host}
    made: str = (await containers.create(name, body, None))["Id"]
    return made


def names(world: World) -> list[str]:
    return [volume.name for volume in world.services.volumes.walk()]


async def test_a_create_that_fails_leaves_no_anonymous_volume(world: World) -> None:
    world.add_image("declared", WASM, entrypoint=("/hello.wasm",), volumes=("/x", "/y"))
    async with world.engine() as containers:
        with pytest.raises(InvalidArgument):
            await create(containers, "boat", "declared", Binds=["b*d:/z"])
        assert names(world) == []
        await create(containers, "boat", "declared", Binds=["named:/z"])
        assert len(names(world)) == 3
        with pytest.raises(Conflict):
            await create(containers, "boat", "declared")
        assert len(names(world)) == 3
        assert not any(volume.provisional for volume in world.services.volumes.walk())
        await containers.remove("boat", volumes=True)
        assert names(world) == ["named"]


async def test_many_want_the_same_volume_at_once(world: World) -> None:
    async with world.engine() as containers:

        async def use(number: int) -> None:
            container = await create(containers, f"c{number}", Binds=["same:/d"])
            await containers.remove(container)

        async def drop() -> None:
            for _ in range(20):
                try:
                    await containers.volumes.remove("same")
                except (Conflict, NotFound):
                    await asyncio.sleep(0)

        await asyncio.gather(*(use(number) for number in range(20)), drop(), drop())
        for live in containers.registry:
            assert Path(live.record.mounts[0].source).is_dir()
        await containers.volumes.remove("same", force=True)
        assert names(world) == []
        assert os.listdir(world.folder / "volumes") == []


async def test_one_that_is_there_is_the_answer_unless_it_is_another(world: World, tmp_path: Path) -> None:
    async with world.engine() as containers:
        volumes = containers.volumes
        options = {"type": "none", "o": "bind", "device": str(tmp_path)}
        made = await volumes.create({"Name": "one", "DriverOpts": options, "Labels": {"a": "b"}})
        assert await volumes.create({"Name": "one"}) == made
        assert await volumes.create({"Name": "one", "DriverOpts": options}) == made
        with pytest.raises(Conflict, match="other options"):
            await volumes.create({"Name": "one", "DriverOpts": {**options, "device": "/elsewhere"}})
        for wrong in ({"Name": 7}, {"Name": "x/y"}, {"Labels": {"a": 1}}, {"ClusterVolumeSpec": {"x": 1}}):
            with pytest.raises(WherryError):
                await volumes.create(wrong)


async def test_usage_and_prune(world: World) -> None:
    async with world.engine() as containers:
        volumes = containers.volumes
        await create(containers, "boat", Binds=["used:/d"])
        for name in ("free", "labelled"):
            await volumes.create({"Name": name, "Labels": {"keep": ""} if name == "labelled" else {}})
        Path((await volumes.inspect("free"))["Mountpoint"], "file").write_bytes(b"x" * 10_000)
        found = {item["Name"]: item["UsageData"] for item in await volumes.usage()}
        assert found["used"]["RefCount"] == 1
        assert found["free"]["Size"] >= 10_000
        assert (await volumes.prune({}))["VolumesDeleted"] == []
        pruned = await volumes.prune({"all": ["true"], "label!": ["keep"]})
        assert pruned["VolumesDeleted"] == ["free"]
        assert pruned["SpaceReclaimed"] >= 10_000
        with pytest.raises(InvalidArgument):
            await volumes.prune({"until": ["1h"]})
        assert names(world) == ["labelled", "used"]


async def test_what_a_killed_engine_left_is_decided(world: World) -> None:
    store = world.services.volumes
    async with world.engine() as containers:
        container = await create(containers, "boat", Mounts=[{"Type": "volume", "Target": "/d"}])
    (used,) = names(world)
    store.mark([used], provisional=True)
    store.create(Volume("orphan", 1.0, provisional=True))
    store.create(Volume("plain", 1.0))
    async with world.engine() as containers:
        assert names(world) == sorted([used, "plain"])
        assert not store.get(used).provisional
        await containers.remove(container)
        assert used in names(world)


async def test_a_lent_volume_stays_until_its_last_user_goes(world: World) -> None:
    async with world.engine() as containers:
        await create(containers, "lender", Mounts=[{"Type": "volume", "Target": "/d"}])
        await create(containers, "borrower", VolumesFrom=["lender:ro"])
        (name,) = names(world)
        await containers.remove("lender", volumes=True)
        assert names(world) == [name]
        assert not world.services.volumes.get(name).provisional
        await containers.remove("borrower", volumes=True)
        assert names(world) == []
        with pytest.raises(InvalidArgument, match="No such container: gone"):
            await create(containers, "late", VolumesFrom=["gone"])


async def test_a_copy_that_was_cut_off_is_made_again(world: World) -> None:
    """Killed in the middle of filling a volume, the engine leaves it empty, and the next one fills it."""
    files = {"hello.wasm": b"\0asm\1\0\0\0", "data/one": b"1", "data/two": b"2"}
    world.add_image("seeded", WASM, files, entrypoint=("/hello.wasm",))
    async with world.engine() as containers:
        await containers.volumes.create({"Name": "named"})
        beside = world.folder / "volumes/named/_filling"
        beside.mkdir()
        (beside / "one").write_text("half")
        await create(containers, "boat", "seeded", Binds=["named:/data"])
        folder = Path(world.services.volumes.folder("named"))
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"one": "1", "two": "2"}
        assert os.listdir(world.folder / "volumes/named") == ["_data"]
        (folder / "one").write_text("changed")
        await create(containers, "other", "seeded", Binds=["named:/data"])
        assert (folder / "one").read_text() == "changed"


async def test_a_volume_that_others_have_is_filled_where_it_lies(world: World, tmp_path: Path) -> None:
    files = {"hello.wasm": b"\0asm\1\0\0\0", "data/one": b"1"}
    world.add_image("seeded", WASM, files, entrypoint=("/hello.wasm",))
    async with world.engine() as containers:
        await create(containers, "first", "hello", Binds=["named:/elsewhere"])
        before = Path(world.services.volumes.folder("named")).stat().st_ino
        await create(containers, "second", "seeded", Binds=["named:/data"])
        after = Path(world.services.volumes.folder("named"))
        assert (after.stat().st_ino, os.listdir(after)) == (before, ["one"])
        device = tmp_path / "device"
        device.mkdir()
        options = {"type": "none", "o": "bind", "device": str(device)}
        await containers.volumes.create({"Name": "there", "DriverOpts": options})
        await create(containers, "third", "seeded", Binds=["there:/data"])
        assert os.listdir(device) == ["one"]
