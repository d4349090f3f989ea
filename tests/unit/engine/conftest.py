"""The engine's surroundings, with tasks that are coroutines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.engine import World
from tests.fakes.tasks import FakeProcess, FakeTasks
from tests.nonblocking import nothing_blocks


async def hello(process: FakeProcess) -> int:
    process.write("stdout", b"out\n")
    process.write("stderr", b"err\n")
    return 7


async def cat(process: FakeProcess) -> int:
    while data := await process.read():
        process.write("stdout", data)
    return 0


async def flood(process: FakeProcess) -> int:
    for _ in range(int(process.args[2]) // 65536):
        await process.write_all(b"x" * 65536)
    return 0


async def ready(process: FakeProcess) -> int:
    process.write("stdout", b"ready\n")
    await asyncio.get_running_loop().create_future()
    return 0


async def fail(process: FakeProcess) -> int:
    return 1


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    """A blocking call of the engine's in the event loop fails the test."""
    with nothing_blocks(["wherry.engine"]):
        yield


@pytest.fixture
async def tasks() -> AsyncIterator[FakeTasks]:
    made = FakeTasks({"hello": hello, "cat": cat, "flood": flood, "ready": ready, "fail": fail})
    yield made
    await made.end()


@pytest.fixture
async def world(tmp_path: Path, tasks: FakeTasks) -> AsyncIterator[World]:
    made = await asyncio.to_thread(World, tmp_path, tasks)
    yield made
    made.close()
