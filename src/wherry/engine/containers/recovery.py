"""After a start of the engine: containers that run on are found, those that ended meanwhile get their exit code.

The engine may have been killed between any two lines; what the records say is compared with what the shims say.
"""

import asyncio
import contextlib
import logging
from typing import Final

from wherry.core.tasks.fifos import noted_start
from wherry.core.tasks.tasks import ExitStatus, Task
from wherry.engine import signals
from wherry.engine.background import Background
from wherry.engine.containers import health
from wherry.engine.containers.folders import Folders, io_folder
from wherry.engine.containers.live import Live
from wherry.engine.containers.logbook import Logbook
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.removal import Removal
from wherry.engine.containers.supervisor import Supervisor
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.services import EngineServices
from wherry.errors import NotFound, Unavailable, WherryError

_NS: Final = 1_000_000_000
_LOST: Final = 255
"""The exit code of a container whose end nobody saw, as after a reboot; docker's choice too."""

_PATIENCE: Final = 10
"""Seconds that a process sent SIGKILL is given."""

log = logging.getLogger(__name__)


class Recovery:
    """Done once, before the first request."""

    def __init__(
        self,
        services: EngineServices,
        registry: Registry,
        supervisor: Supervisor,
        sandboxes: Sandboxes,
        removal: Removal,
        folders: Folders,
        logbook: Logbook,
        background: Background,
    ) -> None:
        self._services = services
        self._registry = registry
        self._supervisor = supervisor
        self._sandboxes = sandboxes
        self._removal = removal
        self._folders = folders
        self._logbook = logbook
        self._background = background

    async def recover(self) -> None:
        """What goes wrong with one container is told and does not keep the others from being found."""
        sandboxes = await self._sandboxes.leftovers()
        for live in await self._registry.load():
            try:
                await self._recover(live)
            except (WherryError, OSError) as error:
                log.warning("container %s could not be recovered: %s", live.record.short_id, error)
        for container_id in sandboxes:
            if container_id not in self._registry:
                await self._sandboxes.close(container_id)
        for container_id in await self._services.tasks.ids():
            if container_id not in self._registry:
                await self._end_stranger(container_id)
        await asyncio.to_thread(self._remove_strangers_files)

    def _remove_strangers_files(self) -> None:
        for container_id in self._folders.ids():
            if container_id not in self._registry:
                with contextlib.suppress(OSError):  # the next start may have more luck
                    self._folders.remove(container_id)
        self._folders.clear()

    async def _end_stranger(self, container_id: str) -> None:
        """A task without a container: the engine was killed when it made one, or ran a build's step in it."""
        try:
            await self._end(await self._services.tasks.load(container_id))
        except WherryError as error:
            log.debug("task %s: %s", container_id, error)

    async def _recover(self, live: Live) -> None:
        status = live.record.state.status
        if status == "removing" or not await self._has_rootfs(live):
            await self._sandboxes.close(live.record.id)
            await self._removal.finish(live)
            return
        task = await self._find(live)
        if task is not None:
            await self._go_on(live, task)
            return
        await self._sandboxes.close(live.record.id)
        if status in ("running", "paused") or await self._unwritten_start(live):
            log.warning("container %s: its task is lost", live.record.short_id)
            if await self._supervisor.record_end(live, ExitStatus(_LOST, self._services.clock() / _NS)):
                self._supervisor.start_soon(live)
                return
        await self._boot(live)

    async def _unwritten_start(self, live: Live) -> bool:
        """Whether it was started, and all who knew that were killed before it was written down; now it is known."""
        noted = await asyncio.to_thread(noted_start, io_folder(self._services.config.state, live.record.id))
        if noted <= live.record.state.finished_at:
            return False
        live.record = live.record.with_state({"stopped_by_user": False}, status="running", started_at=noted, error="")
        return True

    async def _has_rootfs(self, live: Live) -> bool:
        """Without one it was being created when the engine was killed: nobody was told of it."""
        if live.record.state.started_at:
            return True
        try:
            await asyncio.to_thread(self._services.snapshots.stat, live.record.id)
        except NotFound:
            return False
        return True

    async def _find(self, live: Live) -> Task | None:
        """Its task, if it has one that was started and whose end is not recorded yet."""
        try:
            task = await self._services.tasks.load(live.record.id)
            state = await task.state()
        except (NotFound, Unavailable):
            return None
        recorded = state.exit is not None and int(state.exit.exited_at * _NS) == live.record.state.finished_at
        if state.status != "created" and not recorded:
            return task
        # The engine was killed in the middle of a start that nobody was told of, or having recorded the end.
        await self._end(task)
        return None

    async def _end(self, task: Task) -> None:
        with contextlib.suppress(WherryError):
            await task.kill(signals.KILL)
        with contextlib.suppress(WherryError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await task.wait()
        with contextlib.suppress(WherryError):
            await task.delete()

    async def _go_on(self, live: Live, task: Task) -> None:
        """It runs, or it ended meanwhile: in either case the supervisor does what it always does."""
        state = await task.state()
        status = "paused" if state.status in ("paused", "pausing") else "running"
        started = live.record.state.started_at or self._services.clock()
        checked = health.starting(live.record.state.health) if health.policy_of(live.record) else None
        found = live.record.with_state(
            status=status, pid=state.pid, started_at=started, exit_code=0, error="", health=checked
        )
        await self._registry.save(live, found)
        run = self._supervisor.run_of(live)
        try:
            run.open(task.io, await self._logbook.open(live.record), self._background)
        except Unavailable as error:
            log.warning("container %s: its output is lost: %s", live.record.short_id, error)
        run.started(task)
        try:
            await self._sandboxes.resume(live.record)
        except WherryError as error:
            log.warning("container %s: names do not resolve in it: %s", live.record.short_id, error)
        self._supervisor.adopt(live, task, run, ended=state.status == "stopped")

    async def _boot(self, live: Live) -> None:
        """What the policies of a container that does not run say when the engine starts."""
        record = live.record
        wanted = record.restart_policy.wants_at_boot(
            record.state.exit_code, stopped_by_user=record.stopped_by_user, restarts=record.restarts
        )
        if record.state.status == "restarting" or (wanted and record.state.started_at):
            self._supervisor.start_soon(live)
        elif record.auto_remove:
            await self._removal.remove(live, record.id, self._supervisor.ahead)
