"""The daemon's event loop: work goes to threads and comes back, whatever becomes of it."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from wherry.daemon.loop import Loop

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def with_deadline() -> T:
        async with asyncio.timeout(20):
            return await main()

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(with_deadline())


def fail(error: BaseException) -> None:
    raise error


def test_far_more_work_than_threads_is_all_done_and_the_threads_end() -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*[asyncio.to_thread(lambda number=number: number * 2) for number in range(500)])

    before = threading.active_count()
    assert run(main) == [number * 2 for number in range(500)]
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert threading.active_count() == before


def test_a_job_that_takes_long_keeps_nobody_waiting() -> None:
    async def main() -> None:
        release = threading.Event()
        slow = asyncio.ensure_future(asyncio.to_thread(release.wait))
        for _ in range(20):
            await asyncio.to_thread(time.time)
        assert not slow.done()
        release.set()
        assert await slow

    run(main)


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_job_raises_is_raised_where_it_is_awaited(error: BaseException) -> None:
    async def main() -> str:
        with pytest.raises(type(error)) as caught:
            await asyncio.to_thread(fail, error)
        assert caught.value is error
        return await asyncio.to_thread(str, "still at work")

    assert run(main) == "still at work"


def test_a_stop_iteration_is_no_silence() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(next, iter(()))

    run(main)


def test_who_is_cancelled_goes_and_the_job_comes_to_its_end() -> None:
    async def main() -> None:
        begun, release, ended = threading.Event(), threading.Event(), threading.Event()

        def job() -> None:
            begun.set()
            release.wait()
            ended.set()

        waiting = asyncio.ensure_future(asyncio.to_thread(job))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        assert await asyncio.to_thread(ended.wait, 10)

    run(main)


def test_what_is_under_way_when_the_loop_ends_is_waited_for() -> None:
    done = threading.Event()
    release = threading.Event()

    def job() -> None:
        release.wait()
        done.set()

    async def main() -> None:
        waiting = asyncio.ensure_future(asyncio.to_thread(job))
        await asyncio.sleep(0)
        threading.Timer(0.05, release.set).start()
        assert not waiting.done()

    run(main)
    assert done.is_set()


def test_context_and_other_executors_are_as_ever() -> None:
    variable = contextvars.ContextVar("variable", default="none")

    async def main() -> None:
        variable.set("mine")
        assert await asyncio.to_thread(variable.get) == "mine"
        with ThreadPoolExecutor(1, thread_name_prefix="other") as other:
            name = await asyncio.get_running_loop().run_in_executor(other, lambda: threading.current_thread().name)
        assert name.startswith("other")

    run(main)


def test_no_job_is_left_lying_between_a_threads_last_look_and_its_rest() -> None:
    """Jobs come in ones and twos just when threads go to rest: each is done, or this would hang."""

    async def main() -> int:
        done = 0
        for number in range(3000):
            done += sum(await asyncio.gather(*[asyncio.to_thread(int, 1) for _ in range(1 + number % 3)]))
        return done

    assert run(main) == 6000


def test_who_rested_last_works_first() -> None:
    async def main() -> set[str]:
        barrier = threading.Barrier(4)
        await asyncio.gather(*[asyncio.to_thread(barrier.wait) for _ in range(4)])
        return {await asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(50)}

    assert len(run(main)) < 4
