"""`docker exec` of another module of the same rootfs: in the container's own sandbox, network and limits."""

import os
import pty
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import DATA, DEADLINE, Docker, until
from tests.zig import compile_wasm


@pytest.fixture(scope="module")
def host(docker: Docker, tmp_path_factory: pytest.TempPathFactory, guest_wasm: Path) -> Iterator[str]:
    """A container that runs one module, with others and a file that is none beside it."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "tools").mkdir()
    (folder / "work").mkdir()
    (folder / "work/note").write_text("noted\n")
    shutil.copy(guest_wasm, folder / "guest.wasm")
    shutil.copy(guest_wasm, folder / "tools/other.wasm")
    compile_wasm(DATA / "greedy_guest.c", folder / "greedy.wasm")
    compile_wasm(DATA / "shim_guest.c", folder / "shim.wasm")
    (folder / "text").write_text("no module\n")
    lines = 'FROM scratch\nCOPY . /\nENV PATH=/tools FROM=image\nENTRYPOINT ["/guest.wasm"]\n'
    (folder / "Dockerfile").write_text(lines)
    docker("build", "-q", "-t", "execs", folder)
    limits = ["-m", "64m", "--ulimit", "nofile=50:50", "--hostname", "ferry", "-e", "OWN=container"]
    yield docker("run", "-d", *limits, "execs", "sleep")
    for container in docker("ps", "-aq").split():
        docker("rm", "-f", container)


def test_words_variables_folder_and_code(docker: Docker, host: str) -> None:
    assert docker("exec", host, "/tools/other.wasm", "args", "a", "b c", "") == "[a]\n[b c]\n[]"
    assert docker("exec", host, "other.wasm", "hello") == "hello"
    assert docker("exec", host, "/guest.wasm", "env", "OWN") == "container"
    assert docker("exec", "-e", "OWN=exec", host, "/guest.wasm", "env", "OWN") == "exec"
    assert docker("exec", host, "/guest.wasm", "env", "FROM") == "image"
    assert docker("exec", host, "/guest.wasm", "env", "HOSTNAME") == "ferry"
    assert docker("exec", "-w", "/work", host, "/guest.wasm", "read", "note") == "noted"
    assert docker.run("exec", host, "/guest.wasm", "exit", 77).returncode == 77
    assert docker.run("exec", host, "/guest.wasm", "trap").returncode == 134
    both = docker.run("exec", host, "/guest.wasm", "both")
    assert (both.stdout, both.stderr) == ("to stdout\n", "to stderr\n")


def test_stdin_with_its_end(docker: Docker, host: str) -> None:
    data = b"\0\xff" + os.urandom(1 << 20)
    ended = docker.run("exec", "-i", host, "/guest.wasm", "cat", input=data)
    assert (ended.stdout == data, ended.stderr) == (True, b"1048578 bytes\n")


def test_a_terminal(docker: Docker, host: str) -> None:
    ours, theirs = pty.openpty()
    talk = docker.popen("exec", "-it", host, "/shim.wasm", "tty", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with talk, open(ours, "rb", buffering=0) as screen:
        said = b""
        while not said.endswith(b"tty 1 1\r\n"):
            said += screen.read(1)
        os.write(ours, b"one\n")
        while not said.endswith(b"got one\r\n"):
            said += screen.read(1)
        os.write(ours, b"\x04")
        assert talk.wait(DEADLINE) == 5


def test_detached(docker: Docker, host: str) -> None:
    assert docker("exec", "-d", host, "/guest.wasm", "write", "/made", "by a detached one") == ""
    until(lambda: docker.run("exec", host, "/guest.wasm", "read", "/made").stdout == "by a detached one", "it wrote")


def test_what_cannot_be_run(docker: Docker, host: str) -> None:
    cases = (
        ("/text", 126, 'exec: "/text": exec format error: '),
        ("/work", 126, 'exec: "/work": is a directory'),
        ("/nope", 127, 'exec: "/nope": stat /nope: no such file or directory'),
        ("nope", 127, 'exec: "nope": executable file not found in $PATH'),
    )
    for entry, code, words in cases:
        ended = docker.run("exec", host, entry)
        said = ended.stdout + ended.stderr
        assert (ended.returncode, words in said, said.count("\n")) == (code, True, 1), said
    missing = docker.run("exec", "-w", "/nowhere", host, "/guest.wasm")
    words = 'OCI runtime exec failed: chdir to cwd ("/nowhere") failed: no such file or directory'
    assert (missing.returncode, (missing.stdout + missing.stderr).strip()) == (127, words)


def test_the_same_sandbox_and_limits(docker: Docker, host: str) -> None:
    """The same namespaces and cgroups, and no more memory or files than the container's first process may have."""
    docker("exec", "-d", host, "/guest.wasm", "sleep")
    first = docker("inspect", "-f", "{{.State.Pid}}", host)
    other = str(until(lambda: [pid for pid in pids(docker, host) if pid != first], "it is there")).strip("[']")
    for name in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
        assert os.readlink(f"/proc/{first}/ns/{name}") == os.readlink(f"/proc/{other}/ns/{name}")
    assert Path(f"/proc/{first}/cgroup").read_text() == Path(f"/proc/{other}/cgroup").read_text()
    assert resource.prlimit(int(other), resource.RLIMIT_NOFILE) == (50, 50)
    assert docker.run("exec", host, "/greedy.wasm", "memory").stdout == "refused\n"
    assert "No file descriptors available" in docker.run("exec", host, "/greedy.wasm", "files", 100).stdout
    status = Path(f"/proc/{other}/status").read_text()
    assert "\nSeccomp:\t2\n" in status
    assert "\nNoNewPrivs:\t1\n" in status


def pids(docker: Docker, container: str) -> list[str]:
    return [line.split()[0] for line in docker("top", container, "-o", "pid,cmd").splitlines()[1:]]


def test_all_of_them_end_with_the_first(docker: Docker, host: str) -> None:
    container = docker("run", "-d", "execs", "sleep")
    running = docker.popen("exec", container, "/guest.wasm", "sleep", stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"sleeping\n"
    docker("kill", container)
    assert running.wait(DEADLINE) == 137
    running.stdout.close()
    assert "is not running" in docker.fails("exec", container, "/guest.wasm", code=1)
