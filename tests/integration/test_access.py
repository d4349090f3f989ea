"""Who reaches wherryd and how it is told what to do: the socket's group, sockets passed by systemd, the configuration
file, ``--validate``, SIGHUP."""

import grp
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import DEADLINE, Daemon, Docker, until

LAUNCHER = """
import os, sys
for number in sys.argv[1].split(","):
    os.dup2(int(number), 3 + sys.argv[1].split(",").index(number), inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[2])), LISTEN_FDS=sys.argv[3])
os.execv(sys.executable, [sys.executable, "-m", "wherry.daemon", *sys.argv[4:]])
"""


def wherryd(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "wherry.daemon", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def launched(root: Path, sock: socket.socket, *, shift: int = 0, count: str = "1", **more) -> subprocess.Popen:
    """wherryd with ``sock`` as systemd would pass it."""
    told = [str(sock.fileno()), str(shift), count, "--root", str(root), "--host", "fd://"]
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, *told], pass_fds=[sock.fileno()], text=True, **more)


def refused(root: Path, sock: socket.socket, **how) -> str:
    process = launched(root, sock, stderr=subprocess.PIPE, **how)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert said.count("\n") == 1, said
    return said


def test_sockets_that_systemd_passes(tmp_path: Path) -> None:
    place = tmp_path / "passed.sock"
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        sock.bind(str(place))
        sock.listen()
        told.bind(str(tmp_path / "notify"))
        told.settimeout(DEADLINE)
        process = launched(tmp_path / "root", sock, env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")})
        try:
            assert told.recv(100) == b"READY=1"
            asked = subprocess.run(
                ["docker", "-H", f"unix://{place}", "ps", "-q"], capture_output=True, text=True, timeout=DEADLINE
            )
            assert (asked.returncode, asked.stdout) == (0, ""), asked.stderr
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0
        assert told.recv(100) == b"STOPPING=1"
    assert place.exists(), "it is systemd's to take away"


def test_passed_sockets_that_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "a"))
        assert "no listening stream socket" in refused(tmp_path / "root", sock)
        sock.listen()
        assert "LISTEN_PID" in refused(tmp_path / "root", sock, shift=1)
        assert "LISTEN_FDS is 'many'" in refused(tmp_path / "root", sock, count="many")
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        assert "others need --tlsverify" in refused(tmp_path / "root", everywhere)
    assert "start wherryd by a systemd socket unit" in wherryd("--root", tmp_path / "root", "-H", "fd://").stderr


def test_validate_says_one_line(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"log-driver": "local", "labels": ["a=b"]}))
    right = wherryd("--validate", "--config-file", file)
    assert (right.returncode, right.stdout, right.stderr) == (0, "configuration OK\n", "")
    for document, words in (
        ({"log-driver": "carrier-pigeon"}, "carrier-pigeon"),
        ({"group": "no-such-group"}, "groupadd"),
        ({"log-levle": "info"}, "did you mean 'log-level'?"),
        ({"tlsverify": True, "tlscert": "/nowhere"}, "cannot use the certificate"),
        ({"hosts": ["tcp://0.0.0.0:2375"]}, "others need --tlsverify"),
    ):
        file.write_text(json.dumps(document))
        wrong = wherryd("--validate", "--config-file", file)
        assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1), wrong
        assert words in wrong.stderr


def test_units_say_what_wherryd_takes() -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy/systemd"
    lines = [line for unit in folder.iterdir() for line in unit.read_text().splitlines()]
    (start,) = (line for line in lines if line.startswith("ExecStart="))
    assert start.split()[1:] == ["--host", "fd://"]
    assert {"ListenStream=/run/wherry/wherry.sock", "SocketMode=0660", "KillMode=process", "Type=notify"} <= set(lines)


@pytest.fixture
def told(fresh_daemon: Daemon) -> Path:
    """The configuration file of the engine, which was started again with it."""
    assert fresh_daemon.stop() == 0
    file = fresh_daemon.folder / "daemon.json"
    file.write_text(json.dumps({"labels": ["a=1"], "group": "daemon"}))
    fresh_daemon.arguments = ("--config-file", str(file))
    fresh_daemon.start()
    return file


def test_a_reload_changes_what_can_be_changed(fresh_daemon: Daemon, fresh_docker: Docker, told: Path) -> None:
    found = fresh_daemon.socket.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, grp.getgrnam("daemon").gr_gid)
    shown = ("info", "--format", "{{.Labels}} {{.Debug}} {{.LoggingDriver}} {{.RegistryConfig.Mirrors}}")
    assert fresh_docker(*shown) == "[a=1] false json-file []"

    def hang_up(document: object, words: str) -> None:
        told.write_text(document if isinstance(document, str) else json.dumps(document))
        before = len(fresh_daemon.log)
        fresh_daemon.process.send_signal(signal.SIGHUP)
        until(lambda: words in fresh_daemon.log[before:], words)

    new = {
        "labels": ["a=2"],
        "debug": True,
        "log-driver": "local",
        "registry-mirrors": ["http://127.0.0.1:1"],
        "group": "root",
    }
    hang_up(new, "is in force")
    assert fresh_docker(*shown) == "[a=2] true local [http://127.0.0.1:1]"
    assert "what changed of group counts when wherryd is started again" in fresh_daemon.log
    assert "/info -> 200 in" in fresh_daemon.log, "requests are logged at debug level"
    events = fresh_docker(
        "events", "--since", "1", "--until", f"{time.time():.3f}", "--filter", "type=daemon", "--format", "{{json .}}"
    )
    attributes = json.loads(events)["Actor"]["Attributes"]
    assert json.loads(events)["Action"] == "reload"
    assert (attributes["labels"], attributes["debug"]) == ('["a=2"]', "true")

    hang_up("{ no JSON", "the configuration stays as it was: the configuration file")
    hang_up({"log-driver": "pigeon"}, "pigeon")
    assert fresh_docker(*shown) == "[a=2] true local [http://127.0.0.1:1]"
    hang_up({}, "is in force")
    assert fresh_docker(*shown) == "[] false json-file []"


def test_prometheus_scrapes_the_engine(fresh_daemon: Daemon, fresh_docker: Docker, guest_context: Path) -> None:
    idle = _pss(fresh_daemon)
    fresh_docker("build", "-q", "-t", "guest", guest_context)
    broken = guest_context.parent / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "Dockerfile").write_text("FROM scratch\nCOPY nowhere /\n")
    assert fresh_docker.run("build", broken).returncode == 1
    assert fresh_docker.run("pull", "nobody/has:this").returncode == 1
    fresh_docker("run", "guest", "hello")
    fresh_docker("create", "guest")
    fresh_docker("run", "--rm", "--label", "dev.wherry.fuel=1000000000", "guest", "hello")
    _get(fresh_daemon, "/no/such/{path}")
    head, _, body = _get(fresh_daemon, "/metrics").partition("\r\n\r\n")
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert found["wherry_containers", ("state", "exited")] == 1
    assert found["wherry_containers", ("state", "created")] == 1
    assert found["wherry_container_start_duration_seconds_count",] == 2
    for kind, result, count in (("build", "ok", 1), ("build", "failed", 1), ("pull", "failed", 1), ("pull", "ok", 0)):
        assert found[f"wherry_{kind}_duration_seconds_count", ("result", result)] == count, (kind, result)
    create = ("method", "POST"), ("route", "/containers/create")
    assert found["wherry_api_request_duration_seconds_count", ("code", "2xx"), *create] == 3
    assert found["wherry_api_requests_total", ("code", "404"), ("method", ""), ("route", "")] == 1
    assert found["wherry_wasm_fuel_consumed_total",] > 1000
    assert found["process_resident_memory_bytes",] > 1 << 20
    assert "no/such" not in body
    assert idle < 70 << 10, "KiB"


def _get(daemon: Daemon, path: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(daemon.socket))
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def _pss(daemon: Daemon) -> int:
    """KiB."""
    rollup = Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
