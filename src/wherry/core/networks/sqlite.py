"""The network store in SQLite."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from wherry.core.metadata.database import Database
from wherry.core.networks.network import Endpoint, Network, endpoint_of, network_of, to_document
from wherry.errors import AlreadyExists, Conflict, DataLoss, NotFound

ValueT = TypeVar("ValueT", Network, Endpoint)

SCHEMA = (
    """
    CREATE TABLE networks (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created INTEGER NOT NULL,
        document TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE endpoints (
        id TEXT PRIMARY KEY,
        network TEXT NOT NULL REFERENCES networks (id),
        container TEXT NOT NULL,
        document TEXT NOT NULL,
        UNIQUE (network, container)
    ) STRICT;
    """,
)


class SqliteNetworkStore:
    """Driver of `NetworkStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("networks", SCHEMA)

    def networks(self) -> list[Network]:
        """See `NetworkStore.networks`."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT document FROM networks ORDER BY created, id").fetchall()
        return [_read(network_of, row[0], "network") for row in rows]

    def add(self, network: Network) -> None:
        """See `NetworkStore.add`."""
        row = (network.id, network.name, network.created, _text(network))
        self._write(network, "INSERT INTO networks VALUES (?, ?, ?, ?)", row)

    def change(self, network: Network) -> None:
        """See `NetworkStore.change`."""
        row = (network.name, network.created, _text(network), network.id)
        if not self._write(network, "UPDATE networks SET name = ?, created = ?, document = ? WHERE id = ?", row):
            raise NotFound(f"network {network.name} not found")

    def _write(self, network: Network, statement: str, row: tuple[str | int, ...]) -> int:
        """How many rows it wrote."""
        with self._database.write() as connection:
            try:
                return connection.execute(statement, row).rowcount
            except sqlite3.IntegrityError:
                raise AlreadyExists(f"network with name {network.name} already exists") from None

    def remove(self, network_id: str) -> None:
        """See `NetworkStore.remove`."""
        with self._database.write() as connection:
            try:
                connection.execute("DELETE FROM networks WHERE id = ?", (network_id,))
            except sqlite3.IntegrityError:
                raise Conflict(f"network {network_id} has active endpoints") from None

    def endpoints(self) -> list[Endpoint]:
        """See `NetworkStore.endpoints`."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT document FROM endpoints ORDER BY rowid").fetchall()
        return [_read(endpoint_of, row[0], "endpoint") for row in rows]

    def put_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """See `NetworkStore.put_endpoints`."""
        with self._database.write() as connection:
            for endpoint in endpoints:
                row = (endpoint.id, endpoint.network, endpoint.container, _text(endpoint))
                try:
                    connection.execute(
                        "INSERT INTO endpoints VALUES (?, ?, ?, ?) "
                        "ON CONFLICT (id) DO UPDATE "
                        "SET container = excluded.container, document = excluded.document",
                        row,
                    )
                except sqlite3.IntegrityError as error:
                    if "UNIQUE" in str(error):
                        raise AlreadyExists(
                            f"container {endpoint.container} has an endpoint in network {endpoint.network} already"
                        ) from None
                    raise NotFound(f"network {endpoint.network} not found") from None

    def remove_endpoints(self, ids: Sequence[str]) -> None:
        """See `NetworkStore.remove_endpoints`."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM endpoints WHERE id = ?", [(one,) for one in ids])


def _text(value: Network | Endpoint) -> str:
    document = {
        name: dict(found) if name in ("options", "ipam_options", "labels") else found
        for name, found in to_document(value).items()
    }
    return json.dumps(document, separators=(",", ":"))


def _read(make: Callable[[Mapping[str, Any]], ValueT], text: str, what: str) -> ValueT:
    try:
        return make(json.loads(text))
    except (TypeError, ValueError, AttributeError) as error:
        raise DataLoss(f"the record of a {what} is damaged: {error}") from error
