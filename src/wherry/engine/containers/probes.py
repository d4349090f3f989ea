"""Checking containers' health: for each that wants it a task waits, runs the check inside, keeps what came of it.

What results mean is in health.py. The loop ends with the run that it was begun for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from wherry.core.tasks.fifos import FifoReader, remove_fifos
from wherry.core.tasks.tasks import Process, Task, TaskIO
from wherry.engine import signals
from wherry.engine.background import Background
from wherry.engine.containers import health, httpcheck
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.execspec import add, exec_document
from wherry.engine.containers.folders import exec_fifos
from wherry.engine.containers.health import Policy, Result
from wherry.engine.containers.launch import exit_code_of
from wherry.engine.containers.live import Live
from wherry.engine.containers.registry import Registry
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.errors import WherryError

_NS: Final = 1_000_000_000
_GRACE: Final = 2.0
"""Seconds for output that still comes after the end, and for a check that was killed."""

log = logging.getLogger(__name__)


class Probes:
    """``begin`` is called for each run of a container that has a health check; nothing has to be called at its end.

    ``address`` tells where a running container is reached from here, "" where it is not."""

    def __init__(
        self,
        services: EngineServices,
        registry: Registry,
        address: Callable[[Record], str],
        tell: Announcer,
        background: Background,
    ) -> None:
        self._address = address
        self._services = services
        self._registry = registry
        self._tell = tell
        self._background = background

    def begin(self, live: Live, task: Task) -> None:
        """Check the container from now on, if it asks for that."""
        policy = health.policy_of(live.record)
        if policy is not None:
            self._background.spawn(self._watch(live, task, policy))

    async def _watch(self, live: Live, task: Task, policy: Policy) -> None:
        while live.task is task and not live.gone:
            state = live.record.state
            seconds = policy.wait(state.health or health.starting(), state.started_at, self._services.clock()) / _NS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await live.ended.wait()
                    return
            if live.task is task and live.record.state.status == "running":
                await self._check(live, task, policy)

    async def _check(self, live: Live, task: Task, policy: Policy) -> None:
        start = self._services.clock()
        try:
            code, output = await (self._ask(live, policy) if policy.http else self._probe(live, task, policy))
        except WherryError as error:
            # As docker: a check that cannot be run is one that fails.
            code, output = exit_code_of(error), str(error)
        result = Result(start, self._services.clock(), code, output)
        async with live.lock:
            if live.task is task and live.record.state.health is not None:
                await self._keep(live, result, policy)

    async def _keep(self, live: Live, result: Result, policy: Policy) -> None:
        """Only a change of status is written down: results are of interest while the engine runs."""
        record, before = live.record, live.record.state.health or {}
        after = health.judged(before, result, policy, record.state.started_at)
        changed = after["Status"] != before["Status"]
        if not changed:
            live.record = record.with_state(health=after)
            return
        await self._registry.note(live, record.with_state(health=after))
        self._tell(live.record, f"health_status: {after['Status']}")

    async def _ask(self, live: Live, policy: Policy) -> tuple[int, str]:
        """The check from outside."""
        assert policy.http is not None, "asked for before"
        address = self._address(live.record)
        if not address:
            return 1, "the container is on no network that it could be asked over"
        try:
            async with asyncio.timeout(policy.timeout / _NS):
                return await httpcheck.ask(address, policy.http)
        except TimeoutError:
            return health.TIMED_OUT, _too_long(policy)

    async def _probe(self, live: Live, task: Task, policy: Policy) -> tuple[int, str]:
        """Run the check; its exit code and output. WherryError: it cannot be run."""
        record, words = live.record, health.command(policy, live.record)
        exec_id = self._services.new_id()
        config = {"Cmd": words, "User": "", "Env": [], "WorkingDir": "", "Privileged": False, "Tty": False}
        document = await asyncio.to_thread(exec_document, self._services, record, config)
        io = await exec_fifos(self._services.config.state, live, exec_id)
        told = " ".join(words)
        self._tell(record, f"exec_create: {told}", execID=exec_id)
        try:
            process = await add(task, exec_id, document, io, wasm=record.kind == "wasm")
            self._tell(record, f"exec_start: {told}", execID=exec_id)
            code, output = await self._carried_out(process, io, policy)
            self._tell(record, "exec_die", execID=exec_id, exitCode=str(code))
            return code, output
        finally:
            await asyncio.to_thread(remove_fifos, io)

    async def _carried_out(self, process: Process, io: TaskIO, policy: Policy) -> tuple[int, str]:
        kept = bytearray()
        readers, pumps = list[FifoReader](), list[asyncio.Task[None]]()
        try:
            for path in (io.stdout, io.stderr):
                readers.append(FifoReader(path))
                pumps.append(asyncio.create_task(_read(readers[-1], kept)))
            await process.start()
            code = await self._ended(process, policy)
            await asyncio.wait(pumps, timeout=_GRACE if code != health.TIMED_OUT else 0)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for reader in readers:
                reader.close()
            with contextlib.suppress(WherryError):
                await process.delete()
        if code == health.TIMED_OUT:
            return code, _too_long(policy)
        return code, _text(kept)

    async def _ended(self, process: Process, policy: Policy) -> int:
        try:
            async with asyncio.timeout(policy.timeout / _NS):
                return (await process.wait()).code
        except TimeoutError:
            with contextlib.suppress(WherryError, TimeoutError):
                await process.kill(signals.KILL)
                async with asyncio.timeout(_GRACE):
                    await process.wait()
            return health.TIMED_OUT


async def _read(reader: FifoReader, kept: bytearray) -> None:
    """All is read, so that the check does not stop at a full pipe; what is too much is dropped."""
    with contextlib.suppress(WherryError):
        while data := await reader.read():
            kept += data[: max(health.LARGEST_OUTPUT + 1 - len(kept), 0)]


def _too_long(policy: Policy) -> str:
    return f"Health check exceeded timeout ({policy.timeout / _NS:g}s)"


def _text(output: bytes | bytearray) -> str:
    text = bytes(output[: health.LARGEST_OUTPUT]).decode("utf-8", "replace")
    return text + "..." if len(output) > health.LARGEST_OUTPUT else text
