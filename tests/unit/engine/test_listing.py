"""What clients see of containers: ps with its filters, inspect, logs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import World, until
from wherry.engine.attach import AttachOptions
from wherry.engine.containers.containers import Containers, LogQuery
from wherry.engine.containers.top import parse
from wherry.errors import InvalidArgument, NotFound


@pytest.fixture
async def fleet(world: World) -> Any:
    async with world.engine() as containers:
        await made(containers, "one", "hello", Labels={"colour": "red"}, HostConfig={"Binds": [f"{world.folder}:/v"]})
        await made(containers, "two", "sleep", Labels={"colour": "blue", "old": ""})
        await made(containers, "three", "sleep")
        await containers.start("one")
        await (await containers.wait("one"))
        await containers.start("two")
        yield containers
        await containers.remove("two", force=True)


async def made(containers: Containers, name: str, *words: str, **more: Any) -> str:
    return str((await containers.create(name, {"Image": "hello", "Cmd": list(words), **more}, None))["Id"])


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["Names"][0].removeprefix("/") for row in rows]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["three", "two", "one"]),
        ({"name": ["^t"]}, ["three", "two"]),
        ({"name": ["/two"]}, ["two"]),
        ({"status": ["exited", "created"]}, ["three", "one"]),
        ({"exited": ["7"]}, ["one"]),
        ({"label": ["colour"]}, ["two", "one"]),
        ({"label": ["colour=red"]}, ["one"]),
        ({"label": ["colour=blue", "old"]}, ["two"]),
        ({"before": ["two"]}, ["one"]),
        ({"since": ["two"]}, ["three"]),
        ({"ancestor": ["hello"]}, ["three", "two", "one"]),
        ({"ancestor": ["hello:latest"]}, ["three", "two", "one"]),
        ({"ancestor": ["other"]}, []),
        ({"volume": ["/v"]}, ["one"]),
        ({"network": ["bridge"]}, ["three", "two", "one"]),
        ({"health": ["healthy"]}, []),
        ({"id": ["02"]}, ["two"]),
    ],
)
async def test_filters(fleet: Containers, filters: dict[str, list[str]], found: list[str]) -> None:
    assert names(await fleet.list(all=True, filters=filters)) == found


async def test_only_running_ones_unless_asked(fleet: Containers) -> None:
    assert names(await fleet.list()) == ["two"]
    assert names(await fleet.list(limit=2)) == ["three", "two"]
    row = (await fleet.list(size=True))[0]
    assert row["State"] == "running"
    assert row["Status"].startswith("Up ")
    assert row["Command"] == "/hello.wasm sleep"
    assert row["SizeRw"] >= 0
    assert (await fleet.list(all=True))[2]["Status"].startswith("Exited (7) ")


@pytest.mark.parametrize("filters", [{"nope": ["x"]}, {"status": ["flying"]}, {"exited": ["x"]}, {"name": ["x" * 256]}])
async def test_filters_that_are_none(fleet: Containers, filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        await fleet.list(filters=filters)
    with pytest.raises(NotFound):
        await fleet.list(filters={"before": ["nobody"]})


async def test_inspect_has_what_docker_prints(fleet: Containers, world: World) -> None:
    found = await fleet.inspect("one", size=True)
    assert found["Mounts"] == [
        {
            "Type": "bind",
            "Source": str(world.folder),
            "Destination": "/v",
            "Mode": "",
            "RW": True,
            "Propagation": "rprivate",
        }
    ]
    assert found["Config"]["Image"] == "hello"
    assert found["HostConfig"]["Runtime"] == "io.containerd.wherry.v1"
    assert found["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert found["GraphDriver"]["Name"] == "copy"
    assert found["Config"]["Hostname"] == found["Id"][:12]
    assert found["LogPath"].endswith("-json.log")


async def test_logs_by_stream_time_and_detail(world: World) -> None:
    async with world.engine() as containers:
        options = {"LogConfig": {"Type": "json-file", "Config": {"labels": "a", "env": "B"}}}
        await made(containers, "boat", "hello", Labels={"a": "1"}, Env=["B=2", "C=3"], HostConfig=options)
        await containers.start("boat")
        await (await containers.wait("boat"))

        async def text(query: LogQuery) -> bytes:
            return b"".join([data async for batch in await containers.logs("boat", query) for _, data in batch])

        assert await text(LogQuery(stderr=False)) == b"out\n"
        assert await text(LogQuery(stdout=False, details=True)) == b"B=2,a=1 err\n"
        stamped = await text(LogQuery(stderr=False, timestamps=True))
        assert len(stamped) == len(b"2023-11-14T22:13:20.000000000Z out\n")
        assert await text(LogQuery(since=2**62)) == b""


async def test_logs_are_followed_to_the_end_of_the_run(world: World) -> None:
    async with world.engine() as containers:
        await made(containers, "boat", "ready")
        await containers.start("boat")
        followed = await containers.logs("boat", LogQuery(follow=True))
        assert await anext(followed) == [("stdout", b"ready\n")]
        await containers.kill("boat")
        async with asyncio.timeout(5):
            assert [chunk async for chunk in followed] == []
        # Of a container that does not run, following is reading.
        async with asyncio.timeout(5):
            assert [chunk async for chunk in await containers.logs("boat", LogQuery(follow=True))]


async def test_attach_replays_the_log_first(world: World) -> None:
    async with world.engine() as containers:
        await made(containers, "boat", "ready")
        await containers.start("boat")
        await until(lambda: any(log.entries for log in world.logs.logs.values()))
        session = await containers.attach("boat", AttachOptions(stdout=True, logs=True))
        await containers.kill("boat")
        async with asyncio.timeout(5):
            assert [chunk async for chunk in session.output()] == [("stdout", b"ready\n")]


async def test_a_log_driver_that_is_none(world: World) -> None:
    async with world.engine() as containers:
        with pytest.raises(InvalidArgument, match="no log driver named 'paper'"):
            await made(containers, "boat", "true", HostConfig={"LogConfig": {"Type": "paper"}})
        assert not containers.registry.is_taken("boat")


async def test_changes_of_a_copied_rootfs(world: World, fleet: Containers) -> None:
    assert await fleet.changes("one") == []
    rootfs = Path(world.snapshots.layers((await fleet.inspect("one"))["Id"])[0])
    (rootfs / "hello.wasm").unlink()
    (rootfs / "new").mkdir()
    (rootfs / "new/file").write_text("x")
    assert await fleet.changes("one") == [
        {"Path": "/hello.wasm", "Kind": 2},
        {"Path": "/new", "Kind": 1},
        {"Path": "/new/file", "Kind": 1},
    ]


async def test_top_shows_the_containers_processes(fleet: Containers) -> None:
    found = await fleet.top("two", "-eo pid,comm")
    assert found["Titles"] == ["PID", "COMMAND"]
    assert len(found["Processes"]) == 1
    with pytest.raises(InvalidArgument):
        await fleet.top("two", "-eo comm")
    with pytest.raises(InvalidArgument):
        await fleet.top("two", "--no-such-option")
    with pytest.raises(InvalidArgument):
        await fleet.top("two", "'")


def test_rows_of_ps() -> None:
    text = "UID PID CMD\nroot 1 init with words\nroot 22 x\n"
    assert parse(text, frozenset({1}), {})["Processes"] == [["root", "1", "init with words"]]
    assert parse(text, frozenset({1}), {1: "/hello.wasm one"})["Processes"] == [["root", "1", "/hello.wasm one"]]
    assert parse("PID COMM\n1 init\n", frozenset({1}), {1: "/hello.wasm"})["Processes"] == [["1", "init"]]


async def test_volume_folders_are_made_and_mounts_are_not(world: World) -> None:
    async with world.engine() as containers:
        new = world.folder / "new" / "folder"
        await made(containers, "boat", "true", HostConfig={"Binds": [f"{new}:/v"]})
        assert new.is_dir()
        mount = {"Type": "bind", "Source": str(world.folder / "missing"), "Target": "/v"}
        with pytest.raises(InvalidArgument, match="bind source path does not exist"):
            await made(containers, "ship", "true", HostConfig={"Mounts": [mount]})
        assert not containers.registry.is_taken("ship")
        await containers.start("boat")
        await (await containers.wait("boat"))
        new.rmdir()
        with pytest.raises(InvalidArgument, match="bind source path does not exist"):
            await containers.start("boat")


async def test_modules_are_found_by_folder_path_and_volume(world: World) -> None:
    (world.folder / "mine.wasm").write_bytes(b"\0asm\1\0\0\0")
    async with world.engine() as containers:
        for words, where in (
            (["hello.wasm"], "/hello.wasm"),
            (["/v/mine.wasm#run"], "/v/mine.wasm#run"),
            (["../hello.wasm"], "/hello.wasm"),
        ):
            name = f"boat{len(words[0])}"
            host = {"Binds": [f"{world.folder}:/v"]}
            await containers.create(name, {"Image": "hello", "Entrypoint": words, "HostConfig": host}, None)
            await containers.start(name)
            await (await containers.wait(name))
            assert world.tasks.created[-1].spec["process"]["args"] == [where]  # type: ignore[attr-defined]
        assert world.compiler.asked[-1].endswith("/mine.wasm")
        await containers.create("gone", {"Image": "hello", "Entrypoint": ["gone.wasm"]}, None)
        with pytest.raises(InvalidArgument, match="executable file not found"):
            await containers.start("gone")
