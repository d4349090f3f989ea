"""Logs of containers of both kinds, while the engine and shims are killed: no line is lost, doubled or torn.

A kill of the engine alone loses nothing at all, whether containers go on meanwhile or end. Of a shim, or of a guest,
what was on its way inside of the killed process may be missing at the end, and nowhere else.
"""

import contextlib
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.integration.both_kinds import build_both
from tests.integration.conftest import Daemon, Docker, until

LINES = 60_000
KILLS = 6
KILLED = ("137", "255")
"""As it was told, or of an end that nobody saw."""
EACH = 3
"""Containers of each kind."""


@pytest.fixture
def images(fresh_docker: Docker, tmp_path: Path) -> dict[str, str]:
    return build_both(fresh_docker, tmp_path, "faultlog")


def expected(lines: int) -> str:
    """What the guest's `flood` says: written by the C library in blocks, whose ends are no ends of lines."""
    return "".join(f"line {number} of many, some words to fill it up\n" for number in range(lines))


def flood(docker: Docker, images: dict[str, str], lines: int, each: int = EACH) -> dict[str, str]:
    """Ids, and each one's kind."""
    run = ("run", "-d", "--network", "none")
    return {docker(*run, image, "flood", lines): kind for _ in range(each) for kind, image in images.items()}


def written(daemon: Daemon, ids: dict[str, str]) -> int:
    """Bytes of all logs."""
    return sum(path.stat().st_size for name in ids for path in daemon.root.glob(f"containers/{name}/*-json.log"))


def noted(daemon: Daemon, ids: dict[str, str]) -> bool:
    """Whether it is on disk that all of them run: for a moment after a start only their shims know."""
    with contextlib.closing(sqlite3.connect(f"file:{daemon.root}/metadata.db?mode=ro", uri=True)) as database:
        rows = dict(database.execute("SELECT id, extensions FROM containers").fetchall())
    return all('"status":"running"' in rows[name] for name in ids)


def said(docker: Docker, name: str) -> str:
    return docker.run("logs", name).stdout


def shims(docker: Docker, name: str, kind: str) -> list[int]:
    """The process that serves a container: the parent of its own, or of its zygote."""
    pid = int(docker("inspect", "-f", "{{.State.Pid}}", name))
    found = []
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        found.append(pid)
        if kind == "linux":
            break
    return [pid for pid in found if pid > 1]


def test_an_engine_killed_again_and_again_loses_no_line(
    fresh_daemon: Daemon, fresh_docker: Docker, images: dict[str, str]
) -> None:
    chance = random.Random(7)
    ids = flood(fresh_docker, images, LINES)
    whole = LINES * 130 * len(ids)  # a line takes some 130 bytes of a log
    seen = 0
    for _ in range(KILLS):
        seen = max(seen, written(fresh_daemon, ids)) + chance.randrange(whole // KILLS // 2)
        aim = min(seen, whole // 2)
        until(lambda aim=aim: written(fresh_daemon, ids) >= aim, "the logs grow")
        fresh_daemon.kill()
        fresh_daemon.start()
    for name in ids:
        assert fresh_docker("wait", name) == "0"
    for name, kind in ids.items():
        assert said(fresh_docker, name) == expected(LINES), kind


def test_containers_that_end_while_no_engine_is_there(
    fresh_daemon: Daemon, fresh_docker: Docker, images: dict[str, str]
) -> None:
    names = [
        fresh_docker("run", "-d", "--network", "none", *options, image, "sleep", "1")
        for image in images.values()
        for options in ((), ("-t",), ("--log-driver", "local"))
    ]
    pids = [int(fresh_docker("inspect", "-f", "{{.State.Pid}}", name)) for name in names]
    for name in names:
        until(lambda name=name: said(fresh_docker, name), "it has begun")
    fresh_daemon.kill()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "they have ended")
    fresh_daemon.start()
    for name in names:
        assert fresh_docker("wait", name) == "0"
        assert said(fresh_docker, name).splitlines() == ["sleeping", "awake"]


@pytest.mark.parametrize("away", [True, False])
def test_what_a_killed_shims_containers_said_is_a_beginning(
    fresh_daemon: Daemon, fresh_docker: Docker, images: dict[str, str], away: bool
) -> None:
    """With the engine away, and with it there."""
    endless = 100_000_000
    ids = flood(fresh_docker, images, endless, 1)
    until(lambda: written(fresh_daemon, ids) > 1 << 20, "the logs grow")
    until(lambda: noted(fresh_daemon, ids), "that they run is written down")
    served = {pid for name, kind in ids.items() for pid in shims(fresh_docker, name, kind)}
    if away:
        fresh_daemon.kill()
    for pid in served:
        os.kill(pid, signal.SIGKILL)
    if away:
        fresh_daemon.start()
    for name in ids:
        fresh_docker.run("kill", name)
        assert fresh_docker("wait", name) in KILLED
    for name, kind in ids.items():
        text = said(fresh_docker, name)
        count = text.count("\n")
        assert count > 0, kind
        assert expected(count + 1).startswith(text), kind
