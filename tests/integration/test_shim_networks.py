"""Networks of containers that cannot make a socket: each has its own while it is there, and then it is another's."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.shim_box import DEADLINE, Box, open_box
from tests.zig import compile_wasm
from wherry.core.tasks.tasks import Task

DATA = Path(__file__).parent.parent / "data"
NAMESPACES = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network", "cgroup")]
SHIM = os.readlink("/proc/self/ns/net")

NO_CGROUP: dict[str, Any] = {"linux": {"namespaces": NAMESPACES, "cgroupsPath": ""}}
OWN: dict[str, dict[str, Any]] = {
    "one that may have sockets": {**NO_CGROUP, "annotations": {"dev.wherry.outlet": "pasta"}},
    "one with parameters of its own": {"linux": {**NO_CGROUP["linux"], "sysctl": {"net.ipv4.ip_forward": "1"}}},
    "one in the host's processes": {
        "linux": {"namespaces": [space for space in NAMESPACES if space["type"] != "pid"], "cgroupsPath": ""}
    },
}


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_wasm(DATA / "listener_guest.c", tmp_path_factory.mktemp("guest") / "guest.wasm")


@pytest.fixture
async def box(guest: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_box(guest, guest.parent / "compiled", tmp_path) as made:
        yield made


class Seen:
    """Namespaces that are held open: their numbers are nobody else's then."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def of(self, task: Task) -> int:
        fd = os.open(f"/proc/{task.pid}/ns/net", os.O_RDONLY)
        self._held.callback(os.close, fd)
        return os.fstat(fd).st_ino

    def close(self) -> None:
        self._held.close()


@pytest.fixture
def seen() -> Any:
    made = Seen()
    yield made
    made.close()


async def ended(box: Box, task: Task) -> None:
    async with asyncio.timeout(DEADLINE):
        await task.kill(9)
        await task.wait()
        await task.delete()
    box.made.remove(task)


async def fresh(box: Box, seen: Seen, **changes: Any) -> tuple[Task, int]:
    task = await box.create(**changes)
    number = seen.of(task)
    assert f"net:[{number}]" != SHIM
    return task, number


@pytest.mark.parametrize("cgroup", [True, False])
async def test_those_at_the_same_time_have_their_own_and_the_next_has_one_of_them(
    box: Box, seen: Seen, cgroup: bool
) -> None:
    changes = {} if cgroup else NO_CGROUP
    made = [await fresh(box, seen, **changes) for _ in range(4)]
    numbers = {number for _, number in made}
    assert len(numbers) == 4
    for task, _ in made[:2]:
        await ended(box, task)
    left = {number for _, number in made[2:]}
    later = [(await fresh(box, seen, **changes))[1] for _ in range(3)]
    assert len(set(later)) == 3
    assert not set(later) & left
    assert set(later) & (numbers - left)


@pytest.mark.parametrize("kind", list(OWN))
async def test_what_could_be_changed_is_nobody_else_s(box: Box, seen: Seen, kind: str) -> None:
    first, plain = await fresh(box, seen, **NO_CGROUP)
    await ended(box, first)
    other, number = await fresh(box, seen, **OWN[kind])
    assert number != plain
    await ended(box, other)
    later = {(await fresh(box, seen, **NO_CGROUP))[1] for _ in range(3)}
    assert number not in later
