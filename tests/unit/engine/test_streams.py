"""The fan-out of stdio: order, slow clients, detaching, stdin before its process."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engine.attach import AttachOptions, DetachKeys, attached
from wherry.engine.streams import Output, Stdin, Streams, Subscription
from wherry.errors import ResourceExhausted, Unavailable

BOTH = frozenset({"stdout", "stderr"})


class Kept:
    """A sink that keeps everything, or fails."""

    def __init__(self) -> None:
        self.chunks: list[tuple[str, bytes]] = []
        self.fault: Exception | None = None

    def taken(self, stream: str) -> int | None:
        return None

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.chunks.append((stream, data))


async def source(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_log_and_clients_see_the_same_order() -> None:
    output, sink = Output(lambda: 1), Kept()
    first, _ = await output.subscribe(BOTH)
    second, _ = await output.subscribe(frozenset({"stderr"}))
    await asyncio.gather(
        output.pump("stdout", source(b"a", b"b"), sink), output.pump("stderr", source(b"x", b"y"), sink)
    )
    output.end()
    assert [chunk async for chunk in first] == sink.chunks
    assert [chunk async for chunk in second] == [("stderr", b"x"), ("stderr", b"y")]
    late, _ = await output.subscribe(BOTH)
    assert [chunk async for chunk in late] == []


async def test_a_client_that_takes_nothing_is_cut_and_the_log_is_whole() -> None:
    output, sink = Output(lambda: 1, stall=0.01), Kept()
    deaf, _ = await output.subscribe(BOTH)
    heard, _ = await output.subscribe(BOTH)
    chunk = b"x" * (1 << 20)
    taken: list[bytes] = []

    async def listen() -> None:
        async for _, data in heard:
            taken.append(data)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(listen())
        await output.pump("stdout", source(*[chunk] * 20), sink)
        output.end()
    assert deaf.cut
    assert not heard.cut
    assert len(sink.chunks) == len(taken) == 20
    assert [item async for item in deaf] == []


async def test_a_slow_client_that_goes_on_taking_is_waited_for() -> None:
    subscription = Subscription(BOTH, limit=4)
    subscription.offer("stdout", b"12345678")
    waiting = asyncio.create_task(subscription.relieved(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    chunks = subscription.__aiter__()
    assert await anext(chunks) == ("stdout", b"12345678")
    await waiting
    assert not subscription.cut


async def test_a_full_disk_stops_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    output, sink = Output(lambda: 1), Kept()
    sink.fault = ResourceExhausted("the disk is full")
    client, _ = await output.subscribe(BOTH)
    await output.pump("stdout", source(b"a", b"b"), sink)
    output.end()
    assert [data async for _, data in client] == [b"a", b"b"]
    assert [record.message for record in caplog.records] == ["output is not logged: the disk is full"]


class Pipe:
    def __init__(self) -> None:
        self.data, self.closed = b"", False

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise Unavailable("FIFO is closed")
        self.data += data

    def close(self) -> None:
        self.closed = True


async def test_stdin_waits_for_its_process() -> None:
    stdin, pipe = Stdin(), Pipe()
    told: list[str] = []

    async def tell() -> None:
        told.append("closed")
        pipe.close()

    writing = asyncio.create_task(stdin.write(b"early"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(stdin.close())
    await asyncio.sleep(0)
    assert pipe.data == b""
    stdin.open(pipe, tell)
    await asyncio.gather(writing, closing)
    assert (pipe.data, told) == (b"early", ["closed"])
    await stdin.write(b"late")
    await stdin.close()
    assert (pipe.data, told) == (b"early", ["closed"])


async def test_a_run_that_never_came_lets_writers_go() -> None:
    stdin = Stdin()
    writing = asyncio.create_task(stdin.write(b"x"))
    await asyncio.sleep(0)
    stdin.end()
    async with asyncio.timeout(5):
        await writing


async def test_detach_keys_end_the_session_and_not_the_process() -> None:
    streams, pipe = Streams(tty=True, close_stdin_with_client=True, clock=lambda: 1), Pipe()

    async def never() -> None:
        raise AssertionError

    streams.stdin.open(pipe, never)
    session = await attached(streams, AttachOptions(stdin=True, stdout=True))
    await session.write(b"ab\x10")
    await session.write(b"\x11cd")
    assert [chunk async for chunk in session.output()] == []
    assert pipe.data == b"ab"
    await session.close_stdin()
    await session.aclose()
    assert not pipe.closed


async def test_a_session_without_streams_ends_at_once() -> None:
    streams = Streams(tty=False, close_stdin_with_client=False, clock=lambda: 1)
    session = await attached(streams, AttachOptions(stdout=True, stream=False))
    assert [chunk async for chunk in session.output()] == []
    await session.write(b"nobody asked for stdin")
    await session.aclose()


@given(st.binary(max_size=40), st.integers(1, 7))
def test_detach_keys_however_they_are_cut(data: bytes, size: int) -> None:
    keys = DetachKeys(b"\x10\x11")
    passed, detached = b"", False
    for start in range(0, len(data), size):
        out, detached = keys.feed(data[start : start + size])
        passed += out
        if detached:
            break
    before, found, _ = data.partition(b"\x10\x11")
    assert detached is bool(found)
    held = b"" if detached or not before.endswith(b"\x10") else b"\x10"
    assert passed + held == before
