"""A container's folders: what one had is the next one's, but for what was in it."""

import os
from pathlib import Path

import pytest

from tests.fakes.engine import World, until
from wherry.engine.containers.folders import Folders, container_folder, log_name
from wherry.engine.services import EngineConfig
from wherry.oci.platform import Platform

ONE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def config(tmp_path: Path) -> EngineConfig:
    return EngineConfig(root=str(tmp_path), state=str(tmp_path / "state"), default_platform=Platform("linux", "amd64"))


@pytest.fixture
def folders(config: EngineConfig) -> Folders:
    made = Folders(config)
    made.clear()
    return made


def with_log(root: Path, container_id: str) -> Path:
    folder = Path(container_folder(str(root), container_id))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o710)
    (folder / log_name(container_id)).write_bytes(b"{}\n")
    return folder


def test_a_folder_without_its_log_is_kept(tmp_path: Path, folders: Folders) -> None:
    folder = with_log(tmp_path, ONE)
    inode = folder.stat().st_ino
    with (folder / log_name(ONE)).open("rb") as log:  # somebody reads it still
        folders.remove(ONE)
        assert log.read() == b"{}\n"
    assert folders.ids() == set()
    kept = list((tmp_path / "spares").iterdir())
    assert [place.stat().st_ino for place in kept] == [inode]
    (log,) = kept[0].iterdir()
    assert (log.name, log.read_bytes(), log.stat().st_mode & 0o777) == ("log", b"", 0o640)
    folders.clear()
    assert list((tmp_path / "spares").iterdir()) == []


@pytest.mark.parametrize("what", ["another file", "a rotated log", "other rights", "another's log"])
def test_any_other_goes(tmp_path: Path, folders: Folders, what: str) -> None:
    folder = with_log(tmp_path, ONE)
    match what:
        case "another file":
            (folder / "hosts").touch()
        case "a rotated log":
            (folder / (log_name(ONE) + ".1")).touch()
        case "other rights":
            folder.chmod(0o777)
        case _:
            (folder / log_name(ONE)).rename(folder / log_name(OTHER))
    folders.remove(ONE)
    assert not folder.exists()
    assert list((tmp_path / "spares").iterdir()) == []


def test_nothing_to_remove_is_no_error(tmp_path: Path, folders: Folders) -> None:
    folders.remove(ONE)
    assert list((tmp_path / "spares").iterdir()) == []


async def test_a_run_s_folders_are_the_next_one_s_and_none_outlives_the_engine(world: World) -> None:
    runs, state = world.folder / "state", world.folder / "state" / "spares"
    async with world.engine() as containers:
        first = str((await containers.create(None, {"Image": "hello"}, None))["Id"])
        await until(lambda: (runs / "io" / first / "stdout").exists())
        inode = (runs / "io" / first / "stdout").stat().st_ino
        await containers.start(first)
        await until(lambda: len(os.listdir(state)) == 1)
        await containers._sweeper.close()  # it is looked at
        second = str((await containers.create(None, {"Image": "hello"}, None))["Id"])
        await until(lambda: (runs / "io" / second / "stdout").exists())
        assert (runs / "io" / second / "stdout").stat().st_ino == inode
        for container in (first, second):
            await containers.remove(container)
    assert os.listdir(state) == []
    (state / "7").mkdir()  # a killed engine's
    async with world.engine():
        assert os.listdir(state) == []
