"""A lease lasts as long as the work that it is for, however that ends."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.leases.leased import leased
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.leases.store import Lease
from wherry.core.metadata.database import Database


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[SqliteLeaseStore]:
    database = Database(str(tmp_path / "wherry.db"))
    yield SqliteLeaseStore(database)
    database.close()


async def test_it_is_there_inside_and_gone_after_a_failure(leases: SqliteLeaseStore) -> None:
    async def work() -> None:
        async with leased(leases, "pull-1", 1000.0) as held:
            leases.add(held, "content", "sha256:1")
            (found,) = leases.walk()
            assert (found.id, found.created) == ("pull-1", 1000.0)
            assert found.expires > found.created
            raise LookupError(held)

    with pytest.raises(LookupError, match="pull-1"):
        await work()
    assert list(leases.walk()) == []
    assert leases.held() == frozenset()


async def test_one_that_has_expired_meanwhile_is_no_fault(leases: SqliteLeaseStore) -> None:
    async with leased(leases, "pull-1", 1000.0):
        leases.delete("pull-1")
    assert list(leases.walk()) == []


async def test_a_cancel_while_it_is_made_leaves_none(leases: SqliteLeaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays would keep everything that is younger from the collector, for a day."""
    within, go_on, create = threading.Event(), threading.Event(), leases.create

    def held_up(lease: Lease) -> None:
        within.set()
        go_on.wait()
        create(lease)

    async def work() -> None:
        async with leased(leases, "pull-1", 1000.0):
            raise AssertionError("it was cancelled before")

    monkeypatch.setattr(leases, "create", held_up)
    working = asyncio.create_task(work())
    await asyncio.to_thread(within.wait)
    working.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert list(leases.walk()) == []
