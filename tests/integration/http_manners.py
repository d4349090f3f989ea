"""What every container that answers HTTP is held to, whatever kind of handler is in it: see `serve` in wagi_box.py."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterable

from tests.integration.wagi_box import BAD_REQUESTS, DEADLINE, Handler, descriptors, parse, workers

_SHORT = b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfew"


async def settled(check: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not check():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never settled: {what}") from None


async def requests_may_follow_at_once(handler: Handler, hello: bytes, three: bytes) -> None:
    """``hello`` is answered to GET /, ``three`` to three bytes for /count."""
    one = b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    said = await handler.raw(one * 5 + last)
    assert said.count(b"HTTP/1.1 200 OK") == 6
    assert said.count(b"\r\n\r\n" + three) == 5
    assert said.endswith(hello)
    assert parse(await handler.raw(b"GET / HTTP/1.0\r\n\r\n")).body == hello
    unread = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    assert (await handler.raw(unread + last)).count(b"HTTP/1.1 200 OK") == 2


async def answers_are(handler: Handler, expected: Iterable[tuple[str, int, bytes]]) -> None:
    """Path, status and body."""
    for path, status, body in expected:
        answer = await handler.get(path)
        assert (answer.status, answer.body) == (status, body), path


async def faults_are_told(handler: Handler, expected: Iterable[tuple[str, int, str]], hello: bytes) -> None:
    """Path, status and what the log says beside the request's id; then GET / is answered as ever."""
    for path, status, log in expected:
        assert (await handler.get(path)).status == status, path
        line = re.search(rf'"GET {path} HTTP/1.1" {status} .* (\S+)\n', await handler.logged(f"{path} HTTP"))
        assert line is not None, path
        told = await handler.logged(f"wherry: request {line[1]}: ", "err")
        assert log in told[told.index(line[1]) :], path
        assert (await handler.get("/")).body == hello
    assert (await handler.task.state()).status == "running"


async def an_answer_is_cut_short(handler: Handler, path: str, log: str) -> None:
    """One that has begun, and never looks whole."""
    said = await handler.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 200")
    assert b"begun" in said
    assert not said.endswith(b"0\r\n\r\n")
    await handler.logged(log, "err")
    assert (await handler.get("/")).status == 200


async def bad_requests_are_refused(handler: Handler, other: str) -> None:
    """And logged, and what follows them, a request for ``other``, is no request. Bodies may have 64k."""
    smuggled = f"GET {other} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    for status, data in BAD_REQUESTS:
        lines = handler.out.count(b"\n")
        said = await handler.raw(data + smuggled)
        assert said.startswith(b"HTTP/1.1 %d " % status), (data[:80], said[:200])
        assert said.count(b"HTTP/1.1 ") == 1, data[:80]
        await settled(lambda lines=lines: handler.out.count(b"\n") == lines + 1, "one line in the log")
        assert f'" {status} '.encode() in handler.out.splitlines()[-1]
    assert (await handler.get("/")).status == 200


async def early_ends_leave_nothing(handler: Handler, slow: str, then: str = "/") -> None:
    """Of clients that go at any time, while ``slow`` is answered too: no descriptor."""
    assert (await handler.get("/")).status == 200
    pid = (await handler.task.state()).pid
    before = descriptors(pid), descriptors(workers(pid)[0])
    assert (await handler.raw(_SHORT, end=True)).startswith(b"HTTP/1.1 400")
    asked = [f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in (slow, "/")]
    for data in (b"", b"GET / HT", _SHORT, *asked):
        _, writer = await asyncio.open_connection("127.0.0.1", handler.port)
        writer.write(data)
        await writer.drain()
        writer.transport.abort()
    for _ in range(20):
        assert (await handler.get(then)).status == 200
    await settled(lambda: descriptors(pid) <= before[0] + len(workers(pid)), "the server's descriptors")
    await settled(lambda: all(descriptors(worker) <= before[1] + 3 for worker in workers(pid)), "the workers'")


async def what_was_begun_is_finished(handler: Handler, six: bytes) -> None:
    """Though SIGTERM came, and who was there already and asks now is answered. ``six`` is how the answer to six bytes
    for /count ends."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port)
        _, idle = await asyncio.open_connection("127.0.0.1", handler.port)
        writer.write(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        late_reader, late = await asyncio.open_connection("127.0.0.1", handler.port)
        await handler.task.kill(15)
        await settled(lambda: not _listens(handler.port), "it takes no more")
        late.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # whose client saw nothing of the stop
        assert (await late_reader.read()).startswith(b"HTTP/1.1 200 ")
        late.close()
        writer.write(b"abcdef")
        assert (await reader.read()).endswith(six)
        assert (await handler.task.wait()).code == 0
        writer.close()
        idle.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
