"""RUN of Linux stages, with a runner that writes into the snapshot's folder; mounts, caches and stubs by themselves."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.build.building import Workshop, context
from tests.unit.build.test_build_run import FakeRunner, actives
from wherry.build import stubs
from wherry.build.cachemounts import CacheMounts
from wherry.build.classic import failure
from wherry.build.layout import lay_out
from wherry.build.request import RunStep, StepFailed
from wherry.build.tree import Data, Entry, Tree
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.errors import InvalidArgument, WherryError


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def shop(tmp_path: Path, runner: FakeRunner) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    made.with_(
        snapshots=CopySnapshotter(made.database, str(tmp_path / "snapshots")),
        runner=runner,
        cache_mounts=CacheMounts(str(tmp_path / "mounts")),
        private=str(tmp_path / "private"),
    )
    yield made
    made.close()


async def build(shop: Workshop, text: str, files: dict[str, Any] | None = None, **more: Any) -> Any:
    return await shop.build(context(text, {"f": b"F", **(files or {})}), platform="linux/amd64", **more)


async def last(shop: Workshop, runner: FakeRunner, step: str, before: str = "", **more: Any) -> RunStep:
    await build(shop, f"FROM scratch\nCOPY f /\n{before}{step}\n", **more)
    return runner.steps[-1]


@pytest.mark.parametrize(
    ("step", "argv"),
    [
        ("RUN a  $A && b", ("/bin/sh", "-c", "a  $A && b")),
        ('RUN ["a", "$A"]', ("a", "$A")),
        ('SHELL ["/bin/ash", "-ec"]\nRUN a', ("/bin/ash", "-ec", "a")),
        ("RUN <<E\nx $A\ny\nE", ("/bin/sh", "-c", "x $A\ny\n")),
        ("RUN cat <<E >/x\ny\nE", ("/bin/sh", "-c", "cat <<E >/x\ny\nE")),
        ("RUN <<-E\n\tx\nE", ("/bin/sh", "-c", "x\n")),
    ],
)
async def test_command_lines(shop: Workshop, runner: FakeRunner, step: str, argv: tuple[str, ...]) -> None:
    assert (await last(shop, runner, step)).argv == argv


async def test_a_script_of_its_own_interpreter(shop: Workshop, runner: FakeRunner) -> None:
    seen: list[Any] = []

    def work(_: Path) -> None:
        mount = runner.steps[-1].mounts[-1]
        seen.append((Path(mount.source).read_text(), os.stat(mount.source).st_mode & 0o777, mount.target))

    runner.work = work
    assert (await last(shop, runner, "RUN <<E\n#!/usr/bin/awk -f\nBEGIN {}\nE")).argv == ("/dev/pipes/E",)
    assert seen == [("#!/usr/bin/awk -f\nBEGIN {}\n", 0o755, "/dev/pipes/E")]


async def test_environment_user_and_folder(shop: Workshop, runner: FakeRunner) -> None:
    before = "ENV E=1\nARG B\nUSER mate\nWORKDIR /w\n"
    step = await last(shop, runner, "RUN x", before, build_args={"B": "2", "HTTP_PROXY": "p", "NOT": "3"})
    assert set(step.env) == {"E=1", "B=2", "HTTP_PROXY=p"}
    assert (step.user, step.cwd, step.platform.os) == ("mate", "/w", "linux")


@pytest.mark.parametrize(
    ("flag", "asked", "network"),
    [("", "", ""), ("", "host", "host"), ("--network=none", "host", "none"), ("--network=default", "", "")],
)
async def test_networks(shop: Workshop, runner: FakeRunner, flag: str, asked: str, network: str) -> None:
    assert (await last(shop, runner, f"RUN {flag} x", network=asked)).network == network


async def test_the_code_of_a_failed_program_is_the_clients(shop: Workshop, runner: FakeRunner) -> None:
    runner.code = 42
    with pytest.raises(StepFailed, match="The command '/bin/sh -c x' returned a non-zero code: 42") as caught:
        await last(shop, runner, "RUN x")
    assert failure(caught.value)["errorDetail"]["code"] == 42
    assert actives(shop) == []
    assert shop.nothing_left()


async def test_history_tells_the_arguments(shop: Workshop, runner: FakeRunner) -> None:
    result = await build(shop, "FROM scratch\nARG A=1\nARG B\nRUN x\n", build_args={"B": "2"})
    assert result.config.history[-1].created_by == "RUN |2 A=1 B=2 x"


async def test_what_a_runtime_makes_to_mount_on_is_no_part_of_the_layer(shop: Workshop, runner: FakeRunner) -> None:
    def work(root: Path) -> None:
        for name in ("proc", "dev", "sys", "etc", "run/secrets", "cache/deep", "own"):
            (root / name).mkdir(parents=True)
        for name in ("etc/hosts", "run/secrets/s"):
            (root / name).touch()
        (root / "etc/resolv.conf").write_text("not empty: the program's own")

    runner.work = work
    mounts = "--mount=type=cache,target=/cache/deep --mount=type=secret,id=s"
    result = await build(shop, f"FROM scratch\nRUN {mounts} x\n", secrets={"s": b"S"})
    assert set(shop.files(result)) == {"etc", "etc/resolv.conf", "own"}


def test_stubs_are_removed_without_following_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "empty").mkdir(parents=True)
    root.mkdir()
    (root / "a").symlink_to(outside)
    (root / "b").symlink_to("/")
    (root / "full").mkdir()
    (root / "full" / "x").touch()
    names = ("a", "a/empty", "b", "b/tmp", "full", "gone", "gone/more", "../outside/empty")
    stubs.clear([str(root), "/"], stubs.Stubs(names, tuple((name, Entry("folder", 0o755)) for name in names)))
    assert (outside / "empty").is_dir()
    assert sorted(os.listdir(root)) == ["a", "b", "full"]


def test_folders_that_were_copied_up_only_go(tmp_path: Path) -> None:
    def left(*layers: str) -> list[str]:
        root = tmp_path / f"root{len(layers)}"
        for name in ("same/below", "changed", "full/x"):
            (root / name).mkdir(parents=True)
        (root / "changed").chmod(0o700)
        paths = ("same", "same/below", "changed", "full")
        stubs.clear([str(root), *layers], stubs.Stubs((), tuple((path, Entry("folder", 0o755)) for path in paths)))
        return sorted(os.listdir(root))

    assert left("below") == ["changed", "full"]
    assert left() == ["changed", "full", "same"]


def test_stubs_are_what_the_tree_lacks() -> None:
    tree = Tree()
    tree.put("a/link", Entry("symlink", 0o777, link="/b"))
    tree.put("b", Entry("folder", 0o755))
    found = stubs.stubs(tree, ["/a/link/x/y", "/a", "/proc"])
    assert found.made == ("b/x", "b/x/y", "proc")
    assert [path for path, _ in found.above] == ["b"]


async def test_bind_mounts_show_context_and_stages(shop: Workshop, runner: FakeRunner) -> None:
    seen: list[Any] = []

    def work(_: Path) -> None:
        for mount in runner.steps[-1].mounts:
            place = Path(mount.source)
            inside = sorted(str(path.relative_to(place)) for path in place.rglob("*")) if place.is_dir() else []
            seen.append((mount.target, mount.writable, inside or place.read_text()))

    runner.work = work
    text = (
        "FROM scratch AS one\nCOPY f /d/e/g\nFROM scratch\nWORKDIR /w\n"
        "RUN --mount=target=/all --mount=type=bind,source=f,target=here,rw --mount=from=one,source=d,target=/one x\n"
    )
    await build(shop, text)
    assert seen == [("/all", False, ["Dockerfile", "f"]), ("/w/here", True, "F"), ("/one", False, ["e", "e/g"])]
    assert shop.nothing_left()
    await build(shop, text)
    assert len(runner.steps) == 1
    await build(shop, text, {"more": b"changed"})
    assert len(runner.steps) == 2


async def test_caches_last_and_secrets_do_not(shop: Workshop, runner: FakeRunner, tmp_path: Path) -> None:
    seen: list[Any] = []

    def work(_: Path) -> None:
        cache, secret = runner.steps[-1].mounts
        found = Path(cache.source) / "kept"
        seen.append((found.exists(), Path(secret.source).read_bytes(), os.stat(secret.source).st_mode & 0o777))
        found.touch()

    runner.work = work
    step = "RUN --mount=type=cache,target=/c --mount=type=secret,id=s,target=/k,env=KEY {}"
    for number, secret in enumerate((b"one", b"two")):
        taken = await last(shop, runner, step.format(number), secrets={"s": secret})
        assert f"KEY={secret.decode()}" in taken.env
    assert seen == [(False, b"one", 0o400), (True, b"two", 0o400)]
    assert not (tmp_path / "private").exists()
    # What a secret is, is no part of what was made with it.
    await last(shop, runner, step.format(1), secrets={"s": b"three"})
    assert len(runner.steps) == 2
    assert shop.services.cache_mounts is not None
    await asyncio.to_thread(shop.services.cache_mounts.clear)
    assert list((tmp_path / "mounts").iterdir()) == []


async def test_secrets_that_are_not_there(shop: Workshop, runner: FakeRunner) -> None:
    assert (await last(shop, runner, "RUN --mount=type=secret,id=s x")).mounts == ()
    for flag, secret in (("id=s,required", {}), ("id=s", {"s": bytes(501 << 10)})):
        with pytest.raises(InvalidArgument, match="secret s: "):
            await last(shop, runner, f"RUN --mount=type=secret,{flag} y", secrets=secret)


async def test_sharing_of_caches(tmp_path: Path) -> None:
    caches = CacheMounts(str(tmp_path / "m"))
    async with caches.use("a", "shared", os.mkdir) as one, caches.use("a", "shared", os.mkdir) as two:
        assert one == two
        async with caches.use("a", "private", os.mkdir) as three:
            assert three != one
        assert await asyncio.to_thread(caches.clear) >= 0
        assert os.path.isdir(one)
        assert not os.path.exists(three)
    order = []

    async def locked(name: str) -> None:
        async with caches.use("b", "locked", os.mkdir):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    await asyncio.gather(locked("x"), locked("y"))
    assert order == ["x", "x", "y", "y"]
    gc.collect()
    assert (dict(caches._users), dict(caches._locks)) == ({}, {})  # nothing stays of names that builds made up


async def test_layers_of_another_images_cache(shop: Workshop, runner: FakeRunner) -> None:
    runner.work = lambda root: (root / f"made{len(runner.steps)}").touch()
    text = "FROM scratch\nCOPY f /\nRUN x\nRUN y\n"
    first = await build(shop, text, tags=("seed",))
    await asyncio.to_thread(lambda: shop.services.cache.drop(unused_since=1e12))
    second = await build(shop, text, cache_from=("seed", "gone"))
    assert (first.image_id, len(runner.steps)) == (second.image_id, 2)
    await asyncio.to_thread(lambda: shop.services.cache.drop(unused_since=1e12))
    await build(shop, text.replace("RUN y", "RUN z"), cache_from=("seed",))
    assert [step.argv[-1] for step in runner.steps] == ["x", "y", "z"]
    await build(shop, text, {"f": b"other"}, cache_from=("seed",))
    assert len(runner.steps) == 5
    await build(shop, text, cache_from=("seed",), no_cache=True)
    assert len(runner.steps) == 7


def test_a_tree_on_disk(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"..hello..")
    tree = Tree()
    tree.put("d", Entry("folder", 0o500))
    tree.put("d/f", Entry("file", 0o640, uid=3, gid=4, data=Data(str(content), 2, 5)))
    tree.put("d/l", Entry("symlink", 0o777, link="/etc/passwd"))
    tree.put("d/n", Entry("char", 0o666, device=(1, 3)))
    lay_out(tree, "", str(tmp_path / "out"))
    assert (tmp_path / "out/d/f").read_bytes() == b"hello"
    assert os.stat(tmp_path / "out/d").st_mode & 0o777 == 0o500
    assert os.readlink(tmp_path / "out/d/l") == "/etc/passwd"
    assert not (tmp_path / "out/d/n").exists()
    lay_out(tree, "d/f", str(tmp_path / "single"))
    assert (tmp_path / "single").read_bytes() == b"hello"
    with pytest.raises(WherryError):
        lay_out(tree, "", str(tmp_path / "out"))
