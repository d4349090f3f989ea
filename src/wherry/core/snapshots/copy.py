"""Snapshots as whole copies: what works on every kernel and filesystem, at the price of space and time.

``<id>/fs`` holds the whole tree. Where the filesystem can (btrfs, xfs), file data is shared until it is written.
"""

import os
import time
from collections.abc import Callable, Sequence

from wherry.core.metadata.database import Database
from wherry.core.snapshots.folders import FolderSnapshotter
from wherry.core.snapshots.trees import copy_tree
from wherry.oci.mount import Mount


class CopyArrangement:
    """A folder each, with a copy of the parent's to begin with."""

    @property
    def name(self) -> str:
        return "copy"

    def own(self, folder: str) -> str:
        return f"{folder}/fs"

    def make(self, folder: str, parents: Sequence[str]) -> None:
        if parents:
            copy_tree(f"{parents[0]}/fs", f"{folder}/fs", own=os.geteuid() == 0)
        else:
            os.mkdir(f"{folder}/fs")
            os.chmod(f"{folder}/fs", 0o755)

    def renew(self, folder: str) -> bool:
        return False  # every one holds a copy of its parent

    def fit(self, folder: str, parents: Sequence[str]) -> None:
        raise AssertionError("nothing is renewed")

    def layers(self, chain: Sequence[str]) -> Sequence[str]:
        return [f"{chain[0]}/fs"]

    def mounts(self, chain: Sequence[str]) -> Sequence[Mount]:
        return [Mount("bind", f"{chain[0]}/fs", ("rbind", "rw"))]


class CopySnapshotter(FolderSnapshotter):
    """Driver of `Snapshotter` that needs nothing of the kernel."""

    def __init__(self, database: Database, root: str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, root, CopyArrangement(), clock=clock)
