"""What all snapshotters that keep a folder for each snapshot share: the records, and both kept in step.

``ROOT/<id>/`` belongs to the record with that id. A folder is made under an id that no record ever had, before its
record is, and loses that name (``gone-...``) when the record is deleted: whatever a killed process leaves is told by
its name and removed at the next start.
"""

import contextlib
import itertools
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from wherry.core.faults import translating
from wherry.core.metadata.database import Database
from wherry.core.snapshots import trees
from wherry.core.snapshots.snapshotter import Kind, SnapshotInfo, Usage
from wherry.core.spares import Kept
from wherry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from wherry.oci.mount import Mount

SCHEMA = (
    """
    CREATE TABLE snapshots (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        driver TEXT NOT NULL,
        key TEXT NOT NULL,
        parent INTEGER REFERENCES snapshots(id),
        kind TEXT NOT NULL,
        created REAL NOT NULL,
        labels TEXT NOT NULL,
        UNIQUE (driver, key)
    ) STRICT;
    CREATE INDEX snapshots_by_parent ON snapshots (parent)
    """,
    "ALTER TABLE snapshots DROP COLUMN labels",
)


_SPARES: Final = 256
_REST: Final = 1.0
"""Seconds in which the kernel has surely taken down the mounts of a process that has ended."""


class Arrangement(Protocol):
    """How one driver uses the folders; a ``chain`` is the snapshot's own folder, then its ancestors', nearest first."""

    @property
    def name(self) -> str: ...

    def make(self, folder: str, parents: Sequence[str]) -> None:
        """Fill the new, empty ``folder``."""

    def renew(self, folder: str) -> bool:
        """Whether an active snapshot's folder, which nobody needs any more, is as one whose `make` comes to `fit`:
        nothing was ever written to it, or nothing is left of that."""

    def fit(self, folder: str, parents: Sequence[str]) -> None:
        """What remains to be done of `make` with a folder that was renewed."""

    def mounts(self, chain: Sequence[str]) -> Sequence[Mount]: ...

    def layers(self, chain: Sequence[str]) -> Sequence[str]: ...

    def own(self, folder: str) -> str:
        """The part of ``folder`` that holds the snapshot's own files."""


@dataclass(frozen=True, slots=True)
class _Laid:
    """Driver of `LaidSnapshot`."""

    owner: "FolderSnapshotter"
    number: int
    key: str
    parent: int | None
    mounts: Sequence[Mount]

    def keep(self, also: Callable[[], None] | None = None) -> None:
        self.owner.keep(self, also)

    def drop(self) -> None:
        trees.remove_tree(self.owner.folder(self.number))


class FolderSnapshotter:
    """Driver of `Snapshotter`, but for what its `Arrangement` decides. A database has one of them at a time."""

    def __init__(
        self, database: Database, root: str, arrangement: Arrangement, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Open or create the store in folder ``root`` and remove the folders that no record names."""
        self._database = database
        self._root = root
        self._arrangement = arrangement
        self._clock = clock
        self._gone: deque[str] = deque()
        self._spares = Kept(_SPARES, _REST, trees.remove_tree)
        self._committed: dict[str, tuple[int, list[str]]] = {}  # every container asks for its image's chain
        self._removals = 0
        self._guard = threading.Lock()
        database.migrate("snapshots", SCHEMA)
        with translating(f"open the snapshots at {root}"):
            os.makedirs(root, mode=0o711, exist_ok=True)
            self._remove_strangers()
        self._numbers = itertools.count(self._last_number() + 1)

    def _remove_strangers(self) -> None:
        with self._database.read() as connection:
            rows = connection.execute("SELECT id FROM snapshots").fetchall()  # of every driver: they may share a root
        known = {str(number) for (number,) in rows}
        for name in os.listdir(self._root):
            if name not in known:
                trees.remove_tree(os.path.join(self._root, name))

    def _last_number(self) -> int:
        with self._database.read() as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'").fetchone()
        return int(row[0]) if row else 0

    @property
    def name(self) -> str:
        """See `Snapshotter.name`."""
        return self._arrangement.name

    def prepare(self, key: str, parent: str = "") -> Sequence[Mount]:
        """See `Snapshotter.prepare`."""
        laid = self.lay(key, parent)
        self.keep(laid)
        return laid.mounts

    def lay(self, key: str, parent: str = "") -> _Laid:
        """See `Snapshotter.lay`."""
        if not key:
            raise InvalidArgument("a snapshot needs a key")
        parent_id, parents = self._ancestors(parent)
        number = next(self._numbers)
        folder = self.folder(number)
        spare = self._spares.take(folder)
        with translating(f"make snapshot {key}"):
            if not spare:
                os.mkdir(folder, 0o711)
        try:
            with translating(f"make snapshot {key}"):
                if spare:
                    self._arrangement.fit(folder, parents)
                else:
                    self._arrangement.make(folder, parents)
        except BaseException:  # a full disk, an interrupt: the folder has no owner
            trees.remove_tree(folder)
            raise
        return _Laid(self, number, key, parent_id, self._arrangement.mounts([folder, *parents]))

    def keep(self, laid: _Laid, also: Callable[[], None] | None = None) -> None:
        """See `LaidSnapshot.keep`."""
        folder = self.folder(laid.number)
        values = (laid.number, self.name, laid.key, laid.parent, self._clock())
        try:
            with self._database.write() as connection:
                self._insert(connection, values)
                self._database.on_end(f"snapshot {folder}", _nothing, lambda: trees.remove_tree(folder))
                if also is not None:
                    also()
        except BaseException:
            trees.remove_tree(folder)
            raise

    def _insert(self, connection: sqlite3.Connection, values: tuple[object, ...]) -> None:
        try:
            connection.execute(_INSERT, values)
        except sqlite3.IntegrityError:
            key = str(values[2])
            if _find(connection, self.name, key) is not None:
                raise AlreadyExists(f"snapshot {key} exists already") from None
            raise NotFound(f"parent of snapshot {key} was removed meanwhile") from None

    def folder(self, number: int) -> str:
        """Where the snapshot with that id lies."""
        return os.path.join(self._root, str(number))

    def _ancestors(self, parent: str) -> tuple[int | None, list[str]]:
        if not parent:
            return None, []
        with contextlib.suppress(NotFound):
            number, kind, chain = self._chain_of(parent)
            if kind == "committed":
                return number, chain
        raise NotFound(f"parent snapshot {parent} not found")

    def _chain(self, connection: sqlite3.Connection, number: int) -> list[str]:
        rows = connection.execute(_CHAIN, (number,)).fetchall()
        return [self.folder(found) for (found,) in rows]

    def _known(self, connection: sqlite3.Connection, key: str) -> tuple[int, Kind]:
        found = _find(connection, self.name, key)
        if found is None:
            raise NotFound(f"snapshot {key} not found")
        return found

    def _chain_of(self, key: str) -> tuple[int, Kind, list[str]]:
        known = self._committed.get(key)
        if known is not None:
            return known[0], "committed", known[1]
        removals = self._removals
        with self._database.read() as connection:
            number, kind = self._known(connection, key)
            chain = self._chain(connection, number)
        with self._guard:
            # Nothing but its removal changes a committed snapshot, and none was removed since it was read.
            if kind == "committed" and removals == self._removals:
                self._committed[key] = number, chain
        return number, kind, chain

    def mounts(self, key: str) -> Sequence[Mount]:
        """See `Snapshotter.mounts`."""
        _, kind, chain = self._chain_of(key)
        if kind == "committed":
            raise FailedPrecondition(f"snapshot {key} is committed: prepare another on top of it, or view it")
        return self._arrangement.mounts(chain)

    def layers(self, key: str) -> Sequence[str]:
        """See `Snapshotter.layers`."""
        _, _, chain = self._chain_of(key)
        return self._arrangement.layers(chain)

    def commit(self, name: str, key: str) -> None:
        """See `Snapshotter.commit`."""
        if not name:
            raise InvalidArgument("a committed snapshot needs a name")
        with self._database.write() as connection:
            number, kind = self._known(connection, key)
            if kind != "active":
                raise FailedPrecondition(f"snapshot {key} is not active but {kind}")
            if _find(connection, self.name, name) is not None:
                raise AlreadyExists(f"snapshot {name} exists already")
            connection.execute(
                "UPDATE snapshots SET key = ?, kind = 'committed', created = ? WHERE id = ?",
                (name, self._clock(), number),
            )

    def replace(self, name: str, key: str) -> None:
        """See `Snapshotter.replace`. Killed in between, ``name`` has no files: that is seen, and mended again."""
        with self._database.write() as connection:
            number, kind = self._known(connection, name)
            spare, spare_kind = self._known(connection, key)
            if (kind, spare_kind) != ("committed", "active"):
                raise FailedPrecondition(f"snapshot {name} is {kind} and {key} is {spare_kind}: no replacing that")
            if self._chain(connection, number)[1:] != self._chain(connection, spare)[1:]:
                raise FailedPrecondition(f"snapshots {name} and {key} have different parents")
            connection.execute("DELETE FROM snapshots WHERE id = ?", (spare,))
            new = self.folder(spare)
            self._database.on_end(f"snapshot {new}", lambda: self._exchange(self.folder(number), new), _nothing)
        with translating(f"remove what was damaged of snapshot {name}"):
            while self._gone:
                trees.remove_tree(self._gone.popleft())

    def _exchange(self, place: str, new: str) -> None:
        gone = os.path.join(self._root, f"gone-{os.path.basename(new)}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, gone)
            self._gone.append(gone)
        os.rename(new, place)

    def remove(self, key: str, also: Callable[[], None] | None = None) -> None:
        """See `Snapshotter.remove`."""
        with self._database.write() as connection:
            number, _ = self._known(connection, key)
            child = connection.execute("SELECT key FROM snapshots WHERE parent = ?", (number,)).fetchone()
            if child is not None:
                raise FailedPrecondition(f"snapshot {key} is the parent of {child[0]}: remove that first")
            connection.execute("DELETE FROM snapshots WHERE id = ?", (number,))
            place, gone = (os.path.join(self._root, name) for name in (str(number), f"gone-{number}"))
            self._database.on_end(f"snapshot {place}", lambda: self._let_go(key, place, gone), _nothing)
            if also is not None:
                also()
        with translating(f"remove snapshot {key}"):
            while self._gone:
                trees.remove_tree(self._gone.popleft())

    def forget(self, key: str) -> Callable[[], None]:
        """See `Snapshotter.forget`."""
        with self._database.write() as connection:
            number, kind = self._known(connection, key)
            if kind == "committed":
                raise FailedPrecondition(f"snapshot {key} is committed: others may need it")
            connection.execute("DELETE FROM snapshots WHERE id = ?", (number,))
        return lambda: self._recycle(key, self.folder(number))

    def _recycle(self, key: str, folder: str) -> None:
        """Most containers write nothing. A folder that can be used again is kept for a snapshot to come, which gives it
        a number of its own: where many files came and went, a filesystem takes long to make one."""
        with translating(f"remove snapshot {key}"):
            if not (self._arrangement.renew(folder) and self._spares.keep(folder)):
                trees.remove_tree(folder)

    def trim(self, seconds: float) -> bool:
        """See `Snapshotter.trim`."""
        return self._spares.trim(seconds)

    def has_spare(self) -> bool:
        """See `Snapshotter.has_spare`."""
        return self._spares.has_any()

    def _let_go(self, key: str, place: str, gone: str) -> None:
        """Only the name changes while the database is locked; the files go afterwards."""
        with self._guard:
            self._removals += 1
            self._committed.pop(key, None)
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, gone)
            self._gone.append(gone)

    def stat(self, key: str) -> SnapshotInfo:
        """See `Snapshotter.stat`."""
        with self._database.read() as connection:
            row = connection.execute(f"{_SELECT} WHERE s.driver = ? AND s.key = ?", (self.name, key)).fetchone()
        if row is None:
            raise NotFound(f"snapshot {key} not found")
        return SnapshotInfo(*row)

    def usage(self, key: str) -> Usage:
        """See `Snapshotter.usage`."""
        _, _, chain = self._chain_of(key)
        return trees.usage(self._arrangement.own(chain[0]))

    def walk(self) -> Iterator[SnapshotInfo]:
        """See `Snapshotter.walk`."""
        with self._database.read() as connection:
            rows = connection.execute(f"{_SELECT} WHERE s.driver = ? ORDER BY s.id", (self.name,)).fetchall()
        return (SnapshotInfo(*row) for row in rows)


_INSERT = "INSERT INTO snapshots (id, driver, key, parent, kind, created) VALUES (?, ?, ?, ?, 'active', ?)"
_SELECT = (
    "SELECT s.key, coalesce(p.key, ''), s.kind, s.created FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent"
)
_CHAIN = """
    WITH RECURSIVE chain(id, parent, depth) AS (
        SELECT id, parent, 0 FROM snapshots WHERE id = ?
        UNION ALL
        SELECT s.id, s.parent, depth + 1 FROM snapshots s JOIN chain ON s.id = chain.parent
    )
    SELECT id FROM chain ORDER BY depth
"""


def _find(connection: sqlite3.Connection, driver: str, key: str) -> tuple[int, Kind] | None:
    row: tuple[int, Kind] | None = connection.execute(
        "SELECT id, kind FROM snapshots WHERE driver = ? AND key = ?", (driver, key)
    ).fetchone()
    return row


def _nothing() -> None:
    return None
