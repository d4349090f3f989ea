"""Limits of WASM containers as the docker CLI sets, changes and shows them, and guests that ask for everything.

Beside each of the greedy ones an innocent container goes on, and the engine answers.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.conformance.test_threads import AWAIT, SPAWN, TELL, WAITS, module
from tests.integration.conftest import Docker, until

THREADS = {
    "talk": module(
        "(call $must (i32.eqz (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 300))))" + TELL,
        f"""(i32.store (i32.const 100) (i32.const 200)) (i32.store (i32.const 104) (i32.const 3))
        (i32.store (i32.const 200) (i32.const 0x0a6968)) {SPAWN} {AWAIT}""",
    ),
    "stay": module(
        WAITS["busy"],
        f"""(loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.and (i32.lt_u (local.get $n) (i32.const 8))
            (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)))))
        (i32.store (i32.const 100) (i32.const 200)) (i32.store (i32.const 104) (i32.const 2))
        (i32.store (i32.const 200) (i32.add (i32.const 0x0a30) (local.get $n)))
        (drop (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 300)))
        {WAITS["wasi"]}""",
    ),
    "trap": module("unreachable", SPAWN + WAITS["block"]),
}


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory, guest_wasm: Path) -> Iterator[str]:
    """The guests; afterwards no container is left."""
    folder = tmp_path_factory.mktemp("context")
    for name, text in THREADS.items():
        (folder / f"{name}.wasm").write_bytes(wasmtime.wat2wasm(text))
    shutil.copy(guest_wasm, folder / "guest.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY . /\nENTRYPOINT ["/guest.wasm"]\n')
    docker("build", "-q", "-t", "limited", folder)
    yield "limited"
    for container in docker("ps", "-aq").split():
        docker("rm", "-f", container)


def sees(docker: Docker, *command: object) -> Any:
    return json.loads(docker(*command))


# Threads


def test_threads_in_a_container(docker: Docker, image: str) -> None:
    assert docker("run", "--name", "talks", "--entrypoint", "/talk.wasm", image) == "hi"
    assert sees(docker, "inspect", "talks")[0]["Wasm"]["Usage"]["Calls"] == {"fd_write": 1, "wasi.thread-spawn": 1}
    ended = docker.run("run", "--rm", "--entrypoint", "/trap.wasm", image)
    assert ended.returncode == 134
    assert ended.stderr.startswith("wasm trap: wasm `unreachable` instruction executed\n")


def test_threads_are_exec_d_too(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "host", image, "sleep")
    assert docker("exec", "host", "/talk.wasm") == "hi"
    assert docker.run("exec", "host", "/trap.wasm").returncode == 134
    assert docker("inspect", "-f", "{{.State.Running}}", "host") == "true"


def test_threads_count_as_processes(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "stays", "--cpus", "0.2", "--entrypoint", "/stay.wasm", image)
    until(lambda: docker("logs", "stays") == "8", "its threads run")
    assert docker("stats", "--no-stream", "--format", "{{.PIDs}}", "stays") == "9"
    docker("stop", "stays")
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "stays") == "143"
    docker("run", "-d", "--name", "fewer", "--cpus", "0.2", "--pids-limit", "4", "--entrypoint", "/stay.wasm", image)
    until(lambda: docker("logs", "fewer") == "4", "its threads run")
    docker("rm", "-f", "fewer")
