"""SIGKILL of the engine and of shims, at odd moments, while fifty containers of both kinds start, run and stop.

Afterwards every container's state is true, all of them can be removed, and nothing of them is left on the machine.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api import talk
from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import left_on_host

FIFTY = 50
STRIKES = 8
STEPS = FIFTY * 3
WORDS = (["sleep"], ["hello"], ["exit", "3"], ["sleep", "1"])
KNOWN = {0, 2, 3, 126, 127, 128, 137, 143, 255}
"""As they were told, or by how they were ended; and what docker says of a start that failed, or an end nobody saw. 2 is
Go's of a SIGTERM that meets runc's own first process, before the program is there."""


def state_of(daemon: Daemon) -> Path:
    """The engine's short-lived folder."""
    (found,) = [path for path in Path("/run/wherry").iterdir() if os.path.realpath(path / "root") == str(daemon.root)]
    return found


def processes(mark: str) -> dict[int, str]:
    """Command lines, by pid, of those that have ``mark`` in it."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if mark in line:
                    found[int(entry)] = line
    return found


def cgroups(ids: set[str]) -> list[str]:
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(folder) in ids]


@pytest.fixture
def images(fresh_docker: Docker, tmp_path: Path) -> dict[str, str]:
    return build_both(fresh_docker, tmp_path, "fault")


def victims(daemon: Daemon, state: Path) -> Iterator[tuple[str, int]]:
    yield "engine", daemon.process.pid
    for pid, line in processes(state.name).items():
        if pid == daemon.process.pid:
            continue
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if name in ("wherry-shim", "wherry-zygote") or "containerd-shim-runc-v2" in line:
            yield name, pid


class Sea:
    """Fifty clients, and somebody who kills what serves them."""

    def __init__(self, daemon: Daemon, images: dict[str, str]) -> None:
        self.daemon, self.images, self.state = daemon, images, state_of(daemon)
        self.chance = random.Random(4)
        self.up = asyncio.Event()
        self.up.set()
        self.done: asyncio.Queue[None] = asyncio.Queue()
        self.ids: set[str] = set()
        self.struck: list[str] = []
        self.turns = ["engine", "wherry-shim", "containerd-shim", "wherry-zygote"]

    async def sail(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(FIFTY):
                group.create_task(self._live(number))
            group.create_task(self._strike_often())

    async def _live(self, number: int) -> None:
        """One container's life: created, started, and half of them stopped."""
        kind = list(PLATFORMS)[number % 2]
        host = {"NetworkMode": "none" if number % 5 else "bridge", "AutoRemove": number % 7 == 0}
        if number % 10 < 2:  # those on a network, of both kinds
            host["NetworkMode"] = "bridge"
            host["PortBindings"] = {"80/tcp": [{"HostIp": "127.0.0.1"}]}
        volumes = {"/more": {}} if number % 4 == 0 else {}
        body = {"Image": self.images[kind], "Cmd": WORDS[number // 2 % 4], "Volumes": volumes, "HostConfig": host}
        status, said = await self._ask("POST", f"/containers/create?name=c{number}", body)
        assert status in (201, 409), said  # 409: it was made, and the answer was lost
        # Once: it may have begun though the answer was lost, and ended, and would run anew.
        status, said = await self._ask("POST", f"/containers/c{number}/start", once=True)
        # A shim that is killed takes its start along; --rm removes what has ended.
        assert status in (0, 204, 304, 404) or self.struck, (status, said)
        if number % 4 < 2:
            await self._ask("POST", f"/containers/c{number}/stop?t=0")
        else:
            self.done.put_nowait(None)

    async def _ask(self, method: str, path: str, body: object = None, *, once: bool = False) -> tuple[int, str]:
        """Ask until somebody answers; or ``once``, and be told 0 if the answer is lost."""
        while True:
            await self.up.wait()
            try:
                found = await talk(self.daemon, method, path, body)
            except (ConnectionRefusedError, FileNotFoundError):  # nobody heard it
                await asyncio.to_thread(until, lambda: not self.up.is_set() or self._listens(), "the engine answers")
                continue
            except (OSError, IndexError):
                if not once:
                    continue
                found = (0, "")
            self.done.put_nowait(None)
            return found

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.daemon.socket)) == 0

    async def _strike_often(self) -> None:
        """At moments that are told by how much has been done, and not by a clock."""
        moments = sorted(self.chance.sample(range(STEPS * 9 // 10), STRIKES))
        for steps in (after - before for before, after in zip([0, *moments], moments, strict=False)):
            for _ in range(steps):
                await self.done.get()
            await self._strike()

    async def _strike(self) -> None:
        """Whoever's turn it is longest of those that are there now."""
        found = await asyncio.to_thread(lambda: list(victims(self.daemon, self.state)))
        wanted = next(kind for kind in self.turns if any(name == kind for name, _ in found))
        pids = [pid for name, pid in found if name == wanted]
        self.turns.remove(wanted)
        self.turns.append(wanted)
        self.struck.append(wanted)
        if wanted == "engine":
            self.up.clear()
            await asyncio.to_thread(self.daemon.kill)
            await asyncio.to_thread(self.daemon.start)
            self.up.set()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(pids), signal.SIGKILL)


def settled(docker: Docker) -> list[dict]:
    """All containers, once none of them says that it runs though its process is gone."""

    told: list[dict] = []

    def true() -> bool:
        ids = docker("ps", "-aq", "--no-trunc").split()
        found = docker.run("inspect", *ids) if ids else None
        told[:] = json.loads(found.stdout) if found is not None else []
        lies = [item for item in told if item["State"]["Running"] and not _alive(item["State"]["Pid"])]
        return not lies and (found is None or found.returncode == 0)

    until(true, "every container's state is true")
    return told


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_kills_at_odd_moments_leave_nothing(
    fresh_daemon: Daemon, fresh_docker: Docker, images: dict[str, str]
) -> None:
    sea = Sea(fresh_daemon, images)
    async with asyncio.timeout(120):
        await sea.sail()
    assert {"engine", "wherry-shim", "containerd-shim"} <= set(sea.struck)
    await asyncio.to_thread(_all_is_true, sea, fresh_docker)
    await asyncio.to_thread(_nothing_stays, sea, fresh_docker)


def _all_is_true(sea: Sea, docker: Docker) -> None:
    documents = settled(docker)
    assert len(documents) > FIFTY // 2
    for document in documents:
        sea.ids.add(document["Id"])
        condition, words = document["State"], document["Config"]["Cmd"]
        story = json.dumps([sea.struck, document["Config"]["Image"], words, condition])
        assert condition["Status"] in ("created", "running", "exited"), story
        assert condition["Status"] != "exited" or condition["ExitCode"] in KNOWN, story
        if words == ["hello"]:
            logged = docker("logs", document["Id"])
            assert logged in ("", "hello"), "no line is doubled"


def _nothing_stays(sea: Sea, docker: Docker) -> None:
    taken = [int(port.rpartition(":")[2]) for name in docker("ps", "-q").split() for port in _ports(docker, name)]
    for image in sea.images.values():
        works = docker.run("run", "--rm", "--network", "none", image, "hello")
        assert works.stdout == "hello\n", (sea.struck, works.stderr)
    _nothing_is_left(sea.daemon, docker, sea.state, sea.ids)
    # Of other engines on this machine there may be links, rules and mounts at the same time.
    until(lambda: left_on_host(sea.ids | {sea.state.name}) == [], "nothing of networks is left", 30)
    (bridge,) = docker("network", "ls", "-q", "--no-trunc", "--filter", "name=bridge").split()
    until(lambda: _joined(f"br-{bridge[:12]}") == [], "no veth is left", 30)
    for port in taken:
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert sea.daemon.stop() == 0, "nobody else holds its lock"
    sea.daemon.start()


def _ports(docker: Docker, name: str) -> list[str]:
    return docker("port", name).splitlines()


def _joined(bridge: str) -> list[str]:
    """The ports of a bridge, each the host's end of a veth."""
    folder = Path("/sys/class/net", bridge, "brif")
    return os.listdir(folder) if folder.exists() else []


def _nothing_is_left(daemon: Daemon, docker: Docker, state: Path, ids: set[str]) -> None:
    docker("rm", "-fv", *docker("ps", "-aq").split())
    assert docker("ps", "-aq") == ""
    until(lambda: docker("volume", "ls", "-q") == "", "no volume is left")
    assert os.listdir(daemon.root / "containers") == []
    until(lambda: os.listdir(state / "tasks") == [], "no bundle is left")
    until(lambda: os.listdir(state / "io") == [], "no FIFO is left")
    marks = (state.name, str(daemon.folder))
    mounted = Path("/proc/self/mounts")
    # A place on a network that was made ahead for one more container is given up after ten seconds.
    until(lambda: not any(mark in mounted.read_text() for mark in marks), "no mount is left", 30)
    until(lambda: not [line for line in processes(state.name).values() if any(i in line for i in ids)], "no process")
    assert cgroups(ids) == []
