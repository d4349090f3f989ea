"""An empty content store, and snapshots by either driver, in folders of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.content.local import LocalContentStore
from wherry.core.metadata.database import Database
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.snapshots.snapshotter import Snapshotter


@pytest.fixture
def content(tmp_path: Path) -> LocalContentStore:
    return LocalContentStore(str(tmp_path / "content"))


@pytest.fixture(params=[OverlaySnapshotter, CopySnapshotter])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Snapshotter]:
    database = Database(str(tmp_path / "wherry.db"))
    yield request.param(database, str(tmp_path / "snapshots"))
    database.close()
