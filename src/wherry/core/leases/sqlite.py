"""The lease store in SQLite."""

from collections.abc import Iterator

from wherry.core.leases.store import Lease, ResourceKind
from wherry.core.metadata.database import Database
from wherry.errors import AlreadyExists, NotFound

SCHEMA = (
    """
    CREATE TABLE leases (id TEXT PRIMARY KEY, created REAL NOT NULL, expires REAL NOT NULL) STRICT;
    CREATE TABLE lease_resources (
        lease TEXT NOT NULL REFERENCES leases(id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (lease, kind, key)
    ) STRICT, WITHOUT ROWID
    """,
)


class SqliteLeaseStore:
    """Driver of `LeaseStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("leases", SCHEMA)

    def create(self, lease: Lease) -> None:
        """See `LeaseStore.create`."""
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM leases WHERE id = ?", (lease.id,)).fetchone() is not None:
                raise AlreadyExists(f"lease {lease.id} exists already")
            connection.execute("INSERT INTO leases VALUES (?, ?, ?)", (lease.id, lease.created, lease.expires))

    def add(self, lease_id: str, kind: ResourceKind, *keys: str) -> None:
        """See `LeaseStore.add`."""
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM leases WHERE id = ?", (lease_id,)).fetchone() is None:
                raise NotFound(f"no such lease: {lease_id}")
            rows = [(lease_id, kind, str(key)) for key in keys]
            connection.executemany("INSERT OR IGNORE INTO lease_resources VALUES (?, ?, ?)", rows)

    def delete(self, lease_id: str) -> None:
        """See `LeaseStore.delete`."""
        with self._database.write() as connection:
            if connection.execute("DELETE FROM leases WHERE id = ?", (lease_id,)).rowcount == 0:
                raise NotFound(f"no such lease: {lease_id}")

    def walk(self) -> Iterator[Lease]:
        """See `LeaseStore.walk`."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, created, expires FROM leases ORDER BY created, id").fetchall()
        return (Lease(*row) for row in rows)

    def held(self) -> frozenset[tuple[ResourceKind, str]]:
        """See `LeaseStore.held`."""
        with self._database.read() as connection:
            return frozenset(connection.execute("SELECT DISTINCT kind, key FROM lease_resources").fetchall())
