"""Snapshots as layers of overlayfs: nothing is copied, the kernel stacks the folders when a container starts.

``<id>/fs`` holds the snapshot's own files, with whiteouts as overlayfs has them, ``<id>/work`` is the kernel's.
Source: https://docs.kernel.org/filesystems/overlayfs.html
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from wherry.core.metadata.database import Database
from wherry.core.snapshots.folders import FolderSnapshotter
from wherry.errors import FailedPrecondition
from wherry.oci.mount import Mount

_MARKS: Final = ("trusted.overlay.", "user.overlay.")


class OverlayArrangement:
    """``userxattr``: the marks are user.overlay.* xattrs, as mounts in a user namespace need them."""

    def __init__(self, *, userxattr: bool) -> None:
        self._options = ("userxattr",) if userxattr else ()

    @property
    def name(self) -> str:
        return "overlay"

    def own(self, folder: str) -> str:
        return f"{folder}/fs"

    def make(self, folder: str, parents: Sequence[str]) -> None:
        os.mkdir(f"{folder}/fs", 0o755)
        os.mkdir(f"{folder}/work", 0o711)
        self._take_after(folder, parents)

    def _take_after(self, folder: str, parents: Sequence[str]) -> None:
        mode = 0o755
        if parents:  # the merged root shows the top folder's owner and mode
            below = os.stat(f"{parents[0]}/fs")
            mode = below.st_mode & 0o7777
            if os.geteuid() == 0:
                os.chown(f"{folder}/fs", below.st_uid, below.st_gid)
        os.chmod(f"{folder}/fs", mode)

    def renew(self, folder: str) -> bool:
        try:
            if set(os.listdir(folder)) != {"fs", "work"} or os.listdir(f"{folder}/fs"):
                return False
            for name in os.listdir(f"{folder}/work"):
                os.rmdir(f"{folder}/work/{name}")
            for attribute in os.listxattr(f"{folder}/fs", follow_symlinks=False):
                if not attribute.startswith(_MARKS):
                    return False
                os.removexattr(f"{folder}/fs", attribute, follow_symlinks=False)
        except OSError:  # something is in there, or it is not ours any more
            return False
        return True

    def fit(self, folder: str, parents: Sequence[str]) -> None:
        if not parents and os.geteuid() == 0:
            os.chown(f"{folder}/fs", 0, os.getegid())
        self._take_after(folder, parents)
        os.utime(f"{folder}/fs")

    def layers(self, chain: Sequence[str]) -> Sequence[str]:
        return [f"{folder}/fs" for folder in chain]

    def mounts(self, chain: Sequence[str]) -> Sequence[Mount]:
        folders = self.layers(chain)
        if len(folders) == 1:  # overlayfs wants two at least
            return [Mount("bind", folders[0], ("rbind", "rw"))]
        upper = (f"workdir={chain[0]}/work", f"upperdir={folders[0]}")
        return [Mount("overlay", "overlay", (*self._options, *upper, f"lowerdir={':'.join(folders[1:])}"))]


class OverlaySnapshotter(FolderSnapshotter):
    """Driver of `Snapshotter` where the kernel mounts overlayfs for us (see probe)."""

    def __init__(
        self, database: Database, root: str, *, userxattr: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        """FailedPrecondition: ``root`` has a character that overlayfs's options cannot hold."""
        if set(root) & set(",:\\"):
            raise FailedPrecondition(f"{root}: overlayfs cannot have , : or \\ in a path: choose another --root")
        super().__init__(database, root, OverlayArrangement(userxattr=userxattr), clock=clock)
