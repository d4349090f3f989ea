"""Taking a stopped container away: its snapshot, its files, its record, in an order that a crash cannot confuse."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from wherry.core.metadata.transactions import promptly
from wherry.core.sweeper import Sweeper
from wherry.engine.containers.ahead import Ahead
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.folders import Folders
from wherry.engine.containers.launch import cgroup_of
from wherry.engine.containers.live import Live
from wherry.engine.containers.registry import Registry
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.engine.states import after
from wherry.engine.volumes import Volumes
from wherry.errors import NotFound, WherryError
from wherry.linux.cgroup_sweep import sweep

log = logging.getLogger(__name__)


class Removal:
    """Removes containers that do not run; stopping them first is control.py's matter."""

    def __init__(
        self,
        services: EngineServices,
        registry: Registry,
        volumes: Volumes,
        tell: Announcer,
        close_log: Callable[[str], Awaitable[None]],
        folders: Folders,
        sweeper: Sweeper,
    ) -> None:
        self._sweeper = sweeper
        self._close_log = close_log
        self._folders = folders
        self._services = services
        self._registry = registry
        self._volumes = volumes
        self._tell = tell

    async def remove(self, live: Live, ref: str, ahead: Ahead, *, volumes: bool = False) -> None:
        """Conflict: it runs, or is being removed. After any other failure it is ``dead`` and can be removed again.
        ``volumes``: its anonymous ones go too."""
        async with live.lock:
            if live.gone:
                raise NotFound(f"No such container: {ref}")
            status = after(live.record.state.status, "remove", live.record.name)
            await ahead.drop(live)
            live.record = live.record.with_state(status=status)  # written down with the first step
            await self.finish(live, volumes=volumes)

    async def finish(self, live: Live, *, volumes: bool = False) -> None:
        """Remove what there is of a container that is marked as being removed. With `--rm` its anonymous volumes are
        removed always."""
        record = live.record
        try:
            if volumes or record.auto_remove:
                async with self._volumes.leaving(record):
                    await self._take_away(live)
            else:
                await self._take_away(live)
        except (WherryError, OSError) as error:
            log.warning("container %s: %s", record.short_id, error)
            dead = record.with_state(status=after("removing", "remove-failed", record.id), error=str(error))
            await self._registry.note(live, dead)
            live.told_of_removal(str(error))
            raise
        live.told_of_removal()
        self._tell(record, "destroy")

    async def _take_away(self, live: Live) -> None:
        # One that was made ahead and never started has its log open.
        await self._close_log(live.record.id)
        if live.record.kind == "linux":
            await asyncio.to_thread(self._erase, live.record)
        else:
            remove_files = await promptly(self._services.transactions, lambda: self._forget(live.record))
            self._sweeper.later(remove_files)
        self._registry.forget(live)
        if live.run is not None:
            live.run.failed()

    def _forget(self, record: Record) -> Callable[[], None]:
        """All that is written down of it. Its files have no owner then: whoever is returned removes them, or the next
        start of the engine."""
        remove_snapshot = None
        with contextlib.suppress(NotFound):
            remove_snapshot = self._services.snapshots.forget(record.id)
        self._registry.erase(record.id)

        def remove_files() -> None:
            if remove_snapshot is not None:
                remove_snapshot()
            self._folders.remove(record.id)

        return remove_files

    def _erase(self, record: Record) -> None:
        """Of a Linux container, whose files others may keep busy: the record goes last, since as long as it is there,
        the rest can be found and removed. That it is being removed is written down together with the end of its
        snapshot, before which nothing of it is gone."""
        try:
            self._services.snapshots.remove(record.id, also=lambda: self._registry.store(record))
        except NotFound:
            self._registry.store(record)
        sweep(cgroup_of(record, self._services.config))
        self._folders.remove(record.id)
        self._registry.erase(record.id)
