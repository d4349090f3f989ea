"""Which compiled modules are needed, and whether they are what was written: records of the folder of compiled code.

A compiled module is needed as long as a file that it was made of is there as it was: in an image's snapshot, in a
volume, or elsewhere on the host. How files are written and named is wasm/cache.py's affair. Losing one costs time only.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256

from wherry.core.faults import translating
from wherry.core.metadata.database import Database
from wherry.errors import WherryError
from wherry.wasm import warmup
from wherry.wasm.cache import COMPILED, TEMPORARY, files

SCHEMA = (
    """
    CREATE TABLE compiled (file TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT;
    CREATE TABLE compiled_sources (
        path TEXT NOT NULL,
        fuel INTEGER NOT NULL,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        file TEXT NOT NULL,
        PRIMARY KEY (path, fuel)
    ) STRICT, WITHOUT ROWID
    """,
)

_CLOCK_SLACK = 2.0  # seconds by which a file's time may lag behind the clock
_SOURCES = "SELECT path, fuel, size, modified, file FROM compiled_sources"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A compiled module that is not what was written: its file's name and what is wrong."""

    file: str
    fault: str


class CompiledModules:
    """The folder of compiled modules and its records. All calls block; thread-safe.

    Who compiles does so inside of `making`, and says by `record` what of; only after that the file is sure to stay.
    """

    def __init__(self, database: Database, folder: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._guard = threading.Lock()
        self._making: dict[object, float] = {}
        # What every shim warms its zygote with is nobody's, and always needed.
        self._spared = sha256(warmup.TEXT).hexdigest()
        database.migrate("compiled modules", SCHEMA)

    @contextmanager
    def making(self) -> Iterator[None]:
        """While somebody compiles: what appears from now on is not swept."""
        key = object()
        with self._guard:
            self._making[key] = self._clock()
        try:
            yield
        finally:
            with self._guard:
                del self._making[key]

    def record(self, compiled: str, source: str, *, fuel: bool) -> bool:
        """The module at host path ``source`` was compiled to ``compiled``. False: that was swept away meanwhile."""
        file = os.path.basename(compiled)
        with self._guard:
            try:
                status = os.stat(source)
            except OSError:
                return os.path.exists(compiled)  # who asked, had a file that goes; nobody will ask again
            with self._database.write() as connection:
                known = connection.execute("SELECT digest FROM compiled WHERE file = ?", (file,)).fetchone()
                if not os.path.exists(compiled):
                    return False
                if known is None:
                    connection.execute("INSERT INTO compiled VALUES (?, ?)", (file, _digest(compiled)))
                connection.execute(
                    "REPLACE INTO compiled_sources VALUES (?, ?, ?, ?, ?)",
                    (source, fuel, status.st_size, status.st_mtime_ns, file),
                )
        return True

    def sweep(self) -> int:
        """Delete what nothing needs; returns the bytes freed."""
        with self._guard, translating(f"look at {self._folder}"):
            young = min(self._making.values(), default=float("inf")) - _CLOCK_SLACK
            present = self._present()
            needed = self._needed()
            gone = [file for file, (_, made) in present.items() if file not in needed and made < young]
            # The records go first: a file without one is swept again, a record without a file is a fault.
            with self._database.write() as connection:
                recorded = [file for (file,) in connection.execute("SELECT file FROM compiled").fetchall()]
                for file in {*gone, *(file for file in recorded if file not in present)}:
                    connection.execute("DELETE FROM compiled WHERE file = ?", (file,))
            for file in gone:
                self._unlink(file)
            return sum(present[file][0] for file in gone)

    def _needed(self) -> set[str]:
        """What is made of files that are there. Records of others go."""
        needed = set()
        with self._database.write() as connection:
            for path, fuel, size, modified, file in connection.execute(_SOURCES).fetchall():
                with contextlib.suppress(OSError):
                    status = os.stat(path)
                    if (status.st_size, status.st_mtime_ns) == (size, modified):
                        needed.add(file)
                        continue
                connection.execute("DELETE FROM compiled_sources WHERE path = ? AND fuel = ?", (path, fuel))
        return needed

    def _present(self) -> dict[str, tuple[int, float]]:
        """Each compiled module's name, the bytes of all its files, and when it was written."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._folder):
                if not entry.name.endswith(COMPILED) or entry.name.startswith((TEMPORARY, self._spared)):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found[entry.name] = sum(map(_size, files(entry.path))), status.st_mtime
        return found

    def _unlink(self, file: str) -> None:
        """The code first: code that can be seen has its info beside it."""
        path = os.path.join(self._folder, file)
        for name in files(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def size(self) -> int:
        """Bytes of all compiled modules."""
        return sum(size for size, _ in self._present().values())

    def count(self) -> int:
        """How many there are."""
        return len(self._present())

    def check(self) -> Iterator[Damaged]:
        """What is not as it was written, one after the other: every byte is read."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT file, digest FROM compiled ORDER BY file").fetchall()
        for file, digest in rows:
            path = os.path.join(self._folder, file)
            try:
                if _digest(path) != digest:
                    yield Damaged(file, "is not what was written")
            except WherryError as error:
                with self._guard, self._database.read() as connection:
                    known = connection.execute("SELECT 1 FROM compiled WHERE file = ?", (file,)).fetchone()
                if known is not None:
                    yield Damaged(file, f"cannot be read: {error}")

    def drop(self, file: str) -> None:
        """Delete one, whoever needs it: the next start makes it anew."""
        with self._guard, translating(f"delete {file}"):
            with self._database.write() as connection:
                connection.execute("DELETE FROM compiled_sources WHERE file = ?", (file,))
                connection.execute("DELETE FROM compiled WHERE file = ?", (file,))
            self._unlink(file)


def _digest(path: str) -> str:
    """Of the code and its info together. NotFound; DataLoss: it cannot be read."""
    with translating(f"read {path}"):
        hashes = []
        for name in files(path):
            with open(name, "rb") as file:
                hashes.append(file_digest(file, "sha256").hexdigest())
        return ":".join(hashes)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
