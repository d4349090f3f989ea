"""Volumes as folders below the engine's root, their records in SQLite.

``ROOT/<name>/_data`` holds a volume's files, as dockerd lays them out. A record is made before its folder and deleted
after it: what a killed process leaves is finished at the next start. Removal marks the record first and takes the
folder's name away in one rename; so a folder with a volume's name is data that somebody may want, always.
"""

import contextlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from wherry.core.faults import translating
from wherry.core.metadata.database import Database
from wherry.core.snapshots import trees
from wherry.core.snapshots.snapshotter import Usage
from wherry.core.volumes.store import Volume
from wherry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

SCHEMA = (
    """
    CREATE TABLE volumes (
        name TEXT PRIMARY KEY,
        created REAL NOT NULL,
        labels TEXT NOT NULL,
        options TEXT NOT NULL,
        state TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_LONGEST: Final = 255
_GONE: Final = ".gone-"
_OPTIONS: Final = frozenset({"type", "o", "device"})


class LocalVolumeStore:
    """Driver of `VolumeStore`."""

    def __init__(self, database: Database, root: str, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create the store in folder ``root``; finish what a killed process had begun."""
        self._database = database
        self._root = root
        self._clock = clock
        self._removal = threading.Lock()
        database.migrate("volumes", SCHEMA)
        with translating(f"open the volumes at {root}"):
            os.makedirs(root, mode=0o711, exist_ok=True)
            self._finish_removals()
            self._adopt()

    def _finish_removals(self) -> None:
        with self._database.read() as connection:
            rows = connection.execute("SELECT name FROM volumes WHERE state = 'removing'").fetchall()
        for (name,) in rows:
            self._erase(name)
        for name in os.listdir(self._root):
            if name.startswith(_GONE):
                trees.remove_tree(os.path.join(self._root, name))

    def _adopt(self) -> None:
        """Folders without a record: a power cut took the record back, or somebody restored a backup."""
        known = {volume.name for volume in self.walk()}
        for name in sorted(os.listdir(self._root)):
            if name not in known and _is_name(name) and os.path.isdir(os.path.join(self._root, name, "_data")):
                self._insert(Volume(name, self._clock()))

    @property
    def driver(self) -> str:
        """See `VolumeStore.driver`."""
        return "local"

    def create(self, volume: Volume) -> None:
        """See `VolumeStore.create`."""
        check_name(volume.name)
        _check_options(volume.options)
        self._insert(volume)
        self._make(volume.name)

    def _insert(self, volume: Volume) -> None:
        state = "provisional" if volume.provisional else ""
        values = (volume.name, volume.created, _json(volume.labels), _json(volume.options), state)
        with self._database.write() as connection:
            try:
                connection.execute("INSERT INTO volumes VALUES (?, ?, ?, ?, ?)", values)
            except sqlite3.IntegrityError:
                raise AlreadyExists(f"volume {volume.name} exists already") from None

    def _make(self, name: str) -> str:
        path = self.mountpoint(name)
        with translating(f"make volume {name}"):
            os.makedirs(os.path.dirname(path), mode=0o701, exist_ok=True)
            try:
                os.mkdir(path, 0o755)
            except FileExistsError:
                return path
            os.chmod(path, 0o755)  # whatever the umask
        return path

    def get(self, name: str) -> Volume:
        """See `VolumeStore.get`."""
        with self._database.read() as connection:
            row = connection.execute(f"{_SELECT} AND name = ?", (name,)).fetchone()
        if row is None:
            raise NotFound(f"get {name[:_LONGEST]}: no such volume")
        return _volume(row)

    def walk(self) -> Iterator[Volume]:
        """See `VolumeStore.walk`."""
        with self._database.read() as connection:
            rows = connection.execute(f"{_SELECT} ORDER BY name").fetchall()
        return map(_volume, rows)

    def folder(self, name: str) -> str:
        """See `VolumeStore.folder`."""
        options = self.get(name).options
        if not options:
            return self._make(name)
        device = options["device"]
        if not os.path.isdir(device):
            raise FailedPrecondition(
                f"error while mounting volume '{self.mountpoint(name)}': failed to mount local volume: "
                f"mount {device}: no such file or directory"
            )
        return device

    def mark(self, names: Iterable[str], *, provisional: bool) -> None:
        """See `VolumeStore.mark`."""
        with self._database.write() as connection:
            connection.executemany(_MARK, [("provisional" if provisional else "", name) for name in names])

    def mountpoint(self, name: str) -> str:
        """See `VolumeStore.mountpoint`."""
        return os.path.join(self._root, name, "_data")

    def remove(self, name: str) -> None:
        """See `VolumeStore.remove`."""
        with self._database.write() as connection:
            changed = connection.execute(_REMOVE, (name,))
            if changed.rowcount == 0:
                raise NotFound(f"get {name[:_LONGEST]}: no such volume")
        self._erase(name)

    def _erase(self, name: str) -> None:
        gone = os.path.join(self._root, f"{_GONE}{name}")
        with translating(f"remove volume {name}"), self._removal:
            trees.remove_tree(gone)
            with contextlib.suppress(FileNotFoundError):
                os.rename(os.path.join(self._root, name), gone)
            with self._database.write() as connection:
                connection.execute("DELETE FROM volumes WHERE name = ?", (name,))
            trees.remove_tree(gone)

    def usage(self, name: str) -> Usage:
        """See `VolumeStore.usage`."""
        if self.get(name).options:
            return Usage(0, 0)  # it lies elsewhere, and is somebody else's
        return trees.usage(self.mountpoint(name))


_SELECT = "SELECT name, created, labels, options, state FROM volumes WHERE state != 'removing'"
_REMOVE = "UPDATE volumes SET state = 'removing' WHERE name = ? AND state != 'removing'"
_MARK = "UPDATE volumes SET state = ? WHERE name = ? AND state != 'removing'"


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """InvalidArgument, in docker's words: it cannot be a local volume's name."""
    if len(name) == 1:
        raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'"{name[:_LONGEST]}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    if len(name) > _LONGEST:
        raise InvalidArgument(f'"{name[:80]}...": a volume name has at most {_LONGEST} characters')


def _check_options(options: Mapping[str, str]) -> None:
    """Only what needs no mount of its own on the host is offered: another folder in the volume's place."""
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise InvalidArgument(f'invalid option: "{unknown[0][:80]}"')
    if not options:
        return
    words = [word for word in options.get("o", "").split(",") if word]
    if options.get("type", "none") not in ("none", "") or not {"bind", "rbind"} & set(words):
        raise InvalidArgument(
            "of the local driver's mounts only type=none with o=bind is offered: mount anything else on the host and "
            "give its folder as device"
        )
    if not os.path.isabs(options.get("device", "")):
        raise InvalidArgument("missing required option: device must be an absolute path")


def _json(document: Mapping[str, str]) -> str:
    return json.dumps(dict(document), separators=(",", ":"))


def _volume(row: tuple[str, float, str, str, str]) -> Volume:
    name, created, labels, options, state = row
    return Volume(name, created, json.loads(labels), json.loads(options), state == "provisional")
