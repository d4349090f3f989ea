"""All containers by id, id prefix and name, in step with core's store, which has them for good."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Final

from wherry.core.containers.store import ContainerStore
from wherry.core.metadata.transactions import Transactions, promptly
from wherry.engine.background import Background
from wherry.engine.containers.live import Live
from wherry.engine.record import Record, from_container, to_container
from wherry.errors import AlreadyExists, Conflict, DataLoss, InvalidArgument, NotFound, WherryError

log = logging.getLogger(__name__)


_SOON: Final = 0.05
"""Seconds."""


class Registry:
    """What is changed here is durable when the call returns, but for `save_soon`."""

    def __init__(self, store: ContainerStore, transactions: Transactions, background: Background) -> None:
        self._store = store
        self._transactions = transactions
        self._background = background
        self._by_id: dict[str, Live] = {}
        self._names: dict[str, str] = {}
        self._unwritten: list[Live] = []

    def __iter__(self) -> Iterator[Live]:
        """Newest first."""
        return iter(sorted(self._by_id.values(), key=lambda live: live.record.created, reverse=True))

    def __contains__(self, container_id: str) -> bool:
        """By full id."""
        return container_id in self._by_id

    def get(self, ref: str) -> Live:
        """By full id, name, or unique prefix of an id, in this order. NotFound; InvalidArgument: many have it."""
        name = ref.removeprefix("/")
        found = self._by_id.get(ref) or self._by_id.get(self._names.get(name, ""))
        if found is not None:
            return found
        matches = [live for key, live in self._by_id.items() if ref and key.startswith(ref)]
        if len(matches) > 1:
            raise InvalidArgument(f"Multiple IDs found with provided prefix: {ref[:64]}")
        if not matches:
            raise NotFound(f"No such container: {ref[:256]}")
        return matches[0]

    def is_taken(self, name: str) -> bool:
        return name in self._names

    def reserve(self, name: str, container_id: str) -> None:
        """Keep ``name`` for ``container_id``. Conflict: another container has it."""
        holder = self._names.setdefault(name, container_id)
        if holder != container_id:
            raise _in_use(name, holder)

    def release(self, name: str, container_id: str) -> None:
        if self._names.get(name) == container_id:
            del self._names[name]

    async def load(self) -> list[Live]:
        """Read the store, once, when the engine starts. Oldest first; a damaged record is told of and left alone."""
        lives = []
        for container in await asyncio.to_thread(lambda: list(self._store.walk())):
            try:
                lives.append(Live(from_container(container)))
            except DataLoss as error:
                log.warning("%s", error)
        self.adopt(lives)
        return lives

    def adopt(self, lives: Iterable[Live]) -> None:
        """Make containers known that the store has already."""
        for live in lives:
            self._by_id[live.record.id] = live
            self._names[live.record.name] = live.record.id

    def store_new(self, record: Record) -> None:
        """Write a new record. Blocks. Conflict: its name is taken."""
        try:
            self._store.create(to_container(record))
        except AlreadyExists as error:
            raise Conflict(f'Conflict. The container name "/{record.name}" is already in use: {error}') from error

    def store(self, record: Record) -> None:
        """Write what became of a container. Blocks."""
        self._store.update(to_container(record))

    async def save(self, live: Live, record: Record) -> None:
        """Replace the record of a container that is not gone."""
        if live.gone:
            raise NotFound(f"No such container: {record.id}")
        await promptly(self._transactions, lambda: self.store(record))
        live.record = record
        live.unwritten = False

    def save_soon(self, live: Live, record: Record) -> None:
        """Of what a killed engine would find out from the runtime anyway: known at once, written with what is written
        of the container next, or in a moment. ``live`` is locked by the caller."""
        live.record = record
        live.unwritten = True
        if not self._unwritten:
            self._background.spawn(self._write_later())
        self._unwritten.append(live)

    async def _write_later(self) -> None:
        await asyncio.sleep(_SOON)
        late, self._unwritten = self._unwritten, []
        for live in late:
            if live.unwritten and not live.gone:  # each by itself: one may be locked for long
                self._background.spawn(self.flush(live))

    async def flush(self, live: Live) -> None:
        """Write what `save_soon` has not written yet."""
        async with live.lock:
            if live.unwritten and not live.gone:
                await self.note(live, live.record)

    async def note(self, live: Live, record: Record) -> None:
        """Like `save`, of something that has happened whether it can be written or not: a full disk is only told of."""
        try:
            await self.save(live, record)
        except NotFound:
            raise
        except WherryError as error:
            log.warning("container %s: its state is not written: %s", record.short_id, error)
            live.record = record

    async def rename(self, live: Live, record: Record) -> None:
        """Like `save`, under a new name. Conflict: it is taken."""
        old = live.record.name
        self.reserve(record.name, record.id)
        try:
            await self.save(live, record)
        except BaseException:
            self.release(record.name, record.id)
            raise
        self.release(old, record.id)

    def erase(self, container_id: str) -> None:
        """Delete the record; one that is gone is no error. Blocks."""
        try:
            self._store.delete(container_id)
        except NotFound:
            return

    def forget(self, live: Live) -> None:
        """The container is no longer there."""
        live.gone = True
        self._by_id.pop(live.record.id, None)
        self.release(live.record.name, live.record.id)


def _in_use(name: str, holder: str) -> Conflict:
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
