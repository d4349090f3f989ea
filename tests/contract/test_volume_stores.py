"""What every driver of the volume store does, and what a killed process leaves of the local one."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.metadata.database import Database
from wherry.core.volumes.local import LocalVolumeStore
from wherry.core.volumes.store import Volume, VolumeStore
from wherry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

DATA = Volume("data", 1.5, {"k": "ü"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "wherry.db"))
    yield database
    database.close()


@pytest.fixture(params=[LocalVolumeStore])
def volumes(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> VolumeStore:
    return request.param(database, str(tmp_path / "volumes"))


def test_they_come_back_as_they_were_made(volumes: VolumeStore) -> None:
    volumes.create(DATA)
    volumes.create(Volume("a.b-c_1", 2.0))
    assert volumes.get("data") == DATA
    assert [volume.name for volume in volumes.walk()] == ["a.b-c_1", "data"]
    with pytest.raises(AlreadyExists):
        volumes.create(DATA)


def test_a_volume_is_a_folder_that_everybody_may_read(volumes: VolumeStore) -> None:
    previous = os.umask(0o077)
    try:
        volumes.create(DATA)
    finally:
        os.umask(previous)
    folder = Path(volumes.folder("data"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    (folder / "file").write_text("x" * 5000)
    assert volumes.usage("data").size >= 5000
    assert volumes.folder("data") == str(folder) == volumes.mountpoint("data")


def test_removal_takes_its_files_and_its_name(volumes: VolumeStore) -> None:
    volumes.create(DATA)
    folder = Path(volumes.folder("data"))
    (folder / "deep").mkdir(mode=0)
    volumes.remove("data")
    assert not folder.exists()
    for ask in (volumes.get, volumes.folder, volumes.remove, volumes.usage):
        with pytest.raises(NotFound, match="get data: no such volume"):
            ask("data")
    volumes.create(DATA)
    assert not os.listdir(volumes.folder("data"))


def test_provisional_ones_are_told_apart(volumes: VolumeStore) -> None:
    volumes.create(Volume("one", 1.0, provisional=True))
    volumes.create(Volume("two", 1.0))
    volumes.mark(["two", "absent"], provisional=True)
    volumes.mark(["one"], provisional=False)
    assert [(volume.name, volume.provisional) for volume in volumes.walk()] == [("one", False), ("two", True)]
    volumes.remove("two")
    assert [volume.name for volume in volumes.walk()] == ["one"]


@pytest.mark.parametrize("name", ["", "a", ".x", "-x", "a/b", "../x", "a b", "ü", "x" * 256, "a\n", "..", "a\0b"])
def test_names_that_are_none(volumes: VolumeStore, name: str) -> None:
    with pytest.raises(InvalidArgument):
        volumes.create(Volume(name, 1.0))
    assert not list(volumes.walk())


def test_another_folder_in_its_place(volumes: VolumeStore, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.mkdir()
    volumes.create(Volume("there", 1.0, options={"type": "none", "o": "bind", "device": str(device)}))
    assert volumes.folder("there") == str(device)
    volumes.remove("there")
    assert device.is_dir()
    volumes.create(Volume("nowhere", 1.0, options={"o": "bind", "device": str(tmp_path / "absent")}))
    with pytest.raises(FailedPrecondition, match="no such file or directory"):
        volumes.folder("nowhere")


@pytest.mark.parametrize(
    "options",
    [{"size": "1"}, {"type": "nfs", "o": "addr=1", "device": ":/x"}, {"o": "bind"}, {"o": "bind", "device": "rel"}],
)
def test_options_that_are_not_offered(volumes: VolumeStore, options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        volumes.create(Volume("x1", 1.0, options=options))


def test_a_removal_cut_short_is_finished(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    volumes = LocalVolumeStore(database, str(root))
    for name in ("marked", "renamed", "kept"):
        volumes.create(Volume(name, 1.0))
        (Path(volumes.folder(name)) / "file").write_text(name)
    with database.write() as connection:
        connection.execute("UPDATE volumes SET state = 'removing' WHERE name != 'kept'")
    os.rename(root / "renamed", root / ".gone-renamed")
    again = LocalVolumeStore(database, str(root))
    assert [volume.name for volume in again.walk()] == ["kept"]
    assert os.listdir(root) == ["kept"]
    assert (Path(again.folder("kept")) / "file").read_text() == "kept"


def test_files_without_a_record_are_a_volume_again(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    (root / "found" / "_data").mkdir(parents=True)
    (root / "found" / "_data" / "file").write_text("precious")
    (root / "..odd").mkdir()
    (root / "no-data").mkdir()
    volumes = LocalVolumeStore(database, str(root), clock=lambda: 7.0)
    assert list(volumes.walk()) == [Volume("found", 7.0)]
    assert (Path(volumes.folder("found")) / "file").read_text() == "precious"


def test_a_record_without_its_folder_has_an_empty_one(database: Database, tmp_path: Path) -> None:
    volumes = LocalVolumeStore(database, str(tmp_path / "volumes"))
    volumes.create(DATA)
    os.rmdir(volumes.folder("data"))
    os.rmdir(tmp_path / "volumes" / "data")
    assert os.listdir(LocalVolumeStore(database, str(tmp_path / "volumes")).folder("data")) == []
