"""Limits of WASM containers as the docker CLI sets, changes and shows them, and guests that ask for everything.

Beside each of the greedy ones an innocent container goes on, and the engine answers.
"""

import json
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.conformance.guests import PROGRAMS
from tests.conformance.test_threads import AWAIT, SPAWN, TELL, WAITS, WITHOUT_LIBC, module
from tests.integration.conftest import DATA, DEADLINE, Docker, until
from tests.zig import compile_wasm

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

TRAP_IN_START = '(module (func $at_start unreachable) (start $at_start) (func (export "_start")))'
VAST = '(module (memory (export "memory") 65536) (func (export "_start") (i32.store8 (i32.const -1) (i32.const 1))))'


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory, guest_wasm: Path) -> Iterator[str]:
    """The guests; afterwards no container is left."""
    folder = tmp_path_factory.mktemp("context")
    for name, text in THREADS.items():
        (folder / f"{name}.wasm").write_bytes(wasmtime.wat2wasm(text))
    (folder / "start.wasm").write_bytes(wasmtime.wat2wasm(TRAP_IN_START))
    (folder / "vast.wasm").write_bytes(wasmtime.wat2wasm(VAST))
    compile_wasm(PROGRAMS / "threads.c", folder / "threads.wasm", *WITHOUT_LIBC)
    compile_wasm(DATA / "greedy_guest.c", folder / "greedy.wasm")
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
    assert docker("run", "--rm", "--entrypoint", "/threads.wasm", image) == "all met"
    assert (
        docker("run", "--rm", "-m", "16m", "--user", "1000:1000", "--entrypoint", "/threads.wasm", image) == "all met"
    )
    refused = docker.fails("run", "--rm", "--label", "dev.wherry.fuel=9", "--entrypoint", "/threads.wasm", image)
    assert "fuel can't be metered for a module that starts threads" in refused
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


def test_threads_that_are_not_granted(docker: Docker, image: str) -> None:
    """Spawning answers an errno, which this module takes for a fault."""
    ended = docker.run("run", "--rm", "--cap-drop", "threads", "--entrypoint", "/talk.wasm", image)
    assert (ended.returncode, ended.stdout) == (134, "")


# Guests that ask for everything


@pytest.fixture
def innocent(docker: Docker, image: str) -> Iterator[None]:
    """Another container, which goes on as if nothing was; so do shim and engine."""
    container = docker("run", "-d", image, "tick")
    shims = docker("top", container, "-o", "pid,ppid").splitlines()[1].split()[1]
    yield
    before = docker("logs", container).count("\n")
    until(lambda: docker("logs", container).count("\n") > before, "the other container still ticks")
    assert docker("top", container, "-o", "pid,ppid").splitlines()[1].split()[1] == shims
    assert docker("run", "--rm", image) == "hello"
    docker("rm", "-f", container)


def greedy(docker: Docker, image: str, *words: object, options: Sequence[object] = ()) -> subprocess.CompletedProcess:
    return docker.run("run", "--rm", *options, "--entrypoint", "/greedy.wasm", image, *words)


def test_four_gigabytes_at_once(docker: Docker, image: str, innocent: None) -> None:
    """They are the guest's own, and take no room until they are used; with a limit it is told that there are none."""
    assert greedy(docker, image, "memory").stdout == "65536 pages\n"
    ended = greedy(docker, image, "memory", options=["-m", "64m"])
    assert (ended.returncode, ended.stdout) == (3, "refused\n")
    assert docker("run", "--rm", "--entrypoint", "/vast.wasm", image) == ""
    refused = docker.fails("run", "--rm", "-m", "64m", "--entrypoint", "/vast.wasm", image)
    assert "/vast.wasm does not fit into its memory limit" in refused


def test_an_endless_loop(docker: Docker, image: str, innocent: None) -> None:
    docker("run", "-d", "--name", "loops", "--entrypoint", "/greedy.wasm", image, "spin")
    until(lambda: docker("logs", "loops") == "spinning", "it spins")
    begun = time.monotonic()
    docker("stop", "loops")
    assert time.monotonic() - begun < 5
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "loops") == "143"


def test_endless_recursion(docker: Docker, image: str, innocent: None) -> None:
    ended = greedy(docker, image, "recurse")
    assert ended.returncode == 134
    assert ended.stderr.startswith("wasm trap: call stack exhausted\nwasm backtrace:\n")


def test_a_trap_in_start(docker: Docker, image: str, innocent: None) -> None:
    ended = docker.run("run", "--rm", "--entrypoint", "/start.wasm", image)
    assert ended.returncode == 134
    assert ended.stderr.startswith("wasm trap: wasm `unreachable` instruction executed\n")


def test_a_gigabyte_of_output(docker: Docker, image: str, innocent: None) -> None:
    """As fast as it can, which is in about a second; then some more with a log, which keeps a megabyte of it. Whoever
    else asks the engine waits no longer than usual."""
    entry = ["--entrypoint", "/greedy.wasm"]
    docker("run", "-d", "--name", "gigabyte", "--log-driver", "none", *entry, image, "flood", 1024)
    docker("run", "-d", "--name", "flood", "--log-opt", "max-size=1m", *entry, image, "flood", 64)
    longest = 0.0
    while docker("inspect", "-f", "{{.State.Running}}", "flood") == "true":
        begun = time.monotonic()
        docker("ps", "-q")
        longest = max(longest, time.monotonic() - begun)
    assert longest < 5
    assert docker("wait", "flood", "gigabyte") == "0\n0"
    assert len(docker("logs", "flood")) < 2 << 20


def test_a_hundred_thousand_open_files(docker: Docker, image: str, innocent: None) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (min(allowed, 200_000), 100):
        ended = greedy(docker, image, "files", 100_000, options=["--ulimit", f"nofile={limit}:{limit}"])
        count, _, said = ended.stdout.partition(" files: ")
        if limit > 100_000:
            assert (count, said) == ("100000", "ok\nagain: ok\n")
        else:
            assert (limit - 20 < int(count) < limit, said) == (True, "No file descriptors available\nagain: ok\n")


def test_resource_limits(docker: Docker, image: str) -> None:
    """Of CPU time, with the code of SIGXCPU; of data, which the guest's memory counts as; of the stack, which is then
    smaller than WebAssembly's: the process dies of it, and no other."""
    ended = greedy(docker, image, "spin", options=["--ulimit", "cpu=1:3"])
    assert (ended.returncode, ended.stdout) == (152, "spinning\n")
    ended = greedy(docker, image, "burn", options=["--ulimit", "data=1000000"])
    assert (ended.returncode, "does not fit into its memory limit" in ended.stderr) == (125, True)
    assert greedy(docker, image, "recurse", options=["--ulimit", "stack=262144"]).returncode in (134, 139)
    assert docker("run", "--rm", image) == "hello"


def test_a_resource_limit_that_may_not_be_had(docker: Docker, image: str) -> None:
    said = docker.fails("run", "--rm", "--ulimit", "nofile=2000000000:2000000000", image)
    assert "cannot set resource limits: RLIMIT_NOFILE 2000000000:2000000000: Operation not permitted" in said


# Limits


def test_cpus_and_what_stats_says_of_them(docker: Docker, image: str) -> None:
    free, bound = (float(greedy(docker, image, "burn", options=option).stdout) for option in ((), ("--cpus", "0.25")))
    assert bound > 1
    assert free < bound
    docker("run", "-d", "--name", "burns", "--cpus", "0.25", "--entrypoint", "/greedy.wasm", image, "spin")
    told = until(lambda: percent(docker, "burns") > 10 and percent(docker, "burns"), "its CPU time is told")
    assert 10 < float(str(told)) < 40
    docker("update", "--cpus", "0.75", "burns")
    until(lambda: percent(docker, "burns") > 45, "it may have more", deadline=20)
    docker("rm", "-f", "burns")


def percent(docker: Docker, container: str) -> float:
    return float(docker("stats", "--no-stream", "--format", "{{.CPUPerc}}", container).rstrip("%"))


def test_memory_limits_are_changed_while_it_runs(docker: Docker, image: str) -> None:
    docker("run", "-d", "-i", "--name", "eats", "-m", "256m", "--entrypoint", "/greedy.wasm", image, "eat")
    until(lambda: docker("logs", "eats") == "ready", "it is ready")
    assert sees(docker, "stats", "--no-stream", "--format", "json", "eats")["MemUsage"].endswith("/ 256MiB")
    docker("update", "-m", "512m", "--memory-swap", "512m", "eats")
    assert sees(docker, "stats", "--no-stream", "--format", "json", "eats")["MemUsage"].endswith("/ 512MiB")
    docker("update", "-m", "32m", "--memory-swap", "32m", "eats")
    assert sees(docker, "stats", "--no-stream", "--format", "json", "eats")["MemUsage"].endswith("/ 32MiB")
    feed = docker.popen("attach", "eats", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    feed.communicate(b"64\n", timeout=DEADLINE)
    assert docker("wait", "eats") == "137"
    assert docker("inspect", "-f", "{{.State.OOMKilled}}", "eats") == "true"


def test_limits_are_set_and_taken_away_while_it_runs(docker: Docker, image: str) -> None:
    """On a container that had none, and so no cgroup."""
    docker("run", "-d", "--name", "changes", image, "sleep")
    docker("update", "-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "20",
           "changes")  # fmt: skip
    told = docker("inspect", "-f", "{{json .HostConfig}}", "changes")
    assert '"Memory":67108864' in told
    assert limits_of(docker, "changes") == {"memory": 64 << 20, "quota": 50_000, "shares": 512, "pids": "20"}
    docker("update", "--pids-limit", "-1", "changes")
    assert limits_of(docker, "changes") == {"memory": 64 << 20, "quota": 50_000, "shares": 512, "pids": "max"}
    docker("rm", "-f", "changes")


def limits_of(docker: Docker, container: str) -> dict[str, object]:
    """What the kernel has for its process, in cgroups of version 1."""
    pid = docker("inspect", "-f", "{{.State.Pid}}", container)
    lines = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    places = {name: path for _, names, path in lines for name in names.split(",")}

    def read(controller: str, name: str) -> str:
        return Path(f"/sys/fs/cgroup/{controller}{places[controller]}/{name}").read_text().strip()

    return {
        "memory": int(read("memory", "memory.limit_in_bytes")),
        "quota": int(read("cpu", "cpu.cfs_quota_us")),
        "shares": int(read("cpu", "cpu.shares")),
        "pids": read("pids", "pids.max"),
    }


def test_stop_timeout_and_what_top_shows(docker: Docker, image: str) -> None:
    docker("run", "-d", "--name", "stubborn", "--stop-signal", "SIGURG", "--stop-timeout", "1", image, "sleep")
    docker("exec", "-d", "stubborn", "/greedy.wasm", "spin")
    until(lambda: "greedy" in docker("top", "stubborn"), "both are there")
    assert [line.split(maxsplit=1)[1] for line in docker("top", "stubborn", "-o", "pid,cmd").splitlines()[1:]] == [
        "/guest.wasm sleep",
        "/greedy.wasm spin",
    ]
    begun = time.monotonic()
    docker("stop", "stubborn")
    assert 1 <= time.monotonic() - begun < 8
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "stubborn") == "137"


def test_disk_and_network_figures(docker: Docker, image: str, tmp_path: Path) -> None:
    """Of guests with a cgroup and without that write to a volume; a server's are in the tests of networks."""
    for name, limits in (("writes", ()), ("writes-too", ("-m", "64m"))):
        (tmp_path / name).touch()
        docker("run", "-d", "--name", name, *limits, "-v", f"{tmp_path}:/vol", "--entrypoint", "/greedy.wasm", image,
               "store", f"/vol/{name}", 8)  # fmt: skip
        until(lambda name=name: docker("logs", name) == "stored", "it is on the disk")
        told = docker("stats", "--no-stream", "--format", "{{.BlockIO}} {{.NetIO}} {{.PIDs}}", name).split()
        assert told[1:] == ["/", told[2], "0B", "/", "0B", "1"]
        assert 8.3 < float(told[2].removesuffix("MB")) < 10
        docker("rm", "-f", name)
