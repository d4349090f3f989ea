"""What every driver of the network store does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.core.metadata.database import Database
from wherry.core.networks.network import Endpoint, Network, NetworkStore, PublishedPort
from wherry.core.networks.sqlite import SqliteNetworkStore
from wherry.errors import AlreadyExists, Conflict, DataLoss, NotFound

FRONT = Network("a" * 64, "front", "bridge", 1, subnet="10.0.0.0/24", options={"o": "1"}, labels={"k": "ü"})
BACK = Network("b" * 64, "back", "bridge", 2)
PORT = PublishedPort(80, "tcp", "127.0.0.1", 8080)
WEB = Endpoint("1" * 64, FRONT.id, "c" * 64, "eth0", ("web", "site"), (PORT,), address="10.0.0.2", prefix=24)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "wherry.db"))
    yield database
    database.close()


@pytest.fixture(params=[SqliteNetworkStore])
def store(request: pytest.FixtureRequest, database: Database) -> NetworkStore:
    return request.param(database)


def test_networks_come_back_as_they_were_put(store: NetworkStore) -> None:
    store.add(BACK)
    store.add(FRONT)
    assert store.networks() == [FRONT, BACK]
    changed = replace(FRONT, subnet="10.0.1.0/24")
    store.change(changed)
    assert store.networks() == [changed, BACK]
    for refused in (store.add, store.change):
        with pytest.raises(AlreadyExists, match="network with name front already exists"):
            refused(replace(BACK, name="front"))


def test_what_is_removed_does_not_come_back(store: NetworkStore) -> None:
    store.add(FRONT)
    store.remove(FRONT.id)
    with pytest.raises(NotFound, match="network front not found"):
        store.change(replace(FRONT, subnet="10.0.1.0/24"))
    assert store.networks() == []


def test_endpoints_come_back_as_they_were_put(store: NetworkStore) -> None:
    store.add(FRONT)
    store.put_endpoints([WEB])
    assert store.endpoints() == [WEB]
    moved = replace(WEB, address="10.0.0.9", names=("web",))
    store.put_endpoints([moved])
    assert store.endpoints() == [moved]
    handed_over = replace(moved, container="7" * 64)
    store.put_endpoints([handed_over])
    assert store.endpoints() == [handed_over]
    with pytest.raises(AlreadyExists):
        store.put_endpoints([replace(handed_over, id="8" * 64)])
    store.put_endpoints([replace(WEB, id="8" * 64)])
    store.remove_endpoints(["8" * 64])
    store.remove_endpoints([WEB.id, "nobody"])
    assert store.endpoints() == []


def test_all_endpoints_or_none(store: NetworkStore) -> None:
    store.add(FRONT)
    with pytest.raises(NotFound):
        store.put_endpoints([WEB, replace(WEB, id="2" * 64, network="f" * 64)])
    assert store.endpoints() == []
    store.put_endpoints([WEB])
    with pytest.raises(AlreadyExists):
        store.put_endpoints([replace(WEB, id="3" * 64)])


def test_a_network_that_somebody_is_in_stays(store: NetworkStore) -> None:
    store.add(FRONT)
    store.put_endpoints([WEB])
    with pytest.raises(Conflict, match="active endpoints"):
        store.remove(FRONT.id)
    store.remove_endpoints([WEB.id])
    store.remove(FRONT.id)
    store.remove(FRONT.id)
    assert store.networks() == []


def test_a_damaged_record_is_told(database: Database) -> None:
    store = SqliteNetworkStore(database)
    store.add(FRONT)
    for text in ("{", "[]", "{}"):
        with database.write() as connection:
            connection.execute("UPDATE networks SET document = ?", (text,))
        with pytest.raises(DataLoss, match="record of a network is damaged"):
            store.networks()
