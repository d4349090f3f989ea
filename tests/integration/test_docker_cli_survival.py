"""Containers and wherryd's own end: a clean stop, a SIGKILL in the middle, a second engine, a full disk."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Daemon, Docker, until


@pytest.fixture
def image(fresh_docker, guest_context):
    fresh_docker("build", "-q", "-t", "guest", guest_context)
    return "guest"


def _ticks(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("tick ")]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_containers_go_on_and_are_found_again_with_all_they_said(fresh_daemon, fresh_docker, image, end):
    docker = fresh_docker
    docker("run", "-d", "--name", "ticker", image, "tick")
    until(lambda: len(_ticks(docker("logs", "ticker"))) > 3, "the guest ticks")
    pid = int(docker("inspect", "-f", "{{.State.Pid}}", "ticker"))
    getattr(fresh_daemon, end)()
    os.kill(pid, 0)  # it lives
    time.sleep(0.3)  # it goes on saying things while nobody is there to listen
    fresh_daemon.start()
    assert docker("ps", "--format", "{{.Names}}") == "ticker"
    before = len(_ticks(docker("logs", "ticker")))
    until(lambda: len(_ticks(docker("logs", "ticker"))) > before + 3, "the guest ticks on")
    ticks = _ticks(docker("logs", "ticker"))
    assert ticks == list(range(len(ticks))), "a line was lost or told twice"
    assert int(docker("inspect", "-f", "{{.State.Pid}}", "ticker")) == pid
    docker("stop", "ticker")
    assert docker("wait", "ticker") == "143"


def test_exit_codes_of_those_that_ended_meanwhile(fresh_daemon, fresh_docker, image):
    docker = fresh_docker
    docker("run", "-d", "--name", "sleeper", image, "sleep", "1")
    docker("run", "-d", "--rm", "--name", "vanishing", image, "sleep", "1")
    pid = int(docker("inspect", "-f", "{{.State.Pid}}", "sleeper"))
    fresh_daemon.kill()
    until(lambda: not os.path.exists(f"/proc/{pid}/fd/0"), "the guest ended")
    fresh_daemon.start()
    until(lambda: docker("inspect", "-f", "{{.State.Status}}", "sleeper") == "exited", "its end is known")
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "sleeper") == "0"
    assert docker("logs", "sleeper").splitlines() == ["sleeping", "awake"]
    until(lambda: docker("ps", "-aq", "--filter", "name=vanishing") == "", "--rm is kept across a crash")


def test_a_killed_engine_in_the_middle_of_a_run(fresh_daemon, fresh_docker, image):
    client = fresh_docker.popen("run", "--name", "cut", image, "tick", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout.readline() == b"tick 0\n"
    fresh_daemon.kill()
    client.communicate(timeout=60)
    assert client.returncode != 0
    fresh_daemon.start()
    assert fresh_docker("inspect", "-f", "{{.State.Status}}", "cut") == "running"
    fresh_docker("rm", "-f", "cut")


def _parents(pid: int) -> list[int]:
    """The zygote and the server of a container's process."""
    found = []
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def test_a_start_is_known_although_engine_and_shim_are_killed_right_after_it(fresh_daemon, fresh_docker, image):
    docker = fresh_docker
    docker("run", "-d", "--name", "first", image, "sleep")
    served = _parents(int(docker("inspect", "-f", "{{.State.Pid}}", "first")))
    docker("create", "--name", "cut", image, "sleep")
    docker("create", "--name", "always", "--restart", "always", image, "sleep")
    answers = []
    for name in ("cut", "always"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(fresh_daemon.socket))
            client.sendall(f"POST /containers/{name}/start HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answers.append(client.recv(12))
    fresh_daemon.process.kill()  # within 50 ms, in which none of it is written down
    for pid in served:
        os.kill(pid, signal.SIGKILL)
    assert answers == [b"HTTP/1.1 204"] * 2
    fresh_daemon.process.wait(60)
    fresh_daemon.start()
    assert docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "cut") == "exited 255"
    until(lambda: docker("inspect", "-f", "{{.State.Status}}", "always") == "running", "its policy is kept")
    docker("rm", "-f", "first", "cut", "always")


def test_kills_at_any_moment_of_runs_and_builds_leave_a_sound_root(fresh_daemon, fresh_docker, image, guest_context):
    docker = fresh_docker
    for moment in (0.01, 0.03, 0.06, 0.1, 0.2):
        commands = [
            docker.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for words in (
                ("run", "--rm", image),
                ("build", "--no-cache", "-q", "-t", "other", guest_context),
                ("run", "--name", f"n{moment}", image, "both"),
            )
        ]
        time.sleep(moment)
        fresh_daemon.kill()
        for command in commands:
            command.wait(60)
        fresh_daemon.start()
        assert docker("run", "--rm", image) == "hello"
    assert docker("images", "-q", "guest") != ""
    leftovers = docker("ps", "-aq").split()
    if leftovers:
        docker("rm", "-f", *leftovers)
    assert docker("ps", "-aq") == ""
    assert "Traceback" not in fresh_daemon.log


def test_restart_policies_hold_after_a_crash(fresh_daemon, fresh_docker, image):
    docker = fresh_docker
    docker("run", "-d", "--restart", "always", "--name", "tenacious", image, "sleep")
    fresh_daemon.kill()
    fresh_daemon.start()
    assert docker("inspect", "-f", "{{.State.Status}}", "tenacious") == "running"
    first = docker("inspect", "-f", "{{.State.StartedAt}}", "tenacious")
    os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", "tenacious")), signal.SIGKILL)
    until(lambda: docker("inspect", "-f", "{{.State.StartedAt}}", "tenacious") != first, "it is started again")
    docker("rm", "-f", "tenacious")


def test_restarts_wait_longer_each_time_and_are_counted_across_a_crash(fresh_daemon, fresh_docker, image):
    docker = fresh_docker
    state = ("inspect", "-f", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}")
    docker("run", "-d", "--restart", "on-failure:3", "--name", "failing", image, "exit", "5")
    until(lambda: docker(*state, "failing") == "exited 3 5", "it is given up")
    now = f"{time.time():.9f}"  # the CLI cuts "0s" down to a whole second
    told = ("events", "--since", "1h", "--until", now, "--filter", "container=failing", "--format", "{{.TimeNano}}")
    starts = [int(text) for text in docker(*told, "--filter", "event=start").split()]
    ends = [int(text) for text in docker(*told, "--filter", "event=die").split()]
    waits = [(start - end) / 1e9 for start, end in zip(starts[1:], ends, strict=False)]
    assert len(waits) == 3
    assert all(wait >= least for wait, least in zip(waits, (0.09, 0.19, 0.39), strict=True)), waits
    docker("run", "-d", "--restart", "on-failure:4", "--name", "worse", image, "exit", "5")
    until(lambda: int(docker(*state, "worse").split()[1]) >= 2, "it was started again")
    fresh_daemon.kill()
    fresh_daemon.start()
    until(lambda: docker(*state, "worse") == "exited 4 5", "it is given up, and no start is given away")
    docker("run", "-d", "--rm", "--name", "shot", image, "sleep")
    pid = int(docker("inspect", "-f", "{{.State.Pid}}", "shot"))
    fresh_daemon.kill()
    os.kill(pid, signal.SIGKILL)
    fresh_daemon.start()
    until(lambda: docker("ps", "-aq", "--filter", "name=shot") == "", "--rm of one that was killed while nobody looked")


def test_a_second_engine_on_the_same_root_is_refused(fresh_daemon, tmp_path):
    command = [
        sys.executable,
        "-m",
        "wherry.daemon",
        "--root",
        str(fresh_daemon.root),
        "--host",
        f"unix://{tmp_path}/s",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "wherryd: another wherryd" in ended.stderr
    assert str(fresh_daemon.process.pid) in ended.stderr


def test_a_second_engine_on_the_same_socket_is_refused_and_the_first_goes_on(fresh_daemon, fresh_docker, tmp_path):
    command = [sys.executable, "-m", "wherry.daemon", "--root", f"{tmp_path}/root", "--host", fresh_daemon.host]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "another engine answers there" in ended.stderr
    assert fresh_docker("ps", "-q") == ""


def test_several_engines_at_once(fresh_docker, docker, image, guest_image):
    assert fresh_docker("run", "-d", "--name", "same", image, "sleep")
    assert docker("run", "-d", "--name", "same", guest_image, "sleep")
    assert fresh_docker("inspect", "-f", "{{.Id}}", "same") != docker("inspect", "-f", "{{.Id}}", "same")
    docker("rm", "-f", "same")
    assert fresh_docker("ps", "--format", "{{.Names}}") == "same"


def test_tcp_on_loopback_and_a_clean_stop(fresh_daemon, fresh_docker):
    fresh_daemon.stop()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fresh_daemon.arguments = ("--host", f"tcp://127.0.0.1:{port}")
    fresh_daemon.start()
    environ = {**fresh_docker.environ, "DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
    ended = subprocess.run(["docker", "ps", "-q"], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "")
    follower = fresh_docker.popen("events", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: json.loads(fresh_docker("info", "--format", "{{json .NEventsListener}}")) == 1, "somebody listens")
    began = time.monotonic()
    assert fresh_daemon.stop() == 0
    assert time.monotonic() - began < 10
    assert not fresh_daemon.socket.exists()
    follower.wait(60)
    fresh_daemon.arguments = ()


def test_a_full_disk_fails_the_build_and_leaves_the_store_sound(tmp_path, guest_context):
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)], check=True)
    try:
        daemon = Daemon(mount).start()
        try:
            docker = Docker(daemon)
            docker("build", "-q", "-t", "guest", guest_context)
            (guest_context / "big").write_bytes(os.urandom(8 << 20))
            try:
                said = docker.fails("build", "-q", "-t", "big", guest_context)
            finally:
                (guest_context / "big").unlink()
            assert "no space left on device" in said
            assert docker("images", "--format", "{{.Repository}}") == "guest"
            assert docker("run", "--rm", "guest") == "hello"
        finally:
            daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_an_unprivileged_users_engine(guest_context):
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")), user=64321)
    os.chown(daemon.folder, daemon.user, daemon.user)
    daemon.environ = {"HOME": str(daemon.folder), "XDG_RUNTIME_DIR": str(daemon.folder)}
    docker = Docker(daemon)
    daemon.start()
    try:
        docker("build", "-q", "-t", "guest", guest_context)
        assert docker("run", "--rm", "guest") == "hello"
        assert docker.run("run", "--rm", "-i", "guest", "cat", input="in").stdout == "in"
        assert "rootless" in docker("info", "--format", "{{.SecurityOptions}}")
        assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
        docker("run", "-d", "--name", "w", "guest", "tick")
        daemon.kill()
        daemon.start()
        assert docker("ps", "--format", "{{.Names}}") == "w"
        docker("rm", "-f", "w")
    finally:
        daemon.stop()
        shutil.rmtree(daemon.folder)
