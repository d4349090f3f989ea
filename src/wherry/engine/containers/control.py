"""What users do to running containers: stop, kill, restart, pause, remove by force, change limits."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from wherry.engine import signals
from wherry.engine.containers import fit
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.hostconfig import RESOURCES, check_resources, update_of
from wherry.engine.containers.live import Live
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.removal import Removal
from wherry.engine.containers.supervisor import Supervisor
from wherry.engine.containers.warnings import warnings
from wherry.engine.spec.resources import resources
from wherry.engine.states import after
from wherry.errors import Conflict, InvalidArgument, NotFound, NotModified, Unavailable, WherryError

_PATIENCE: Final = 10
"""Seconds between the stop signal and SIGKILL when nobody says otherwise, and those SIGKILL is given."""


class Control:
    """``ref`` is what the user called the container, for messages."""

    def __init__(self, registry: Registry, supervisor: Supervisor, removal: Removal, tell: Announcer) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._removal = removal
        self._tell = tell

    async def stop(self, live: Live, ref: str, timeout: int | None, signal: str | None) -> None:
        """``timeout`` in seconds, None is the container's own, negative is for ever. NotModified: it does not run."""
        await live.settled()
        if live.record.state.status == "restarting":
            await self._supervisor.give_up_restart(live)
            return
        number = _stop_signal(live, signal)
        await self._forbid_restart(live, ref)
        if timeout is None:
            own = live.record.config["StopTimeout"]
            timeout = _PATIENCE if own is None else own
        await self._signal(live, number)
        if not await _within(live, timeout if timeout >= 0 else None):
            await self._signal(live, signals.KILL)
            await self._expect_end(live)
        self._tell(live.record, "stop")

    async def _forbid_restart(self, live: Live, ref: str) -> None:
        async with live.lock:
            if live.record.state.status not in ("running", "paused"):
                raise NotModified(f"container {ref} is not running")
            await self._registry.save(live, replace(live.record, stopped_by_user=True))

    async def kill(self, live: Live, ref: str, number: int) -> None:
        """Conflict: it does not run. SIGKILL is waited for."""
        await live.settled()
        if live.record.state.status == "restarting":
            await self._supervisor.give_up_restart(live)
            return
        gone = Conflict(f"cannot kill container: {ref}: container {live.record.id} is not running")
        if live.record.state.status not in ("running", "paused"):
            raise gone
        ends = number in (signals.KILL, signals.TERM, _stop_signal(live, None))
        if ends:
            try:
                await self._forbid_restart(live, ref)
            except NotModified:
                raise gone from None
        # One that ended just now, and will not be restarted, is as it was asked to be.
        if not await self._signal(live, number) and not ends:
            raise gone
        if number == signals.KILL:
            await self._expect_end(live)

    async def _signal(self, live: Live, number: int) -> bool:
        """Whether it was there to be told. A paused container is woken: it could not end otherwise."""
        task = live.task
        if task is None:
            return False
        try:
            await task.kill(number)
        except NotFound:
            return False
        if live.record.state.status == "paused":
            # Killed, it may be gone before it is woken; runtimes say so each in their own words.
            with contextlib.suppress(WherryError):
                await task.resume()
        self._tell(live.record, "kill", signal=str(number))
        return True

    async def _expect_end(self, live: Live) -> None:
        if not await _within(live, _PATIENCE):
            raise Unavailable(
                f"container {live.record.id} was sent SIGKILL but has not ended within {_PATIENCE} s: try again"
            )

    async def restart(self, live: Live, ref: str, timeout: int | None, signal: str | None) -> None:
        """Stop it if it runs, then start it."""
        with live.kept(), contextlib.suppress(NotModified):
            await self.stop(live, ref, timeout, signal)
        try:
            await self._supervisor.start(live, ref)
        except WherryError as error:
            raise type(error)(f"Cannot restart container {ref}: {error}") from error
        self._tell(live.record, "restart")

    async def pause(self, live: Live) -> None:
        """Conflict: it does not run, or is paused."""
        await self._freeze(live, paused=True)

    async def unpause(self, live: Live) -> None:
        """Conflict: it is not paused."""
        await self._freeze(live, paused=False)

    async def _freeze(self, live: Live, *, paused: bool) -> None:
        async with live.lock:
            status = after(live.record.state.status, "pause" if paused else "unpause", live.record.id)
            task = live.process()
            await (task.pause() if paused else task.resume())
            await self._registry.save(live, live.record.with_state(status=status))
        self._tell(live.record, "pause" if paused else "unpause")

    async def remove(self, live: Live, ref: str, *, force: bool, volumes: bool = False) -> None:
        """Conflict: it runs, and ``force`` is not given."""
        if not force:
            await self._removal.remove(live, ref, self._supervisor.ahead, volumes=volumes)
            return
        await live.settled()
        with live.kept():
            # It may end by itself meanwhile.
            with contextlib.suppress(Conflict):
                if live.running:
                    await self.kill(live, ref, signals.KILL)
            if live.running:
                await self._expect_end(live)
            await self._removal.remove(live, ref, self._supervisor.ahead, volumes=volumes)

    async def update(self, live: Live, body: Any) -> list[str]:
        """Change limits and the restart policy, of a running container too; returns a line for each that has no
        effect. InvalidArgument: what they may not be."""
        changes = update_of(body)
        async with live.lock:
            host = {**live.record.host_config, **changes}
            if "Memory" in changes and "MemorySwap" not in changes and 0 < host["MemorySwap"] < host["Memory"]:
                raise InvalidArgument(
                    f"Cannot update container {live.record.id}: Memory limit should be smaller than already set "
                    "memoryswap limit, update the memoryswap at the same time"
                )
            check_resources(host)
            await asyncio.to_thread(fit.check, host)
            if host["AutoRemove"] and host["RestartPolicy"]["Name"] != "no":
                raise InvalidArgument(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container"
                )
            await self._supervisor.ahead.drop(live)
            await self._apply(live, host, changes)
            await self._registry.save(live, replace(live.record, host_config=host))
        self._tell(live.record, "update")
        told = warnings(live.record, only=changes)
        if live.record.kind == "linux":
            told += await asyncio.to_thread(fit.discarded, {**dict.fromkeys(RESOURCES), **changes})
        return told

    async def _apply(self, live: Live, host: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        if live.task is not None and set(changes) - {"RestartPolicy"}:
            # A running one's share of real time stays as it is, as docker has it.
            wanted = resources({**host, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0})
            try:
                await live.task.update(wanted)
            except WherryError as error:
                raise type(error)(f"Cannot update container {live.record.id}: {error}") from None


async def _within(live: Live, seconds: int | None) -> bool:
    """Whether it ended in time."""
    try:
        async with asyncio.timeout(seconds):
            await live.ended.wait()
    except TimeoutError:
        return False
    return True


def _stop_signal(live: Live, signal: str | None) -> int:
    return signals.parse(signal or live.record.config["StopSignal"] or "SIGTERM")
