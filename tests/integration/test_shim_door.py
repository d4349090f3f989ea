"""A shim's socket, spoken to by somebody who means no good, while a container runs: it answers, or hangs up."""

import asyncio
import os
import random
import socket
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import DATA
from tests.integration.shim_box import DEADLINE, Box, open_box
from tests.zig import compile_wasm
from wherry.core.tasks.fifos import FifoReader
from wherry.wire import task as api
from wherry.wire import ttrpc

REQUEST = 1


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_wasm(DATA / "shim_guest.c", tmp_path_factory.mktemp("guest") / "guest.wasm")


@pytest.fixture
async def box(guest: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_box(guest, tmp_path / "compiled", tmp_path) as made:
        yield made


def frame(stream: int, kind: int, flags: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">IIBB", len(data) if length is None else length, stream, kind, flags) + data


def request(method: str, payload: bytes, service: str = api.SERVICE) -> bytes:
    return ttrpc.RequestMessage(service=service, method=method, payload=payload).encode()


def nonsense(seed: int) -> Iterator[bytes]:
    """Frames and no frames, whole and cut short: the same for the same seed."""
    chance = random.Random(seed)
    for method in (*api.METHODS, "", "Nothing", "x" * 100_000, "Create\0", "__init__"):
        yield frame(1, REQUEST, 0, request(method, chance.randbytes(chance.randrange(200))))
        yield frame(1, REQUEST, 0, request(method, b""))
    yield frame(1, REQUEST, 0, request("Create", b"", "containerd.task.v9.Task"))
    for _ in range(100):
        yield chance.randbytes(chance.randrange(1, 400))
        yield frame(chance.getrandbits(32), chance.randrange(256), chance.randrange(256), chance.randbytes(50))
    yield frame(1, REQUEST, 0, b"", 0xFFFFFFFF)
    yield frame(1, REQUEST, 0, b"x" * 1000, 5 << 20)
    yield frame(1, REQUEST, 0, b"\x0a\xff\xff\xff\xff\x0f")
    yield b"GET / HTTP/1.1\r\n\r\n"


def hostile_creates(folder: Path) -> Iterator[api.CreateTaskRequest]:
    """Bundles and ids that would have files read, made or removed elsewhere."""
    for container_id in ("../../victim", "", "/", "a" * 5000, "a\0b"):
        yield api.CreateTaskRequest(id=container_id, bundle=str(folder))
    for bundle in ("/nonexistent", "/etc/passwd", "", "/proc/self/mem", str(folder) + "\0"):
        yield api.CreateTaskRequest(id="c1", bundle=bundle)
    for text in (b"", b"[" * 100_000, b'{"process":{"args":["/m"],"cwd":"/"},"root":{"path":"../../../etc"}}'):
        (folder / "config.json").write_bytes(text)
        yield api.CreateTaskRequest(id="c1", bundle=str(folder), stdout="/etc/passwd/x", stdin="binary:///bin/true")


def talk(path: str, data: bytes) -> bytes:
    """What is answered to ``data`` until the connection ends, or nothing comes for a moment."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.settimeout(0.05)
        answer = b""
        try:
            connection.sendall(data)
            while received := connection.recv(1 << 16):
                answer += received
        except OSError:  # nothing more, or hung up in the middle
            pass
        return answer


def door(box: Box, container_id: str) -> str:
    return (box.state / "tasks" / container_id / "address").read_text().removeprefix("unix://")


async def test_nonsense_is_refused_and_the_container_runs_on(box: Box, tmp_path: Path) -> None:
    task = await box.create("spin")
    reader = FifoReader(task.io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"spinning\n"
    path = door(box, task.container_id)
    for data in nonsense(7):
        await asyncio.to_thread(talk, path, data)
    victim = tmp_path / "victim"
    victim.write_text("here")
    for wanted in hostile_creates(tmp_path):
        data = frame(1, REQUEST, 0, request("Create", wanted.encode()))
        answer = await asyncio.to_thread(talk, path, data)
        assert answer == b"" or b"Traceback" not in answer
    assert victim.read_text() == "here"
    assert (await task.state()).status == "running"
    assert (await box.run("exit", "4")).code == 4
    reader.close()


async def test_its_socket_is_its_users_alone(box: Box) -> None:
    task = await box.create("exit", "0")
    status = os.stat(door(box, task.container_id))
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()
    await task.start()
    await task.wait()


async def test_thousands_of_connections_that_say_nothing_keep_nobody_out(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    path = door(box, task.container_id)
    silent = []
    try:
        for _ in range(400):
            silent.append(socket.socket(socket.AF_UNIX))
            silent[-1].connect(path)
        assert (await task.state()).status == "running"
    finally:
        for connection in silent:
            connection.close()
    assert (await box.run("exit", "6")).code == 6
