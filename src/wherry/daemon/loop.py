"""The daemon's event loop: asyncio's own, but for how work gets to threads and back.

What may wait for a disk is done in threads, some ten times for the first container of a kind, and mostly takes less
time than asyncio's way there and back. Here a job wakes one thread, the one that rested last, and whatever is done by
the time the loop looks is brought back together.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

_MOST: Final = min(32, (os.cpu_count() or 1) + 4)
"""Threads, as many as asyncio would have."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class Hands:
    """Threads that do what blocks. All but `_work` is called in the event loop's thread.

    Life: made -> `do`, any number of times -> `close`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._idle: list[threading.Lock] = []
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False
        self._under_way = 0
        self._threads: list[threading.Thread] = []

    def do(self, work: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Have ``work`` done; cancelling what is returned does not stop it."""
        outcome = self._loop.create_future()
        self._under_way += 1
        self._jobs.append((outcome, work, args))
        if self._idle:
            with contextlib.suppress(IndexError):  # it has seen the job by itself
                self._idle.pop().release()
        elif self._under_way > len(self._threads) and len(self._threads) < _MOST:
            thread = threading.Thread(target=self._work, name=f"hand {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return outcome

    def _work(self) -> None:
        done = self._done
        rest = threading.Lock()
        rest.acquire()
        work: Callable[..., Any] = _begin
        while work is not _leave:
            outcome, work, args = self._next(rest)
            try:
                done.append((outcome, work(*args), None))
            # Whatever it is, it is for whoever waits.
            except BaseException as error:  # noqa: BLE001
                done.append((outcome, None, error))
            del outcome, args
            if not self._told:  # looked at after the append: whoever resets it takes all that was appended before
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._collect)

    def _next(self, rest: threading.Lock) -> Job:
        """The next job; until there is one, the thread waits for its ``rest`` to be released.

        A queue would wake a second thread with each job, who finds nothing; and not the one that rested last, whose
        memory is still in the processor's caches.
        """
        while True:
            with contextlib.suppress(IndexError):
                return self._jobs.popleft()
            self._idle.append(rest)
            if self._jobs:  # put there before anybody could see that this thread is idle
                with contextlib.suppress(ValueError):
                    self._idle.remove(rest)
                    continue
            rest.acquire()

    def _collect(self) -> None:
        self._told = False
        while self._done:
            outcome, result, error = self._done.popleft()
            self._under_way -= 1
            if outcome.done():
                continue
            if error is None:
                outcome.set_result(result)
            elif isinstance(error, StopIteration):  # which no future takes
                outcome.set_exception(RuntimeError(f"a blocking call raised {error!r}"))
            else:
                outcome.set_exception(error)

    async def close(self) -> None:
        """What was begun comes to its end, and the threads with it."""
        await asyncio.gather(*[self.do(_leave, ()) for _ in self._threads])
        self._threads.clear()


def _begin() -> None:
    """What a thread has done before its first job."""


def _leave() -> None:
    """A thread's last job."""


class Loop(asyncio.SelectorEventLoop):
    """The loop itself; executors other than the default one are used as ever."""

    def __init__(self) -> None:
        super().__init__()
        self._hands = Hands(self)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """See asyncio."""
        return super().run_in_executor(executor, func, *args) if executor else self._hands.do(func, args)

    async def shutdown_default_executor(self) -> None:
        """See asyncio."""
        await self._hands.close()
