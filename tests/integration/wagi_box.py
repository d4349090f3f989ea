"""A container that answers HTTP, by the real shim on a free port of this machine; and clients that speak it by the
byte."""

import asyncio
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.shim_box import Box
from wherry.core.tasks.fifos import FifoReader
from wherry.core.tasks.tasks import Task

DEADLINE = 60.0
_NAMESPACES = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    status: int
    header: dict[str, str]
    body: bytes


@dataclass
class Handler:
    """A container that answers HTTP at ``port``; what it logs is gathered."""

    task: Task
    port: int
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    reading: list[asyncio.Task] = field(default_factory=list)

    async def gather(self, path: str, into: bytearray) -> None:
        reader = FifoReader(path)
        try:
            while data := await reader.read():
                into.extend(data)
        finally:
            reader.close()

    async def raw(self, data: bytes, *, end: bool = False) -> bytes:
        """All that is answered until the server closes."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(data)
                if end:
                    writer.write_eof()
                return await reader.read()
            except ConnectionError as error:
                raise AssertionError(f"no answer to {data[:60]!r}") from error
            finally:
                writer.close()

    async def get(self, path: str, *more: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: test:8080", "Connection: close", *length, *more, "", ""]
        return parse(await self.raw("\r\n".join(lines).encode("latin-1") + body), head_only=method == "HEAD")

    async def logged(self, text: str, where: str = "out") -> str:
        """The log, once ``text`` is in it."""
        kept: bytearray = getattr(self, where)
        async with asyncio.timeout(DEADLINE):
            while text.encode() not in kept:
                await asyncio.sleep(0.01)
        return kept.decode()


def parse(data: bytes, *, head_only: bool = False) -> Answer:
    """A whole answer, of which nothing follows."""
    head, mark, body = data.partition(b"\r\n\r\n")
    assert mark, f"no whole answer: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    header = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if header.get("transfer-encoding") == "chunked" and not head_only:
        body = dechunk(body)
    elif "content-length" in header and not head_only:
        assert len(body) == int(header["content-length"]), data[:300]
    return Answer(int(first.split(" ")[1]), header, body)


def dechunk(data: bytes) -> bytes:
    parts, at = [], 0
    while True:
        end = data.find(b"\r\n", at)
        assert end >= 0, "a chunk is missing"
        length, at = int(data[at:end], 16), end + 2
        parts.append(data[at : at + length])
        at += length
        assert data[at : at + 2] == b"\r\n", "a chunk is cut short"
        at += 2
        if not length:
            assert at == len(data)
            return b"".join(parts)


async def serve(box: Box, *args: str, labels: dict[str, str] | None = None, kind: str = "wagi", **changes) -> Handler:
    """Start a container of ``box``'s image that answers HTTP; ``kind`` "": of its own accord."""
    port = free_port()
    annotations = {**({"dev.wherry.http": kind} if kind else {}), "dev.wherry.http.port": str(port), **(labels or {})}
    linux = {"namespaces": _NAMESPACES, **changes.pop("linux", {})}
    task = await box.create(*args, annotations=annotations, linux=linux, **changes)
    handler = Handler(task, port)
    for path, kept in ((task.io.stdout, handler.out), (task.io.stderr, handler.err)):
        handler.reading.append(asyncio.create_task(handler.gather(path, kept)))
    await task.start()
    return handler


def workers(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


BAD_REQUESTS = [
    (400, b"\x00\xff\xfe garbage\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    (414, b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
    (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    (400, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n"),
    (501, b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (400, b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    (413, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"),
    (
        413,
        b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"400\r\n%b\r\n" % (b"x" * 1024) * 99,
    ),
]
"""Statuses, and requests that get them when bodies may have 64k."""
