"""The one SQLite file behind the stores: connections, transactions, schema versions. What is stored is the stores' own.

Why ``synchronous=NORMAL``: with a write-ahead log a commit then costs no fsync, and a killed process loses nothing. A
power cut may take back the last commits, whole and in order, never half of one; whoever destroys something on the
strength of a commit (the collector) calls `Database.sync` in between.

A commit is a write into the kernel's memory and waits for no disk: what does, the checkpoint, is done beside (see
checkpoint.py). So an event loop may commit by itself, by `Database.at_once`, where a thread would take longer to begin.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from wherry.core.metadata.checkpoint import KEPT, Checkpoints
from wherry.core.metadata.transactions import Taken
from wherry.errors import (
    DataLoss,
    FailedPrecondition,
    Internal,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    WherryError,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0
_BUSY_PAUSE = 0.005
_IDLE_READERS = 4  # connections kept for the next reader; each costs some 100 KiB

_KINDS: dict[str, tuple[type[WherryError], str]] = {
    "SQLITE_CORRUPT": (DataLoss, "is corrupt; restore it from a copy, or move it away to start anew"),
    "SQLITE_NOTADB": (DataLoss, "is not a database; restore it from a copy, or move it away to start anew"),
    "SQLITE_FULL": (ResourceExhausted, "cannot grow: the disk is full"),
    "SQLITE_IOERR_SHMSIZE": (ResourceExhausted, "cannot grow: the disk is full"),
    "SQLITE_IOERR_WRITE": (ResourceExhausted, "cannot be written: disk error or disk full"),
    "SQLITE_IOERR": (DataLoss, "cannot be read or written: disk error"),
    "SQLITE_CANTOPEN": (PermissionDenied, "cannot be opened"),
    "SQLITE_READONLY": (PermissionDenied, "is read-only"),
    "SQLITE_PERM": (PermissionDenied, "may not be opened"),
    "SQLITE_BUSY": (Unavailable, "is in use by another process"),
    "SQLITE_LOCKED": (Unavailable, "is in use by another process"),
}


_VERSIONS = """
    CREATE TABLE IF NOT EXISTS schema_versions (store TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT
"""


class Database:
    """Many readers, one writer at a time; every method may be called from any thread.

    Life: opened -> `migrate` by each store -> `read` and `write` -> `close`, after which only `close` may be called.
    """

    def __init__(self, path: str) -> None:
        """Open or create the file. DataLoss if it is no database; PermissionDenied; ResourceExhausted."""
        self._path = path
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._writing = threading.RLock()
        self._depth = 0
        self._spoiled = False
        self._endings: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {}
        self._patient = True
        self._checkpoints = Checkpoints(self._checkpoint)
        self._writer = self._open(busy=0)  # who waits for another process is seen to by `_begin`
        try:
            with self._faults():
                self._writer.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
                self._writer.execute("PRAGMA journal_mode=WAL")
                self._writer.execute(_VERSIONS)
                self._writer.execute("PRAGMA wal_autocheckpoint=0")
                self._writer.execute(f"PRAGMA journal_size_limit={KEPT}")
                self._writer.execute("PRAGMA busy_timeout=0")
        except WherryError:
            self._writer.close()
            raise

    def _open(self, busy: float = _BUSY_SECONDS) -> sqlite3.Connection:
        with self._faults():
            connection = sqlite3.connect(self._path, timeout=busy, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
            except sqlite3.Error:
                connection.close()
                raise
            return connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", None) or ""
            family = "_".join(name.split("_")[:2])
            kind, text = _KINDS.get(name) or _KINDS.get(family) or (Internal, f"failed: {error}")
            raise kind(f"database {self._path} {text}") from error

    def migrate(self, store: str, steps: Sequence[str]) -> None:
        """Bring the tables of ``store`` up to date: step n (SQL statements) leads from version n to n + 1.

        Steps once released are never edited, only added to. FailedPrecondition: a newer wherry wrote the tables.
        """
        with self.write() as connection:
            row = connection.execute("SELECT version FROM schema_versions WHERE store = ?", (store,)).fetchone()
            version = row[0] if row else 0
            if version > len(steps):
                raise FailedPrecondition(
                    f"database {self._path} was written by a newer wherry ({store} is at version {version}, "
                    f"{len(steps)} is known here): upgrade wherry"
                )
            for step in steps[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            if version < len(steps):
                connection.execute("REPLACE INTO schema_versions VALUES (?, ?)", (store, len(steps)))

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one consistent state; inside a `write` of the same thread, that transaction's."""
        if self._writing_here():
            with self._faults():
                yield self._writer
            return
        connection = self._take()
        try:
            with self._faults():
                connection.execute("BEGIN")
                yield connection
        finally:
            self._give(connection)

    def _writing_here(self) -> bool:
        # RLock._is_owned is not public; a failed try costs nothing and a lock of our own would.
        if not self._writing.acquire(blocking=False):
            return False
        here = self._depth > 0
        self._writing.release()
        return here

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise Unavailable(f"database {self._path} is closed")
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give(self, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        except sqlite3.Error:
            connection.close()
            return
        with self._guard:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed when the block ends, undone when it raises.

        Nested ones are part of the outer. One that raises must not have written anything, if somebody goes on all the
        same: else the outermost is undone with Internal.
        """
        with self._writing:
            if self._closed:
                raise Unavailable(f"database {self._path} is closed")
            with self._inner() if self._depth else self._outer(), self._faults():
                yield self._writer

    @contextmanager
    def _inner(self) -> Iterator[None]:
        before = self._writer.total_changes
        self._depth += 1
        try:
            yield
        except BaseException:
            self._spoiled = self._spoiled or self._writer.total_changes != before
            raise
        finally:
            self._depth -= 1

    @contextmanager
    def _outer(self) -> Iterator[None]:
        with self._faults():
            self._begin()
        self._depth, self._spoiled = 1, False
        committed = False
        try:
            yield
            if self._spoiled:
                raise Internal(f"database {self._path}: nothing was written, since a part of it failed")
            with self._faults():
                self._writer.execute("COMMIT")
            committed = True
        finally:
            self._depth = 0
            if not committed and self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            self._end(committed)

    def _begin(self) -> None:
        """Another process that writes to the file is waited for, as long as SQLite would, but never in an event loop.
        Taken: in that case."""
        end = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                    raise
                if not self._patient:
                    raise Taken(f"database {self._path} is in use by another process") from None
                if time.monotonic() > end:
                    raise
            time.sleep(_BUSY_PAUSE)

    def at_once(self, work: Callable[[], T]) -> T:
        """Do ``work``, which writes a little, as one `write`, unless that would have to wait: for an event loop.

        Taken: it would; nothing was done. Else what ``work`` raises; then nothing is written.
        """
        if not self._writing.acquire(blocking=False):
            raise Taken(f"database {self._path} is being written to")
        self._patient = False
        try:
            return self.whole(work)
        finally:
            self._patient = True
            self._writing.release()

    def whole(self, work: Callable[[], T]) -> T:
        """Do ``work`` as one `write`."""
        with self.write():
            return work()

    def on_end(self, key: str, committed: Callable[[], None], undone: Callable[[], None]) -> None:
        """Within a `write`: call one of the two when the outermost ends, before the next may begin.

        A later call with the same ``key`` replaces the earlier one.
        """
        self._endings[key] = (committed, undone)

    def _end(self, committed: bool) -> None:
        endings, self._endings = self._endings, {}
        for done, undone in endings.values():
            (done if committed else undone)()
        if committed:
            self._checkpoints.committed(self._writer.total_changes, self._logged())

    def _logged(self) -> int:
        """Bytes that the log takes."""
        try:
            return os.stat(self._path + "-wal").st_size
        except OSError:
            return 0

    def _checkpoint(self) -> None:
        """Bring what the log has into the file, in the checkpoints' thread; then begin the log anew.

        Most of it while others write. The first commit to a log begun anew waits for the disk, so that it is ours.
        """
        try:
            with self._faults():
                connection = self._open()
                try:
                    connection.execute(_CHECKPOINT)
                    with self._writing:
                        _, logged, done = connection.execute(_CHECKPOINT).fetchone()
                        if logged == done and not self._closed:
                            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
                            self._writer.execute(f"PRAGMA user_version={(version + 1) & 0x7FFFFFFF}")
                finally:
                    connection.close()
        except WherryError as error:  # a full disk, mostly: the log grows on, and the next one may have more luck
            log.warning("checkpoint: %s", error)

    def sync(self) -> None:
        """Make all commits so far survive a power cut."""
        for path in (self._path + "-wal", self._path):
            try:
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Let go of the file. Idempotent; no transaction may be under way."""
        self._checkpoints.close()
        with self._writing, self._guard:
            if self._closed:
                return
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            self._writer.close()


_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
