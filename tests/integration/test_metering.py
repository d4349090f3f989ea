"""What a WASM container used, as the docker CLI shows it, and fuel, which ends it."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.integration.conftest import BIN, DEADLINE, Daemon, Docker, until

COUNTING = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $n i32)
    (loop $again
      (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5))))
    (drop (call $random (i32.const 0) (i32.const 8)))
    (drop (memory.grow (i32.const 3)))))"""

SPINNING = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\01\\00\\00\\00.")
  (func (export "_start")
    (loop $for_ever (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br $for_ever))))"""

GROWING = """(module (memory (export "memory") 1) (data (i32.const 0) "some data")
  (func (export "_start") (drop (memory.grow (i32.const 1000))) (loop $for_ever (br $for_ever))))"""


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory, guest_wasm: Path) -> Iterator[str]:
    """Modules that count, and the guest of the other tests; afterwards no container is left."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "counting.wasm").write_bytes(wasmtime.wat2wasm(COUNTING))
    (folder / "growing.wasm").write_bytes(wasmtime.wat2wasm(GROWING))
    (folder / "spinning.wasm").write_bytes(wasmtime.wat2wasm(SPINNING))
    shutil.copy(guest_wasm, folder / "guest.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY . /\nENTRYPOINT ["/guest.wasm"]\n')
    docker("build", "-q", "-t", "metered", folder)
    yield "metered"
    for container in docker("ps", "-aq").split():
        docker("rm", "-f", container)


def usage(docker: Docker, container: str) -> dict[str, Any]:
    found = json.loads(docker("inspect", container))[0]["Wasm"]["Usage"]
    assert isinstance(found, dict)
    return found


def sample(daemon: Daemon, container: str) -> dict[str, Any]:
    """One line of `docker stats`, whole."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(DEADLINE)
        line.connect(str(daemon.socket))
        path = f"/v1.43/containers/{container}/stats?stream=0&one-shot=1"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := line.recv(65536):
            answer += data
    body = answer.partition(b"\r\n\r\n")[2]
    found = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    assert isinstance(found, dict)
    return found


def test_calls_and_memory_of_one_that_has_ended(docker: Docker, image: str) -> None:
    docker("run", "--name", "ended", "--entrypoint", "/counting.wasm", image)
    assert usage(docker, "ended") == {
        "LinearMemoryPeak": 5 << 16,
        "Calls": {"clock_time_get": 5, "random_get": 1},
    }
    docker("start", "-a", "ended")
    assert usage(docker, "ended")["Calls"] == {"clock_time_get": 5, "random_get": 1}


def test_calls_of_one_that_runs_and_what_an_exec_adds(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "runs", image, "sleep")
    assert "clock_time_get" not in until(lambda: usage(docker, "runs")["Calls"], "it has called something")
    docker("exec", "runs", "/counting.wasm")
    assert usage(docker, "runs")["Calls"]["clock_time_get"] == 5
    docker("kill", "runs")
    assert usage(docker, "runs")["Calls"]["clock_time_get"] == 5


def test_memory_that_grew_unnoticed(docker: Docker, image: str) -> None:
    """It grows and spins, and calls nobody; then it is killed."""
    docker("run", "-d", "--name", "grows", "--entrypoint", "/growing.wasm", image)
    until(lambda: usage(docker, "grows")["LinearMemoryPeak"] == 1001 << 16, "it has grown", deadline=20)
    docker("kill", "grows")
    assert usage(docker, "grows") == {"LinearMemoryPeak": 1001 << 16, "Calls": {}}


def test_stats_tell_it_too(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "stats", image, "sleep")
    until(lambda: usage(docker, "stats")["Calls"], "it has called something")
    told = sample(docker.daemon, "stats")
    assert told["Wasm"]["Usage"] == usage(docker, "stats")
    assert told["pids_stats"]["current"] == 1


def test_fuel_ends_a_container_always_at_the_same_place(docker: Docker, image: str) -> None:
    command = ["run", "--label", "dev.wherry.fuel=10000", "--entrypoint", "/spinning.wasm"]
    first, second = (docker.run(*command, "--name", name, image) for name in ("fuel1", "fuel2"))
    assert first.returncode == second.returncode == 152
    assert first.stdout == second.stdout == "." * len(first.stdout)
    assert 500 < len(first.stdout) < 5000
    assert first.stderr == second.stderr == "wherry: out of fuel: all 10000 units are used\n"
    for name in ("fuel1", "fuel2"):
        assert usage(docker, name)["Fuel"] == {"Used": 10000, "Limit": 10000}
        assert usage(docker, name)["Calls"] == {"fd_write": len(first.stdout)}
        assert docker("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", name) == "152 false"
        assert "out of fuel" in docker.run("logs", name).stderr


def test_fuel_is_told_while_it_burns_and_given_to_an_exec_too(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "burning", "--label", f"dev.wherry.fuel={1 << 62}", image, "tick")
    before = until(lambda: usage(docker, "burning")["Fuel"]["Used"], "fuel is used")
    until(lambda: usage(docker, "burning")["Fuel"]["Used"] > before, "more of it is used")
    assert docker("exec", "burning", "/guest.wasm") == "hello"
    docker("kill", "burning")
    docker("run", "--name", "enough", "--label", "dev.wherry.fuel=100000000", image)
    assert 0 < usage(docker, "enough")["Fuel"]["Used"] < 100000000


def test_an_image_can_ask_for_fuel(docker: Docker, image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {image}\nLABEL dev.wherry.fuel=3000\nENTRYPOINT ["/spinning.wasm"]\n')
    docker("build", "-q", "-t", "burns", tmp_path)
    ended = docker.run("run", "--rm", "burns")
    assert (ended.returncode, ended.stderr) == (152, "wherry: out of fuel: all 3000 units are used\n")
    more = docker.run("run", "--rm", "--label", "dev.wherry.fuel=6000", "burns")
    assert (more.returncode, len(more.stdout) > len(ended.stdout)) == (152, True)


@pytest.mark.parametrize("units", ["0", "-1", "1e9", "many", "9223372036854775808", "\u0665"])
def test_what_is_no_amount_of_fuel(docker: Docker, image: str, units: str) -> None:
    assert "invalid fuel" in docker.fails("run", "--rm", "--label", f"dev.wherry.fuel={units}", image, code=125)


def test_the_wherry_command_has_an_option_for_it(docker: Docker, image: str) -> None:
    command = [str(BIN / "wherry"), "run", "--rm", "--fuel", "5000", "--entrypoint", "/spinning.wasm", image]
    environ = {**docker.environ, "WHERRY_HOST": docker.daemon.host}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert (ended.returncode, ended.stderr) == (152, "wherry: out of fuel: all 5000 units are used\n")
