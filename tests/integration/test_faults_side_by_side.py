"""SIGKILL of the engine and of shims, at odd moments, while containers of both kinds start, run and stop: afterwards
every container's state is true, all of them can be removed, and nothing of them is left on the machine."""

import contextlib
import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import left_on_host

ROUNDS = 4
AT_ONCE = 12
WORDS = (["sleep"], ["hello"], ["exit", "3"], ["sleep", "1"])


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


def strike(daemon: Daemon, state: Path, chance: random.Random, number: int) -> str:
    """Kill the engine, or one shim; which, is the number's choice."""
    found = dict(victims(daemon, state))
    wanted = [name for name in ("engine", "wherry-shim", "wherry-zygote", "containerd-shim") if name in found]
    name = wanted[number % len(wanted)]
    if name == "engine":
        daemon.kill()
        daemon.start()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[name], signal.SIGKILL)
    return name


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


def test_kills_at_odd_moments_leave_nothing(fresh_daemon: Daemon, fresh_docker: Docker, images: dict[str, str]) -> None:
    state = state_of(fresh_daemon)
    chance = random.Random(4)
    ids: set[str] = set()
    kinds = list(PLATFORMS)
    for number in range(ROUNDS):
        busy = []
        for index in range(AT_ONCE):
            name, kind = f"c{number}-{index}", kinds[index % 2]
            options = ["--network", "none"] if index % 3 else []
            options += ["-v", "/more"] if index % 4 == 0 else []
            options += ["--rm"] if index % 5 == 0 else []
            command = ["run", "-d", "--name", name, *options, images[kind], *chance.choice(WORDS)]
            busy.append(fresh_docker.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for process in busy[: chance.randrange(AT_ONCE)]:
            process.wait(60)
        ids |= set(fresh_docker("ps", "-aq", "--no-trunc").split())
        struck = strike(fresh_daemon, state, chance, number)
        for process in busy:
            process.wait(60)
        for document in settled(fresh_docker):
            ids.add(document["Id"])
            condition = document["State"]
            assert condition["Status"] in ("created", "running", "exited"), (struck, condition)
            if condition["Status"] == "exited":
                assert condition["ExitCode"] in (0, 3, 137, 255, 126, 127, 128), (struck, condition)
        works = fresh_docker.run("run", "--rm", "--network", "none", images[kinds[number % 2]], "hello")
        assert works.stdout == "hello\n", (struck, works.stderr)
    _nothing_is_left(fresh_daemon, fresh_docker, state, ids)
    # Of other engines on this machine there may be links, rules and mounts at the same time.
    until(lambda: left_on_host(ids | {state.name}) == [], "nothing of networks is left", 30)


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
