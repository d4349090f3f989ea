"""Containers of both kinds while the engine and their shims are killed: every end is known, and nothing is left."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import until
from tests.linux_images import busybox_context


@pytest.fixture
def docker(fresh_docker: Any, guest_context: Path, tmp_path: Path) -> Any:
    fresh_docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path / "box"))
    fresh_docker("build", "-q", "-t", "guest", guest_context)
    return fresh_docker


def namespace(docker: Any) -> str:
    """What runc's records of this engine are kept under."""
    root = docker.daemon.root
    return "wherry-" + next(link.parent.name for link in Path("/run/wherry").glob("*/root") if link.resolve() == root)


def left(docker: Any, ids: list[str]) -> list[str]:
    """Everything on this machine that still belongs to one of the containers."""
    found = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(docker.daemon.root) in line]
    for hierarchy in ("pids", "memory", "unified"):
        for container in ids:
            place = Path(f"/sys/fs/cgroup/{hierarchy}/wherry/{container}")
            found += [str(place)] if place.exists() else []
    found += [str(path) for path in Path(f"/run/containerd/runc/{namespace(docker)}").glob("*")]
    found += processes(ids)
    state = Path("/run/wherry") / namespace(docker).removeprefix("wherry-")
    return found + [str(path) for folder in ("tasks", "io") for path in (state / folder).iterdir()]


def processes(ids: list[str]) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        found += [f"{entry.parent.name}: {words}" for container in ids if container in words]
    return found


def test_the_engine_is_killed_while_containers_start_and_stop(docker: Any) -> None:
    daemon = docker.daemon
    guest = ["guest", "exit", "3"]
    for number, moment in enumerate((0.05, 0.3, 0.7)):
        clients = [
            docker.popen(
                "run", "--network", "none", "--name", f"{image}-{number}-{turn}", *words,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for turn in range(3)
            for image, words in (("box", ["box", "sh", "-c", f"sleep 0.{turn}; exit 3"]), ("guest", guest))
        ]  # fmt: skip
        try:
            clients[0].wait(moment)
        except subprocess.TimeoutExpired:
            pass  # killed in the middle of things, then
        daemon.kill()
        for client in clients:
            client.wait(60)
        daemon.start()
    ids = docker("ps", "-aq", "--no-trunc").split()

    def settled() -> bool:
        return not docker("ps", "-q").split()

    until(settled, "all have ended")
    for state in (
        docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", *ids).splitlines() if ids else ()
    ):
        # Never started, ended by themselves, or lost with what was being made.
        assert state in ("created 0", "exited 3", "exited 137", "exited 255", "created 128"), state
    for container in ids:
        docker("start", container)
    until(settled, "all have ended again")
    codes = docker("inspect", "--format", "{{.State.ExitCode}}", *ids).split() if ids else []
    assert set(codes) <= {"3"}
    if ids:
        docker("rm", *ids)
    until(lambda: not left(docker, ids), f"nothing is left of {left(docker, ids)}")


def test_shims_are_killed_under_running_containers(docker: Any) -> None:
    linux = [docker("run", "-d", "--network", "none", "box", "sleep", "1000") for _ in range(2)]
    wasm = docker("run", "-d", "--network", "none", "guest", "sleep")
    shims = [line for line in processes([linux[0]]) if "containerd-shim-runc-v2" in line]
    assert len(shims) == 1
    os.kill(int(shims[0].partition(":")[0]), signal.SIGKILL)
    form = "{{.State.Status}} {{.State.ExitCode}}"
    until(lambda: docker("inspect", linux[0], "--format", form) == "exited 137", "its end is known")
    running = set(docker("ps", "-q", "--no-trunc").split())
    assert running == {linux[1], wasm}
    docker("start", linux[0])
    assert docker("exec", linux[0], "echo", "again") == "again"
    docker("rm", "-f", *linux, wasm)
    until(lambda: not left(docker, [*linux, wasm]), f"nothing is left of {left(docker, [*linux, wasm])}")
