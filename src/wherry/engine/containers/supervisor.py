"""Starting containers and seeing them end: exit codes, OOM, restart policies, --rm. What users ask is in control.py.

Of each running container one task of the engine's group waits for the end; `_ended` is the only place that decides
what comes after it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from wherry.core.sweeper import Sweeper
from wherry.core.tasks.fifos import note_start
from wherry.core.tasks.tasks import ExitStatus, Task, Tasks
from wherry.engine.background import Background
from wherry.engine.containers import health
from wherry.engine.containers.ahead import Ahead
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.launch import NOT_FOUND, NOT_RUNNABLE, Laid, Launcher, exit_code_of
from wherry.engine.containers.live import Live
from wherry.engine.containers.logbook import Logbook
from wherry.engine.containers.probes import Probes
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.removal import Removal
from wherry.engine.containers.usage import usage
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.record import Record
from wherry.engine.restart import BackOff
from wherry.engine.run import GRACE, Run
from wherry.engine.states import after
from wherry.engine.streams import Streams
from wherry.errors import InvalidArgument, NotFound, WherryError

_NS: Final = 1_000_000_000
_KILLED: Final = 137
_OOM_PATIENCE: Final = 0.2
_SHORT_GRACE: Final = 0.25
_HEARD: Final = 0.25
"""Seconds that attached clients are given to take the last output before those who wait are told of the end."""
_HEARD_SOON: Final = 0.02
"""Seconds of that which all else waits for, too: most take it at once, and are told before anything else is done."""
_TURNS: Final = 3
"""Of the event loop, within which a session's end has become the end of a connection."""

log = logging.getLogger(__name__)


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class Supervisor:
    """``sleep`` is what back-offs wait by; ``background`` owns everything that goes on in the background."""

    def __init__(
        self,
        tasks: Tasks,
        clock: Callable[[], int],
        registry: Registry,
        launcher: Launcher,
        sandboxes: Sandboxes,
        removal: Removal,
        logbook: Logbook,
        tell: Announcer,
        background: Background,
        sweeper: Sweeper,
        probes: Probes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._registry = registry
        self._launcher = launcher
        self._sandboxes = sandboxes
        self._removal = removal
        self._logbook = logbook
        self._tell = tell
        self._background = background
        self._sweeper = sweeper
        self._probes = probes
        self._sleep = sleep
        self.ahead = Ahead(self._create, launcher.undo, background)

    def run_of(self, live: Live) -> Run:
        """The run under way, or the one that clients attach to before it starts."""
        if live.run is None:
            config = live.record.config
            live.run = Run(Streams(tty=config["Tty"], close_stdin_with_client=config["StdinOnce"], clock=self._clock))
        return live.run

    async def start(self, live: Live, ref: str) -> None:
        """NotModified: it runs. InvalidArgument: its command is not there, or cannot be run. A failed start is recorded
        with docker's exit code, then raised."""
        try:
            async with live.lock:
                await self._start(live, ref)
        except WherryError as error:
            if live.record.auto_remove and not live.running and not live.gone:
                await self._auto_remove(live)
            if exit_code_of(error) in (NOT_FOUND, NOT_RUNNABLE):
                # Of a start "not found" says that there is no such container; a wrong command is the request's fault.
                raise InvalidArgument(str(error)) from error
            raise

    async def _start(self, live: Live, ref: str) -> None:
        if live.gone:
            raise NotFound(f"No such container: {ref}")
        if live.farewell is not None:  # the last run's end is not to be taken for this one's
            await asyncio.wait([live.farewell])
        record = live.record
        status = after(record.state.status, "start", ref)
        if self._forget_timer(live):
            # Started by the user, not by its policy: that one counts from nought.
            live.back_off = BackOff()
            record = replace(record, restarts=0)
        live.ended.clear()
        live.oom.clear()
        task = await self.ahead.take(live)
        run = self.run_of(live)
        try:
            if task is None:
                _, task = await self._create(live)
            running = record.with_state(
                {"stopped_by_user": False},
                status=status,
                pid=task.pid,
                started_at=self._clock(),
                exit_code=0,
                error="",
                oom_killed=False,
                usage={},
                health=health.starting(record.state.health) if health.policy_of(record) else None,
            )
            await self._run(live, running, run, task)
        except WherryError as error:
            live.run = None
            run.failed()
            await self._sandboxes.close(record.id)
            await self._record_failure(live, record, error)
            raise
        except BaseException:
            live.run = None
            run.failed()
            await self._sandboxes.close(record.id)
            raise
        self._tell.networks(live.record, self._sandboxes.joined(live.record), "connect")
        self._tell.volumes(live.record, "mount")
        self._tell(live.record, "start")

    async def _create(self, live: Live, laid: Laid | None = None) -> tuple[Run, Task]:
        """The container's task, not yet started, and the run it belongs to, which outlives a failure: clients that are
        attached wait for the start, and it is the start that tells them."""
        run = self.run_of(live)
        laid = laid or await self._launcher.prepare(live.record)
        try:
            sink = await self._logbook.open(live.record, strict=True)
            sink.begin()
        except BaseException:
            await self._launcher.discard(laid)
            raise
        task = await self._launcher.create(laid, run, sink, self._background)
        try:
            await self._sandboxes.ready(live.record.id, task.pid)
        except BaseException:
            await self._launcher.undo(run, task)
            raise
        return run, task

    async def _run(self, live: Live, running: Record, run: Run, task: Task) -> None:
        """Start the task. That it runs is written down later: until then the runtime knows it, and should that be
        killed together with the engine, there is a note beside its FIFOs.

        Its end is waited for from the start on, so that a short life need not wait for that. What comes of the end
        waits for the lock, which the caller holds.
        """
        watching = self._background.spawn(self._watch(live, run, task))
        try:
            await task.start()
        except BaseException:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await self._launcher.undo(run, task)
            raise
        note_start(run.io, running.state.started_at)
        self._registry.save_soon(live, running)
        run.started(task)
        live.task = task
        self._probes.begin(live, task)

    async def _record_failure(self, live: Live, before: Record, error: WherryError) -> None:
        await self._logbook.close(before.id)
        code = exit_code_of(error)
        status = after(before.state.status, "start-failed", before.id)
        await self._registry.note(live, before.with_state(status=status, pid=0, exit_code=code, error=str(error)))
        live.ended.set()
        if before.state.status == "restarting":
            live.waiters.exited(code)

    def adopt(self, live: Live, task: Task, run: Run, *, ended: bool) -> None:
        """Go on with a container that an earlier engine started; its streams are open already."""
        live.run = run
        live.task = task
        if not ended:
            self._probes.begin(live, task)
        # Of one that has ended there may be nobody left to let go of the FIFOs.
        self._background.spawn(self._watch(live, run, task, _SHORT_GRACE if ended else GRACE))

    async def _watch(self, live: Live, run: Run, task: Task, grace: float = GRACE) -> None:
        try:
            try:
                ended = await task.wait()
            except WherryError as error:
                log.warning("container %s: its shim is gone: %s", live.record.short_id, error)
                ended = ExitStatus(_KILLED, self._clock() / _NS)
            # A module writes to the FIFOs itself, and nobody writes for it once it is dead.
            direct = live.record.kind == "wasm" and not live.record.tty
            await run.ended(0 if direct else grace)
            await self._end(live, run, task, ended)
        except WherryError as error:
            log.warning("container %s: its end could not be recorded: %s", live.record.short_id, error)
        finally:
            run.failed()

    async def _end(self, live: Live, run: Run, task: Task, ended: ExitStatus) -> None:
        async with live.lock:
            keep = live.keep
            await self._see_oom(live, task, ended)
            # First, so that who hears of the end finds free what it had.
            await self._sandboxes.release(live.record.id)
            again = await self.record_end(live, ended)
            goes = live.record.auto_remove and not again and not keep
            if goes:  # and whoever waits for that need not wait for its network
                self._sandboxes.leave(live.record.id)
                await self._forget_task(live, task)
            else:
                self._sweeper.later(self._launcher.retire(run))
                await asyncio.gather(self._forget_task(live, task), self._sandboxes.close(live.record.id))
        if again:
            live.restart_timer = self._background.spawn(self._start_later(live))
        elif goes:
            if live.farewell is not None:
                await asyncio.wait([live.farewell])
            await self._auto_remove(live)

    async def record_end(self, live: Live, ended: ExitStatus) -> bool:
        """Write down that it has ended, tell everybody, and say whether it starts again.

        The exit code is durable before anything that knows it is cleaned up: an engine that is killed after it has told
        somebody, and before it has written it down, hears it from the runtime again. Of one that is about to be removed
        it need not be written: the next engine removes it all the same.
        """
        record = live.record
        policy = record.restart_policy
        again = not live.keep and policy.wants(
            ended.code, stopped_by_user=record.stopped_by_user, restarts=record.restarts
        )
        finished = int(ended.exited_at * _NS)
        if again:
            live.back_off = live.back_off.next(finished - record.state.started_at)
        saved = record.with_state(
            {"restarts": record.restarts + again},
            status=after(record.state.status, "back-off" if again else "exit", record.id),
            pid=0,
            exit_code=ended.code,
            finished_at=finished,
            oom_killed=live.oom.is_set(),
            usage=usage(ended.usage),
            health=health.ended(record.state.health),
        )
        await self._logbook.close(record.id)
        live.record, live.leaving = saved, not again
        run = live.run
        live.task = live.run = None
        live.ended.set()
        if ended.usage:
            self._tell.fuel += int(ended.usage.get("fuel", 0))
        self._tell(live.record, "die", exitCode=str(ended.code), execDuration=str(_seconds(record, finished)))
        self._tell.networks(live.record, self._sandboxes.joined(live.record), "disconnect")
        self._tell.volumes(record, "unmount")
        try:
            # Clients take the answer to wait for the end of output, too.
            if run is not None and not await run.streams.output.heard(_HEARD_SOON):
                live.farewell = self._background.spawn(self._bid_farewell(live, run))
        finally:
            if live.farewell is None:
                live.told()
        await _turns()  # and who waits is answered before anything is written
        if record.auto_remove and not again and not live.keep:
            self._registry.save_soon(live, live.record)
        else:
            await self._registry.note(live, live.record)
        return again

    async def _bid_farewell(self, live: Live, run: Run) -> None:
        try:
            await run.streams.output.heard(_HEARD - _HEARD_SOON)
        finally:
            live.told()

    async def _forget_task(self, live: Live, task: Task) -> None:
        try:
            await task.delete()
        except WherryError as error:
            log.debug("container %s: its task was not deleted: %s", live.record.short_id, error)

    async def _see_oom(self, live: Live, task: Task, ended: ExitStatus) -> None:
        """The kernel's word that memory was at its limit may come after the end that it caused; the cgroup, which is
        there until the task is deleted, has counted it."""
        if ended.code == _KILLED and live.record.host_config["Memory"] and not live.record.stopped_by_user:
            with contextlib.suppress(WherryError):
                if ((await task.stats()).get("memory_oom_control") or {}).get("oom_kill"):
                    live.oom.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OOM_PATIENCE):
                    await live.oom.wait()

    async def _start_later(self, live: Live) -> None:
        await self._sleep(live.back_off.seconds)
        try:
            await self.start(live, live.record.id)
        except WherryError as error:
            log.warning("container %s was not restarted: %s", live.record.short_id, error)

    def start_soon(self, live: Live) -> None:
        """Start it in the background; what goes wrong stands in its state."""
        live.restart_timer = self._background.spawn(self._start_later(live))

    def _forget_timer(self, live: Live) -> bool:
        """Whether it was not the timer itself that called."""
        timer, live.restart_timer = live.restart_timer, None
        if timer is not None and timer is asyncio.current_task():
            return False
        if timer is not None:
            timer.cancel()
        return True

    async def give_up_restart(self, live: Live) -> None:
        """The user stops a container while it waits for its next start."""
        async with live.lock:
            if live.record.state.status != "restarting":
                return
            self._forget_timer(live)
            status = after("restarting", "exit", live.record.id)
            await self._registry.save(live, live.record.with_state({"stopped_by_user": True}, status=status))
        live.ended.set()
        live.waiters.exited(live.record.state.exit_code)

    async def _auto_remove(self, live: Live) -> None:
        try:
            await self._removal.remove(live, live.record.id, self.ahead)
        except (WherryError, OSError) as error:
            # Somebody else removes it, or it says "dead" now and why.
            log.debug("container %s was not removed: %s", live.record.short_id, error)

    async def watch_events(self) -> None:
        """Learn from the shims what a container's end alone does not tell."""
        async for event in self._tasks.events(("/tasks/oom",)):
            with contextlib.suppress(WherryError):
                live = self._registry.get(event.container_id)
                live.oom.set()
                self._tell(live.record, "oom")


def _seconds(record: Record, finished: int) -> int:
    started = record.state.started_at
    return max((finished - started) // _NS, 0) if started else 0
