"""The units of deploy/systemd under a real systemd, which is the first process of a machine of its own: see
tests/data/systemd_machine.sh."""

import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import BIN, DATA, DEADLINE, until
from tests.zig import compile_wasm

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = REPOSITORY / "deploy/systemd"
DOCKERFILE = b'FROM scratch\nCOPY guest.wasm /guest.wasm\nENTRYPOINT ["/guest.wasm"]\n'


@dataclass(frozen=True)
class Machine:
    """``init`` is its systemd, as seen from here."""

    init: int

    def run(self, *command: str, data: bytes = b"") -> subprocess.CompletedProcess:
        """A command in it, as root."""
        environ = {**os.environ, "DOCKER_HOST": "unix:///run/wherry/wherry.sock", "DOCKER_BUILDKIT": "0"}
        enter = ["nsenter", "--target", str(self.init), "--all", "--wd=/"]
        return subprocess.run([*enter, *command], input=data, capture_output=True, timeout=DEADLINE, env=environ)

    def __call__(self, *command: str, data: bytes = b"") -> str:
        """What a command says, which ends well."""
        done = self.run(*command, data=data)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode().strip()

    def state(self, unit: str) -> str:
        return self.run("systemctl", "is-active", unit).stdout.decode().strip()

    def journal(self) -> str:
        return self("journalctl", "--no-pager", "--output=cat", "--unit=wherry.service")


def needed() -> list[str]:
    """Folders that the machine needs: they may be on other file systems than its root's, or where it has its own."""
    wanted = {REPOSITORY, *map(Path, (sys.prefix, sys.base_prefix, *sys.path))}
    return sorted({str(path.resolve()) for path in wanted if path.is_dir()} - {"/"})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    command = [str(DATA / "systemd_machine.sh"), str(folder), str(UNITS), str(BIN), *needed()]
    with open(folder.with_name("machine.log"), "w+b") as said:
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", *command]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        made = None
        try:
            made = until(functools.partial(booted, process, said.name), "systemd is up")
            yield made
        finally:
            if made is None:
                process.kill()
                process.wait()
            else:
                os.kill(made.init, signal.SIGKILL)  # and with it all that runs in there
            assert made is None or process.wait(DEADLINE) == 0, Path(said.name).read_text()
    assert not list(folder.iterdir())


def booted(process: subprocess.Popen, log: str) -> Machine | None:
    """Once systemd has got to its target: unshare is the child of the shell, and systemd unshare's."""
    assert process.poll() is None, Path(log).read_text()
    found = process.pid
    for _ in range(2):
        children = Path(f"/proc/{found}/task/{found}/children").read_text().split()
        if not children:
            return None
        found = int(children[0])
    if Path(f"/proc/{found}/comm").read_text() != "systemd\n":
        return None
    machine = Machine(found)
    return machine if machine.state("machine.target") == "active" else None


@pytest.fixture(scope="module")
def image(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    guest = compile_wasm(DATA / "cli_guest.c", tmp_path_factory.mktemp("guest") / "guest.wasm")
    machine("mkdir", "/tmp/image")
    for name, data in (("guest.wasm", guest.read_bytes()), ("Dockerfile", DOCKERFILE)):
        machine("sh", "-c", f"cat > /tmp/image/{name}", data=data)
    machine("docker", "build", "--quiet", "--tag", "guest", "/tmp/image")
    return "guest"


@pytest.fixture
def container(machine: Machine, image: str) -> Iterator[Callable[[], str]]:
    """What runs in it: its process, and for how often it was started."""
    machine("docker", "run", "--detach", "--name", "lasting", "--network", "none", image, "sleep")
    shown = ("docker", "inspect", "--format", "{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}", "lasting")
    yield functools.partial(machine, *shown)
    machine("docker", "rm", "--force", "lasting")


def test_the_units_are_such_as_systemd_takes(machine: Machine) -> None:
    files = [f"/etc/systemd/own/wherry.{kind}" for kind in ("service", "socket")]
    done = machine.run("env", "SYSTEMD_UNIT_PATH=/etc/systemd/own", "systemd-analyze", "verify", *files)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_guides_commands_enable_it(machine: Machine) -> None:
    guide = (REPOSITORY / "docs/guide.md").read_text(encoding="utf-8").partition("## Under systemd\n")[2]
    commands = re.findall(r"^    (\w.*)$", guide.partition("\n## ")[0], re.M)
    assert commands[-1] == "systemctl enable --now wherry.socket"
    machine("systemctl", "stop", "wherry.service", "wherry.socket")
    machine("groupdel", "docker")
    for command in commands:
        machine(*command.split())
    wanted = machine("readlink", "/etc/systemd/system/sockets.target.wants/wherry.socket")  # at each boot
    assert wanted == "/etc/systemd/own/wherry.socket"
    assert machine.state("wherry.socket") == "active"


def test_the_engine_starts_when_somebody_connects(machine: Machine) -> None:
    machine("systemctl", "stop", "wherry.service")
    assert (machine.state("wherry.socket"), machine.state("wherry.service")) == ("active", "inactive")
    assert machine("stat", "--format", "%a %U %G", "/run/wherry/wherry.sock") == "660 root docker"
    assert machine("docker", "version", "--format", "{{.Server.Os}}") == "linux"
    assert machine.state("wherry.service") == "active"
    assert re.search(
        r"^wherryd: wherryd \S+ serves unix:///run/wherry/wherry.sock from /var/lib/wherry$", machine.journal(), re.M
    )
    assert "wherryd" in machine("systemctl", "show", "--property=StatusText,ExecStart", "wherry.service")


def test_containers_outlive_a_stop_a_restart_and_a_crash(machine: Machine, container: Callable[[], str]) -> None:
    before = container()
    assert before.startswith("running ")
    shown = machine("systemctl", "status", "--no-pager", "--full", "wherry.service").splitlines()
    assert max(map(len, shown)) < 500, "what people are shown of the shim is not to fill their screens"
    machine("systemctl", "restart", "wherry.service")
    assert container() == before
    machine("systemctl", "stop", "wherry.service")
    assert machine.state("wherry.service") == "inactive"
    assert "wherry-zygote" in machine("ps", "-e", "-o", "comm")
    assert container() == before, "asking starts it again"
    crashed = machine("systemctl", "show", "--property=MainPID", "--value", "wherry.service")
    machine("kill", "-KILL", crashed)
    until(lambda: machine("systemctl", "show", "--property=NRestarts", "--value", "wherry.service") == "1", "a restart")
    until(lambda: machine.state("wherry.service") == "active", "the engine is there again")
    assert machine("systemctl", "show", "--property=MainPID", "--value", "wherry.service") != crashed
    assert container() == before
    assert machine("docker", "exec", "lasting", "/guest.wasm", "hello") == "hello"


def test_a_reload_is_a_reload(machine: Machine, image: str) -> None:
    machine("docker", "version")
    first = machine("systemctl", "show", "--property=MainPID", "--value", "wherry.service")
    machine("mkdir", "-p", "/etc/wherry")
    machine("sh", "-c", "cat > /etc/wherry/daemon.json", data=b'{"labels": ["rack=7"]}')
    machine("systemctl", "reload", "wherry.service")
    until(lambda: "/etc/wherry/daemon.json is in force" in machine.journal(), "the reload")
    assert machine("docker", "info", "--format", "{{.Labels}}") == "[rack=7]"
    assert machine("systemctl", "show", "--property=MainPID", "--value", "wherry.service") == first
    machine("sh", "-c", "cat > /etc/wherry/daemon.json", data=b'{"lables": []}')
    machine("systemctl", "reload", "wherry.service")
    until(lambda: "did you mean 'labels'?" in machine.journal(), "why there was none")
    loud = machine("journalctl", "--no-pager", "--output=cat", "--unit=wherry.service", "--priority=warning")
    assert "did you mean 'labels'?" in loud
    assert "serves unix" not in loud
    assert machine("docker", "info", "--format", "{{.Labels}}") == "[rack=7]"
    machine("rm", "/etc/wherry/daemon.json")


def test_what_cannot_start_says_why_and_ends(machine: Machine) -> None:
    machine("systemctl", "stop", "wherry.service")
    machine("mkdir", "-p", "/etc/wherry")
    machine("sh", "-c", "cat > /etc/wherry/daemon.json", data=b'{"log-driver": "carrier-pigeon"}')
    assert machine.run("systemctl", "start", "wherry.service").returncode
    assert "carrier-pigeon" in machine("journalctl", "--output=cat", "--unit=wherry.service", "--priority=err")
    machine("rm", "/etc/wherry/daemon.json")
    machine("systemctl", "reset-failed", "wherry.service")
    machine("systemctl", "restart", "wherry.socket")
    assert machine("docker", "version", "--format", "{{.Server.Os}}") == "linux"
