"""A container in memory: its record, the run under way, and who waits for what. No decisions are made here."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from wherry.core.tasks.tasks import Task
from wherry.engine.record import Record
from wherry.engine.restart import BackOff
from wherry.engine.run import Run
from wherry.engine.states import RUNNING
from wherry.errors import Conflict

Condition = Literal["not-running", "next-exit", "removed"]
CONDITIONS: Final = ("not-running", "next-exit", "removed")

Json = dict[str, Any]


class Waiters:
    """Futures by what they wait for; each is resolved once."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Condition, asyncio.Future[Json]]] = []

    def add(self, condition: Condition) -> asyncio.Future[Json]:
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting = [item for item in self._waiting if not item[1].done()]
        self._waiting.append((condition, future))
        return future

    def exited(self, code: int) -> None:
        """The container has ended; as with docker it does not matter whether it will be started again."""
        self._resolve(("not-running", "next-exit"), {"StatusCode": code})

    def removed(self, code: int, error: str = "") -> None:
        """The container is gone, or could not be removed."""
        self._resolve(CONDITIONS, {"StatusCode": code, **({"Error": {"Message": error}} if error else {})})

    def _resolve(self, conditions: tuple[str, ...], result: Json) -> None:
        for condition, future in self._waiting:
            if condition in conditions and not future.done():
                future.set_result(result)
        self._waiting = [item for item in self._waiting if not item[1].done()]


class Live:
    """``lock`` is held while the container is being changed, never while waiting for it to end."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.run: Run | None = None
        self.task: Task | None = None
        self.ended = asyncio.Event()
        self.waiters = Waiters()
        self.back_off = BackOff()
        self.restart_timer: asyncio.Task[None] | None = None
        self.oom = asyncio.Event()
        self.unwritten = False
        self.leaving = False
        """It has ended, and who waits for that is about to be told: attached clients hear its last words first."""
        self.farewell: asyncio.Task[None] | None = None
        """What tells them, if somebody is slow to hear. Nobody but the next run waits for it."""
        self.keep = False
        self.gone = False
        self.exec_ids: set[str] = set()
        self.exec_programs: dict[int, str] = {}

    @property
    def running(self) -> bool:
        return self.record.state.status in RUNNING

    def process(self) -> Task:
        """The task. Conflict: the container does not run."""
        if self.record.state.status == "restarting":
            raise Conflict(f"container {self.record.id} is restarting, wait until the container is running")
        if self.task is None or self.record.state.status not in ("running", "paused"):
            raise Conflict(f"container {self.record.id} is not running")
        return self.task

    async def settled(self) -> None:
        """Wait until a change that is under way has been made: what a container writes may be read, and answered by a
        signal, before the start that it comes from is written down."""
        async with self.lock:
            return

    def told(self) -> None:
        """Whoever waited for its end knows of it now."""
        self.leaving, self.farewell = False, None
        self.waiters.exited(self.record.state.exit_code)

    def told_of_removal(self, error: str = "") -> None:
        """The same of its being gone, or of why it cannot be removed; not before its last words were heard."""
        code = self.record.state.exit_code
        if self.farewell is None:
            self.waiters.removed(code, error)
        else:
            self.farewell.add_done_callback(lambda _: self.waiters.removed(code, error))

    def wait(self, condition: Condition) -> Awaitable[Json]:
        """Registers now."""
        future = self.waiters.add(condition)
        if condition == "not-running" and not self.running and not self.leaving:
            future.set_result({"StatusCode": self.record.state.exit_code})
        return future

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While inside, its end neither restarts nor removes it: the user is about to start it again."""
        self.keep = True
        try:
            yield
        finally:
            self.keep = False
