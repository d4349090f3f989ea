"""A container's files by the engine, of one that does not run: nothing blocks, nothing stays open, nothing leaks."""

import asyncio
import io
import os
import tarfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import WASM, World
from wherry.engine.containers import files
from wherry.engine.containers.containers import Containers
from wherry.engine.containers.pins import Pins
from wherry.engine.record import Record
from wherry.errors import InvalidArgument, NotFound


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def tar(**files: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.replace("__", "/"))
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


async def names(archive: AsyncIterator[bytes]) -> list[str]:
    data = b"".join([part async for part in archive])
    await archive.aclose()  # type: ignore[attr-defined]  # what the engine gives has it
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return found.getnames()


def handles() -> set[str]:
    return {
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{name}")
    }


def layers() -> set[str]:
    return {path for path in handles() if "/snapshots/" in path}


@pytest.fixture
def image(world: World) -> str:
    files = {"hello.wasm": b"\0asm\1\0\0\0", "etc/words": b"words", "data/seed": b"seed"}
    world.add_image("full", WASM, files, entrypoint=("/hello.wasm",))
    return "full"


async def made(containers: Containers, image: str, **host: Any) -> str:
    await containers.create("boat", {"Image": image, "HostConfig": host}, None)
    return "boat"


async def test_in_out_and_about(world: World, image: str) -> None:
    async with world.engine() as containers:
        boat = await made(containers, image, Binds=["v1:/data", "v2:/not/there/yet"])
        await containers.unarchive(boat, "/etc", chunks(tar(new="n", deep__er="d")))
        await containers.unarchive(boat, "/not/there/yet", chunks(tar(inside="i")))
        stat = await containers.path_stat(boat, "/etc/new")
        assert (stat["name"], stat["size"], stat["mode"], stat["linkTarget"]) == ("new", 1, 0o644, "")
        document, archive = await containers.archive(boat, "/etc")
        assert document["mode"] == 1 << 31 | 0o755
        assert await names(archive) == ["etc", "etc/deep", "etc/new", "etc/words", "etc/deep/er"]
        _, archive = await containers.archive(boat, "data/.")
        assert await names(archive) == [".", "./seed"]
        _, archive = await containers.archive(boat, "/")
        assert "/not/there/yet/inside" in await names(archive)
        exported = await names(await containers.export(boat))
        assert "etc/new" in exported
        assert not any(name.endswith(("inside", "data/seed/x")) for name in exported)
        folder = Path(world.services.volumes.folder("v2"))
        assert os.listdir(folder) == ["inside"]


async def test_nothing_stays_open(world: World, image: str) -> None:
    async with world.engine() as containers:
        boat = await made(containers, image, Binds=["v1:/data"])
        await containers.path_stat(boat, "/")
        before = handles()
        for _ in range(3):
            _, archive = await containers.archive(boat, "/")
            await archive.aclose()  # type: ignore[attr-defined]  # never read
            _, archive = await containers.archive(boat, "/")
            await anext(archive)
            await archive.aclose()  # type: ignore[attr-defined]  # read in part
            with pytest.raises(NotFound):
                await containers.archive(boat, "/absent")
            with pytest.raises(InvalidArgument):
                await containers.unarchive(boat, "/etc", chunks(b"x" * 2000))
        assert handles() <= before


@pytest.mark.parametrize("path", ["/absent", "etc/words/", "etc/words/x", "/" + "x" * 300, "/" + "y/" * 5000, "\ud800"])
async def test_paths_that_lead_to_nothing(world: World, image: str, path: str) -> None:
    async with world.engine() as containers:
        boat = await made(containers, image)
        for ask in (containers.path_stat, containers.archive):
            with pytest.raises((NotFound, InvalidArgument)):
                await ask(boat, path)
        with pytest.raises((NotFound, InvalidArgument)):
            await containers.unarchive(boat, path, chunks(tar(a="a")))


async def test_where_nothing_may_be_written(world: World, image: str, tmp_path: Path) -> None:
    async with world.engine() as containers:
        boat = await made(containers, image, ReadonlyRootfs=True, Binds=[f"{tmp_path}:/ro:ro", "v1:/ro/rw"])
        with pytest.raises(InvalidArgument, match="container rootfs is marked read-only"):
            await containers.unarchive(boat, "/etc", chunks(tar(a="a")))
        with pytest.raises(InvalidArgument, match="mounted volume is marked read-only"):
            await containers.unarchive(boat, "/ro", chunks(tar(a="a")))
        with pytest.raises(InvalidArgument, match="extraction point is not a directory"):
            await containers.unarchive(boat, "/etc/words", chunks(tar(a="a")))
        await containers.unarchive(boat, "/ro/rw", chunks(tar(a="a")))
        assert os.listdir(world.services.volumes.folder("v1")) == ["a"]


async def test_an_upload_that_breaks_off_changes_nothing(world: World, image: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield tar(a="a")[:600]
        raise InvalidArgument("the request's body was cut short")

    async with world.engine() as containers:
        boat = await made(containers, image)
        with pytest.raises(InvalidArgument, match="cut short"):
            await containers.unarchive(boat, "/etc", broken())
        assert await containers.changes(boat) == []


@pytest.mark.parametrize("where", ["Pins.hold", "_look"])
async def test_a_client_that_goes_while_files_are_looked_at_leaves_nothing_open(
    world: World, image: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that is at it meanwhile must not read from descriptors that are somebody else's by then."""
    within, go_on = threading.Event(), threading.Event()
    original: Any = Pins.hold if where == "Pins.hold" else files._look

    def held_up(*args: Any, **how: Any) -> Any:
        if how or where == "_look":  # not a task made ahead
            within.set()
            go_on.wait()
        return original(*args, **how)

    async with world.engine() as containers:
        boat = await made(containers, image, Binds=["v1:/data"])
        monkeypatch.setattr(f"wherry.engine.containers.files.{where}", held_up)
        asking = asyncio.create_task(containers.archive(boat, "/etc"))
        await asyncio.to_thread(within.wait)
        opened = layers()
        assert opened, "the container's are open by now"
        asking.cancel()
        await asyncio.wait([asking], timeout=0)
        assert layers() == opened, "closed under the thread that reads from them"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not layers()
        assert (await containers.path_stat(boat, "/etc/words"))["size"] == 5


async def test_a_part_that_is_swapped_for_a_link_leads_nobody_out(
    world: World, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another container has the volume too, and puts a link to the host's files where the part was just looked at."""
    outside = tmp_path / "outside"
    outside.mkdir()
    mount = {"Type": "volume", "Source": "v1", "Target": "/v", "VolumeOptions": {"Subpath": "part"}}
    hold = Pins.hold

    def swapped(pins: Pins, record: Record, **how: bool) -> Record:
        held = hold(pins, record, **how)
        if not how:  # a task made ahead, which looks again
            return held
        os.rename(part, part.with_name("moved"))
        part.symlink_to(outside)
        return held

    async with world.engine() as containers:
        boat = await made(containers, image, Mounts=[mount])
        part = Path(world.services.volumes.folder("v1")) / "part"
        part.mkdir()
        monkeypatch.setattr(Pins, "hold", swapped)
        await containers.unarchive(boat, "/v", chunks(tar(inside="i")))
        assert os.listdir(part.with_name("moved")) == ["inside"]
        part.unlink()
        os.rename(part.with_name("moved"), part)
        _, archive = await containers.archive(boat, "/v/.")
        assert await names(archive) == [".", "./inside"]
    assert os.listdir(outside) == []
