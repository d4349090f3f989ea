"""What every driver of `Snapshotter` does; what a mount shows is looked at through real mounts."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry.core.metadata.database import Database
from wherry.core.snapshots import folders
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import AlreadyExists, FailedPrecondition, NotFound
from wherry.linux import mounts

DRIVERS = {"overlay": OverlaySnapshotter, "copy": CopySnapshotter}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "wherry.db"))
    yield database
    database.close()


@pytest.fixture(params=sorted(DRIVERS))
def snapshots(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Snapshotter:
    return DRIVERS[request.param](database, str(tmp_path / "snapshots"))


@contextmanager
def mounted(snapshots: Snapshotter, key: str, tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "mounted" / key
    target.mkdir(parents=True, exist_ok=True)
    (mount,) = snapshots.mounts(key)
    mounts.apply(mount, str(target))
    try:
        yield target
    finally:
        mounts.umount(str(target))


def layer(snapshots: Snapshotter, name: str, parent: str, files: dict[str, str], tmp_path: Path) -> None:
    snapshots.prepare(f"{name}-active", parent)
    with mounted(snapshots, f"{name}-active", tmp_path) as root:
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    snapshots.commit(name, f"{name}-active")


def test_what_is_written_through_the_mounts_stays(snapshots: Snapshotter, tmp_path: Path) -> None:
    snapshots.prepare("a")
    with mounted(snapshots, "a", tmp_path) as root:
        assert list(root.iterdir()) == []
        (root / "file").write_text("kept")
    with mounted(snapshots, "a", tmp_path) as root:
        assert (root / "file").read_text() == "kept"


def test_children_see_parents_and_parents_see_nothing(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {"a": "1", "d/b": "1", "d/gone": "1"}, tmp_path)
    layer(snapshots, "two", "one", {"a": "2", "d/c": "2"}, tmp_path)
    snapshots.prepare("box", "two")
    with mounted(snapshots, "box", tmp_path) as root:
        assert (root / "a").read_text() == "2"
        assert sorted(os.listdir(root / "d")) == ["b", "c", "gone"]
        (root / "d/gone").unlink()
        (root / "d/b").write_text("3")
        (root / "new").write_text("3")
    snapshots.prepare("look", "two")
    with mounted(snapshots, "look", tmp_path) as root:
        assert (root / "d/b").read_text() == "1"
        assert (root / "d/gone").exists()
        assert not (root / "new").exists()
    with mounted(snapshots, "box", tmp_path) as root:
        assert not (root / "d/gone").exists()
        assert (root / "d/b").read_text() == "3"


def test_modes_owners_links_and_times_pass_through(snapshots: Snapshotter, tmp_path: Path) -> None:
    snapshots.prepare("a")
    with mounted(snapshots, "a", tmp_path) as root:
        (root / "f").write_bytes(b"")
        os.truncate(root / "f", 1 << 20)
        os.link(root / "f", root / "hard")
        os.symlink("/nowhere", root / "soft")
        os.mkfifo(root / "fifo")
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (root / "closed").mkdir(mode=0o700)
        os.setxattr(root / "f", "user.word", b"here")
        os.chown(root / "f", 12, 34)
        os.chmod(root / "f", 0o4751)
        os.utime(root / "f", ns=(5, 1_000_000_007))
        os.chown(root, 3, 4)
        os.chmod(root, 0o1777)
    snapshots.commit("base", "a")
    snapshots.prepare("b", "base")
    with mounted(snapshots, "b", tmp_path) as root:
        status = (root / "f").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12, 34, 0o4751)
        assert (status.st_size, status.st_mtime_ns, status.st_nlink) == (1 << 20, 1_000_000_007, 2)
        assert status.st_blocks == 0
        assert (root / "hard").samefile(root / "f")
        assert os.getxattr(root / "f", "user.word") == b"here"
        assert os.readlink(root / "soft") == "/nowhere"
        assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
        assert (root / "null").stat().st_rdev == os.makedev(1, 3)
        assert (root / "closed").stat().st_mode & 0o7777 == 0o700
        assert (root.stat().st_uid, root.stat().st_gid, root.stat().st_mode & 0o7777) == (3, 4, 0o1777)


def test_layers_are_the_folders_of_the_stack(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {"a": "1"}, tmp_path)
    layer(snapshots, "two", "one", {"b": "2"}, tmp_path)
    snapshots.prepare("box", "two")
    for key in ("two", "box"):
        folders = snapshots.layers(key)
        assert {name for folder in folders for name in os.listdir(folder)} == {"a", "b"}
    assert (Path(snapshots.layers("two")[0]) / "b").read_text() == "2"


def test_a_committed_snapshot_has_no_mounts(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {}, tmp_path)
    with pytest.raises(FailedPrecondition, match="committed"):
        snapshots.mounts("one")
    with pytest.raises(NotFound):
        snapshots.mounts("one-active")


def test_what_is_known_of_a_snapshot(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {"a": "x" * 5000}, tmp_path)
    snapshots.prepare("box", "one")
    info = snapshots.stat("box")
    assert (info.key, info.parent, info.kind) == ("box", "one", "active")
    assert info.created > 0
    assert {found.key: found.kind for found in snapshots.walk()} == {"one": "committed", "box": "active"}
    usage = snapshots.usage("one")
    assert usage.inodes == 1
    assert usage.size >= 5000


def test_names_are_unique(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {}, tmp_path)
    snapshots.prepare("box")
    for key, parent in (("box", ""), ("one", ""), ("box", "one")):
        with pytest.raises(AlreadyExists):
            snapshots.prepare(key, parent)
    with pytest.raises(AlreadyExists):
        snapshots.commit("one", "box")
    assert snapshots.stat("box").kind == "active"


def test_parents_are_committed_snapshots(snapshots: Snapshotter) -> None:
    snapshots.prepare("box")
    for parent in ("nobody", "box"):
        with pytest.raises(NotFound, match=parent):
            snapshots.prepare("child", parent)
    assert [info.key for info in snapshots.walk()] == ["box"]


def test_parents_go_last(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {"a": "1"}, tmp_path)
    snapshots.prepare("box", "one")
    with pytest.raises(FailedPrecondition, match="box"):
        snapshots.remove("one")
    snapshots.remove("box")
    snapshots.remove("one")
    assert list(snapshots.walk()) == []
    assert os.listdir(tmp_path / "snapshots") == []


def test_what_is_absent_is_not_found(snapshots: Snapshotter) -> None:
    asks = (snapshots.stat, snapshots.usage, snapshots.mounts, snapshots.layers, snapshots.remove)
    for ask in (*asks, lambda key: snapshots.commit("name", key)):
        with pytest.raises(NotFound, match="nobody"):
            ask("nobody")


def test_only_active_ones_are_committed(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "one", "", {}, tmp_path)
    with pytest.raises(FailedPrecondition):
        snapshots.commit("other", "one")


def test_trees_however_deep_and_closed_are_removed(snapshots: Snapshotter, tmp_path: Path) -> None:
    snapshots.prepare("deep")
    with mounted(snapshots, "deep", tmp_path) as root:
        (root / ".moved.0" / "x").mkdir(parents=True)
        handle = os.open(root, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d" * 50, 0o700, dir_fd=handle)
            below = os.open("d" * 50, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = below
        os.close(os.open("leaf", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
        os.close(handle)
    snapshots.remove("deep")
    assert os.listdir(tmp_path / "snapshots") == []


def test_what_a_killed_process_left_is_removed_at_the_next_start(
    snapshots: Snapshotter, database: Database, tmp_path: Path
) -> None:
    layer(snapshots, "one", "", {"a": "1"}, tmp_path)
    for stranger in ("new-0", "gone-77", "99"):
        (tmp_path / "snapshots" / stranger / "fs").mkdir(parents=True)
    again = type(snapshots)(database, str(tmp_path / "snapshots"))
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    again.prepare("box", "one")
    with mounted(again, "box", tmp_path) as root:
        assert (root / "a").read_text() == "1"


def test_another_driver_on_the_same_root_removes_nothing(
    snapshots: Snapshotter, database: Database, tmp_path: Path
) -> None:
    layer(snapshots, "one", "", {"a": "1"}, tmp_path)
    (other,) = (driver for driver in DRIVERS.values() if not isinstance(snapshots, driver))
    layer(other(database, str(tmp_path / "snapshots")), "one", "", {"b": "1"}, tmp_path)
    again = type(snapshots)(database, str(tmp_path / "snapshots"))
    assert os.listdir(again.layers("one")[0]) == ["a"]


def test_a_transaction_undone_undoes_the_folders(snapshots: Snapshotter, database: Database, tmp_path: Path) -> None:
    snapshots.prepare("old")

    def attempt() -> None:
        with database.write():
            snapshots.remove("old")
            snapshots.prepare("new")
            raise ValueError

    with pytest.raises(ValueError):
        attempt()
    assert [info.key for info in snapshots.walk()] == ["old"]
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    with mounted(snapshots, "old", tmp_path) as root:
        assert list(root.iterdir()) == []


def test_what_is_laid_can_be_used_before_it_is_recorded(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "base", "", {"file": "below"}, tmp_path)
    laid = snapshots.lay("a", "base")
    with pytest.raises(NotFound):
        snapshots.stat("a")
    target = tmp_path / "early"
    target.mkdir()
    mounts.apply(laid.mounts[0], str(target))
    try:
        assert (target / "file").read_text() == "below"
        laid.keep()
        (target / "more").write_text("kept")
    finally:
        mounts.umount(str(target))
    assert snapshots.stat("a").parent == "base"
    with mounted(snapshots, "a", tmp_path) as root:
        assert (root / "more").read_text() == "kept"


def test_what_is_laid_and_not_kept_is_gone(snapshots: Snapshotter, database: Database, tmp_path: Path) -> None:
    layer(snapshots, "base", "", {"file": "below"}, tmp_path)
    before = sorted(os.listdir(tmp_path / "snapshots"))
    snapshots.lay("dropped", "base").drop()
    snapshots.prepare("taken", "base")
    late = snapshots.lay("taken", "base")
    with pytest.raises(AlreadyExists):
        late.keep()
    snapshots.remove("taken")
    orphan = snapshots.lay("orphan", "base")
    snapshots.remove("base")
    with pytest.raises(NotFound):
        orphan.keep()
    with pytest.raises(NotFound):
        snapshots.lay("late", "base")
    layer(snapshots, "base", "", {"file": "another"}, tmp_path)
    snapshots.prepare("b", "base")
    with mounted(snapshots, "b", tmp_path) as root:
        assert (root / "file").read_text() == "another"
    snapshots.lay("killed here", "base")
    snapshots.remove("b")
    type(snapshots)(database, str(tmp_path / "snapshots"))
    assert len(os.listdir(tmp_path / "snapshots")) == len(before)


def test_what_is_written_along_is_written_or_nothing_is(
    snapshots: Snapshotter, database: Database, tmp_path: Path
) -> None:
    with database.write() as connection:
        connection.execute("CREATE TABLE notes (word TEXT)")

    def note(word: str) -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO notes VALUES (?)", (word,))

    def note_and_fail() -> None:
        note("half")
        raise AlreadyExists("the name is taken")

    def notes() -> list[str]:
        with database.read() as connection:
            return [word for (word,) in connection.execute("SELECT word FROM notes")]

    with pytest.raises(AlreadyExists, match="taken"):
        snapshots.lay("one").keep(also=note_and_fail)
    assert (notes(), list(snapshots.walk()), os.listdir(tmp_path / "snapshots")) == ([], [], [])
    snapshots.lay("one").keep(also=lambda: note("kept"))
    with pytest.raises(AlreadyExists, match="taken"):
        snapshots.remove("one", also=note_and_fail)
    with mounted(snapshots, "one", tmp_path) as root:
        (root / "file").write_text("it is whole")
    assert notes() == ["kept"]
    snapshots.remove("one", also=lambda: note("gone"))
    assert (notes(), list(snapshots.walk()), os.listdir(tmp_path / "snapshots")) == (["kept", "gone"], [], [])


def test_damaged_files_are_replaced_below_those_who_stand_on_them(snapshots: Snapshotter, tmp_path: Path) -> None:
    layer(snapshots, "base", "", {"file": "damaged"}, tmp_path)
    snapshots.prepare("box", "base")
    shutil.rmtree(snapshots.layers("base")[0])
    snapshots.prepare("right")
    with mounted(snapshots, "right", tmp_path) as root:
        (root / "file").write_text("right")
    with pytest.raises(FailedPrecondition, match="no replacing"):
        snapshots.replace("base", "base")
    with pytest.raises(FailedPrecondition, match="different parents"):
        snapshots.replace("base", "box")
    with pytest.raises(NotFound):
        snapshots.replace("base", "nothing")
    snapshots.replace("base", "right")
    assert (Path(snapshots.layers("base")[0]) / "file").read_text() == "right"
    assert snapshots.stat("box").parent == "base"
    with pytest.raises(NotFound):
        snapshots.stat("right")
    snapshots.remove("box")
    snapshots.remove("base")


def test_what_is_forgotten_is_gone_and_its_files_go_later(
    snapshots: Snapshotter, database: Database, tmp_path: Path
) -> None:
    layer(snapshots, "base", "", {"file": "below"}, tmp_path)
    snapshots.prepare("box", "base")
    with mounted(snapshots, "box", tmp_path) as root:
        (root / "file").write_text("changed")
    files = snapshots.layers("box")[0]
    remove = snapshots.forget("box")
    with pytest.raises(NotFound):
        snapshots.stat("box")
    assert os.path.exists(files)
    snapshots.prepare("box", "base")  # another one of that name is another one
    remove()
    assert not os.path.exists(files)
    with mounted(snapshots, "box", tmp_path) as root:
        assert (root / "file").read_text() == "below"
    with pytest.raises(NotFound):
        snapshots.forget("nobody")
    with pytest.raises(FailedPrecondition):
        snapshots.forget("base")
    snapshots.forget("box")  # and nobody calls what it returns: the engine was killed
    type(snapshots)(database, str(tmp_path / "snapshots"))
    assert len(os.listdir(tmp_path / "snapshots")) == 1


def test_only_a_folder_that_nothing_is_left_in_is_used_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_REST", -1.0)
    snapshots = OverlaySnapshotter(database, str(tmp_path / "snapshots"))
    layer(snapshots, "base", "", {"file": "below"}, tmp_path)

    def cycle(touch: Callable[[Path], object] = lambda _: None) -> int:
        snapshots.prepare("box", "base")
        with mounted(snapshots, "box", tmp_path) as root:
            assert (os.listdir(root), (root / "file").read_text()) == (["file"], "below")
            assert (root.stat().st_mode, root.stat().st_uid) == (0o40755, os.geteuid())
            touch(root)
        assert not snapshots.has_spare()
        own = snapshots.layers("box")[0]
        inode = os.stat(own).st_ino
        snapshots.forget("box")()
        return inode

    first = cycle()
    assert cycle(lambda root: root.chmod(0o700)) == first
    assert cycle(lambda root: os.chown(root, 7, 7)) == first
    assert cycle(lambda root: ((root / "new").write_text("x"), (root / "new").unlink())) == first
    assert cycle(lambda root: (root / "file").unlink()) == first  # leaves a whiteout: it is removed
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    cycle(lambda root: (root / "new").write_text("x"))
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    cycle(lambda root: os.setxattr(root, "user.mine", b"x"))
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    cycle()
    assert len(os.listdir(tmp_path / "snapshots")) == 2
    assert snapshots.trim(60)
    assert snapshots.has_spare()
    assert len(os.listdir(tmp_path / "snapshots")) == 2
    assert not snapshots.trim(-1)
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    cycle()
    OverlaySnapshotter(database, str(tmp_path / "snapshots"))  # the engine was killed
    assert len(os.listdir(tmp_path / "snapshots")) == 1
    cycle()  # what was kept is gone: it is made


def test_what_was_in_use_a_moment_ago_is_not_used_again_yet(database: Database, tmp_path: Path) -> None:
    snapshots = OverlaySnapshotter(database, str(tmp_path / "snapshots"))
    snapshots.prepare("a")
    before = os.stat(snapshots.layers("a")[0]).st_ino
    snapshots.forget("a")()
    assert not snapshots.has_spare()
    snapshots.prepare("b")
    assert os.stat(snapshots.layers("b")[0]).st_ino != before
