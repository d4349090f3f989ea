"""Records of snapshots that an earlier wherry wrote."""

from pathlib import Path

from wherry.core.metadata.database import Database
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.folders import SCHEMA
from wherry.core.snapshots.snapshotter import SnapshotInfo


def test_they_are_kept_and_stood_upon(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "wherry.db"))
    database.migrate("snapshots", SCHEMA[:1])
    with database.write() as connection:
        connection.execute("INSERT INTO snapshots VALUES (7, 'copy', 'old', NULL, 'committed', 1.5, '{}')")
    (tmp_path / "snapshots/7/fs").mkdir(parents=True)
    (tmp_path / "snapshots/7/fs/kept").write_text("kept")
    snapshots = CopySnapshotter(database, str(tmp_path / "snapshots"))
    assert list(snapshots.walk()) == [SnapshotInfo("old", "", "committed", 1.5)]
    (mount,) = snapshots.prepare("new", "old")
    assert (Path(mount.source) / "kept").read_text() == "kept"
    assert snapshots.stat("new").parent == "old"
    database.close()
