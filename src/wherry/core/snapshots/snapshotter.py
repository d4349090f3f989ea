"""The snapshotter's contract: unpacked chains of layers, as containerd has it. Drivers lie beside this file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from wherry.oci.mount import Mount

Kind = Literal["active", "committed"]


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What is known of a snapshot. ``created`` in seconds since the epoch."""

    key: str
    parent: str
    kind: Kind
    created: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk used by a snapshot alone, without its parents: bytes and inodes."""

    size: int
    inodes: int


class LaidSnapshot(Protocol):
    """A writable snapshot that is not recorded yet: it can be mounted, but a killed process leaves nothing of it. Its
    holder calls one of the two, once. They block, from any thread."""

    @property
    def mounts(self) -> Sequence[Mount]: ...

    def keep(self, also: Callable[[], None] | None = None) -> None:
        """From now on it is a snapshot like any other. AlreadyExists, NotFound as `Snapshotter.prepare`: then it is
        dropped. What ``also`` writes to the same database is written with it, or neither is; what it raises is raised.
        """

    def drop(self) -> None:
        """It is not wanted after all."""


class Snapshotter(Protocol):
    """Active snapshots are written, then committed under a name. All calls block; thread-safe.

    Life: ``prepare(key, parent)`` -> mounts -> written through them -> ``commit(name, key)`` (key is gone, name is
    committed, immutable, and may be a parent) or ``remove(key)``. A process killed at any point leaves either the old
    or the new state; folders that no record names are removed when the store is next opened.
    """

    @property
    def name(self) -> str:
        """The driver's name as shown by `docker info`: ``overlay``, ``copy``."""

    def prepare(self, key: str, parent: str = "") -> Sequence[Mount]:
        """A writable snapshot on top of a committed ``parent`` ("" is empty). AlreadyExists; NotFound: the parent."""

    def lay(self, key: str, parent: str = "") -> LaidSnapshot:
        """The first half of `prepare`, for those who have something to do that need not wait for the second. NotFound:
        the parent."""

    def has_spare(self) -> bool:
        """Whether `lay` finds a folder that another had, and so waits for no disk. Does not block."""

    def mounts(self, key: str) -> Sequence[Mount]:
        """The mounts of an active snapshot. NotFound; FailedPrecondition if it is committed."""

    def layers(self, key: str) -> Sequence[str]:
        """Host folders that stacked make the snapshot, topmost first; whiteouts as overlayfs has them. NotFound."""

    def commit(self, name: str, key: str) -> None:
        """Freeze active ``key`` as committed ``name``. AlreadyExists (key stays as it was); NotFound."""

    def replace(self, name: str, key: str) -> None:
        """Put the files of active ``key``, prepared on the same parent, in place of committed ``name``'s, which are
        damaged; ``key`` is gone then. Also while ``name`` is somebody's parent. NotFound; FailedPrecondition."""

    def remove(self, key: str, also: Callable[[], None] | None = None) -> None:
        """NotFound; FailedPrecondition while it is somebody's parent. ``also`` as in `LaidSnapshot.keep`: both are
        done before the files go, or neither."""

    def forget(self, key: str) -> Callable[[], None]:
        """`remove` of a snapshot that is not committed, in two halves: it is gone now, which takes a write to the
        database and nothing else; what is returned removes the files, blocks, and is called once, whenever, from any
        thread. NotFound; FailedPrecondition: it is committed."""

    def trim(self, seconds: float) -> bool:
        """Remove what is kept of forgotten snapshots for others to come, if it was for longer than ``seconds``; whether
        anything is kept still."""

    def stat(self, key: str) -> SnapshotInfo:
        """NotFound."""

    def usage(self, key: str) -> Usage:
        """NotFound."""

    def walk(self) -> Iterator[SnapshotInfo]:
        """Every snapshot, in no order."""
