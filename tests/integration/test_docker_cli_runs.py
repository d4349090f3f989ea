"""Containers by the stock docker CLI: output, input, exit codes, listings, life."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest


def test_version_and_info(docker):
    version = json.loads(docker("version", "--format", "{{json .Server}}"))
    assert (version["ApiVersion"], version["MinAPIVersion"], version["Os"]) == ("1.51", "1.24", "linux")
    ended = docker.run("info")
    assert ended.returncode == 0
    assert "Default Runtime: io.containerd.wherry.v1" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("version", ["1.25", "1.30", "1.41", "1.44", "1.51"])
def test_older_clients_are_served(docker, guest_image, version):
    command = ["docker", "run", "--rm", "-i", guest_image, "cat"]
    environ = {**docker.environ, "DOCKER_API_VERSION": version}
    ended = subprocess.run(command, env=environ, input=b"in", capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"in", b"2 bytes\n")


def test_the_oldest_clients_are_served(docker, guest_image):
    """They take a container of --rm away themselves, in which docker's CLI of today fails."""
    environ = {**docker.environ, "DOCKER_API_VERSION": "1.24"}

    def ask(*words):
        return subprocess.run(
            ["docker", *words], env=environ, capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()

    assert ask("run", "--name", "old", guest_image, "args", "one") == "[one]"
    assert ask("logs", "old") == "[one]"
    assert ask("inspect", "--format", "{{.State.ExitCode}}", "old") == "0"
    assert ask("ps", "-a", "--format", "{{.Names}}") == "old"
    assert ask("rm", "old") == "old"


def test_run_prints_and_goes(docker, guest_image):
    assert docker("run", "--rm", guest_image) == "hello"
    assert docker("run", "--rm", guest_image, "args", "one", "two three") == "[one]\n[two three]"
    assert docker("ps", "-aq") == ""


@pytest.mark.parametrize("name", ["io.containerd.wasmedge.v1", "io.containerd.wasmtime.v1", "io.containerd.wherry.v1"])
def test_runtime_names_of_other_engines_run_on_ours(docker, guest_image, name):
    assert docker("run", "--rm", f"--runtime={name}", "--platform=wasi/wasm32", guest_image) == "hello"


def test_output_and_errors_are_kept_apart(docker, guest_image):
    ended = docker.run("run", "--rm", guest_image, "both")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("to stdout\n", "to stderr\n", 0)


@pytest.mark.parametrize("code", [0, 1, 125, 126, 255])
def test_exit_codes_come_through(docker, guest_image, code):
    assert docker.run("run", "--rm", guest_image, "exit", code).returncode == code


def test_a_trap_is_134_and_tells_where(docker, guest_image):
    ended = docker.run("run", "--name", "trapped", guest_image, "trap")
    assert ended.returncode == 134
    assert "wasm trap" in ended.stderr
    assert "wasm trap" in docker.run("logs", "trapped").stderr
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "trapped") == "134"
    docker("rm", "trapped")


def test_input_goes_in_and_its_end_too(docker, guest_image):
    ended = docker.run("run", "--rm", "-i", guest_image, "cat", input="some text\n")
    assert (ended.stdout, ended.stderr) == ("some text\n", "10 bytes\n")


def test_megabytes_go_both_ways(docker, guest_image):
    payload = os.urandom(3 << 20)
    ended = docker.run("run", "--rm", "-i", guest_image, "cat", input=payload)
    assert ended.stdout == payload
    assert ended.stderr == b"%d bytes\n" % len(payload)


def test_much_output_arrives_whole_and_in_the_log(docker, guest_image):
    lines = docker("run", "--name", "much", guest_image, "flood", 50_000).splitlines()
    assert len(lines) == 50_000
    assert lines[-1].startswith("line 49999 ")
    assert docker("logs", "much").splitlines() == lines
    assert docker("logs", "-n", "2", "much").splitlines() == lines[-2:]
    docker("rm", "much")


def _read_until(master: int, words: bytes) -> bytes:
    said = b""
    while words not in said:
        data = os.read(master, 4096)
        assert data, said
        said += data
    return said


def test_a_terminal(docker, guest_image):
    master, slave = pty.openpty()
    process = docker.popen("run", "--rm", "-it", guest_image, "lines", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        assert _read_until(master, b"ready\r\n") == b"ready\r\n"
        os.write(master, b"one\n")
        _read_until(master, b"got one")
        os.write(master, b"quit\n")
        assert process.wait(30) == 7
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_detach_keys_leave_the_container_running(docker, guest_image):
    master, slave = pty.openpty()
    process = docker.popen(
        "run", "--name", "left", "-it", guest_image, "lines", stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        _read_until(master, b"ready")
        os.write(master, b"\x10\x11")
        assert process.wait(30) == 0
        assert docker("inspect", "-f", "{{.State.Status}}", "left") == "running"
    finally:
        process.kill()
        process.wait()
        os.close(master)
        docker("rm", "-f", "left")


def test_the_life_of_a_detached_container(docker, guest_image):
    container = docker("run", "-d", "--name", "w", guest_image, "tick")
    assert re.fullmatch(r"[0-9a-f]{64}", container)
    assert docker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}}").startswith("w guest Up ")
    follower = docker.popen("logs", "-f", "w", stdout=subprocess.PIPE, text=True)
    attached = docker.popen("attach", "--no-stdin", "w", stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout.readline() == "tick 0\n"
        assert re.fullmatch(r"tick \d+\n", attached.stdout.readline())
        assert docker("inspect", "-f", "{{.State.Running}} {{.Name}}", "w") == "true /w"
        waiter = docker.popen("wait", "w", stdout=subprocess.PIPE, text=True)
        assert docker("stop", "w") == "w"
        assert waiter.communicate(timeout=30)[0] == "143\n"
        assert follower.wait(30) == 0
        assert attached.wait(30) == 143
    finally:
        for process in (follower, attached):
            process.kill()
            process.communicate()
    assert docker("ps", "-q") == ""
    assert docker("ps", "-a", "--format", "{{.Status}}").startswith("Exited (143)")
    assert docker("rm", "w") == "w"
    assert docker.fails("inspect", "w").endswith("No such object: w")


def test_attach_feeds_a_running_container(docker, guest_image):
    docker("run", "-d", "-i", "--name", "fed", guest_image, "lines")
    ended = docker.run("attach", "fed", input="hello\nquit\n")
    assert "got hello\n" in ended.stdout
    assert ended.returncode == 7
    docker("rm", "fed")


def test_kill_pause_rename_restart(docker, guest_image):
    docker("run", "-d", "--name", "one", guest_image, "sleep")
    docker("rename", "one", "two")
    docker("pause", "two")
    assert docker("ps", "--format", "{{.Names}} {{.Status}}").endswith("(Paused)")
    docker("unpause", "two")
    docker("restart", "-t", "1", "two")
    assert docker("inspect", "-f", "{{.State.Status}}", "two") == "running"
    docker("kill", "-s", "KILL", "two")
    assert docker("wait", "two") == "137"
    docker("rm", "two")


def test_top_stats_and_update(docker, guest_image):
    docker("run", "-d", "--name", "looked-at", guest_image, "sleep")
    assert "PID" in docker("top", "looked-at")
    assert "looked-at" in docker("stats", "--no-stream", "looked-at")
    assert docker("update", "--memory", "64m", "--memory-swap", "64m", "looked-at") == "looked-at"
    docker("rm", "-f", "looked-at")


def test_exec_runs_another_process_in_it(docker, guest_image):
    docker("run", "-d", "--name", "host", guest_image, "sleep")
    assert docker("exec", "host", "/guest.wasm", "args", "x") == "[x]"
    assert docker.run("exec", "host", "/guest.wasm", "exit", 9).returncode == 9
    assert docker.run("exec", "-i", "host", "/guest.wasm", "cat", input="in").stdout == "in"
    docker("rm", "-f", "host")


def test_environment_folders_and_mounts(docker, guest_image, tmp_path):
    assert docker("run", "--rm", "-e", "WHO=me", guest_image, "env", "WHO") == "me"
    docker("run", "--rm", "-v", f"{tmp_path}:/data", guest_image, "write", "/data/f", "kept")
    assert (tmp_path / "f").read_text() == "kept"
    assert docker("run", "--rm", "-v", f"{tmp_path}:/data:ro", "-w", "/data", guest_image, "read", "f") == "kept"
    assert "data/f" in docker.fails("run", "--rm", "-v", f"{tmp_path}:/data:ro", guest_image, "write", "/data/f", "x")
    assert docker.fails("run", "--rm", "--read-only", guest_image, "write", "/f", "x", code=1)


def test_create_then_start_attached(docker, guest_image):
    docker("create", "--name", "made", guest_image, "both")
    ended = docker.run("start", "-a", "made")
    assert (ended.stdout, ended.stderr) == ("to stdout\n", "to stderr\n")
    docker("rm", "made")


def test_signals_are_passed_on(docker, guest_image):
    process = docker.popen("run", "--rm", guest_image, "sleep", stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "sleeping\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    process.stdout.close()


def test_events_tell_the_story(docker, guest_image):
    listener = docker.popen(
        "events", "--filter", "container=told", "--format", "{{.Action}}", stdout=subprocess.PIPE, text=True
    )
    try:
        docker("system", "df")  # by now the listener may not be heard yet: events are remembered, --since asks for them
        docker("run", "--rm", "--name", "told", guest_image)
        docker("run", "--rm", "--name", "told", guest_image)
        seen = []
        while seen.count("destroy") < 1:
            seen.append(listener.stdout.readline().strip())
    finally:
        listener.kill()
        listener.communicate()
    wanted = ["create", "attach", "start", "die", "destroy"]
    assert [action for action in seen if action in wanted][-5:] == wanted


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "nothing-like-it"), 125, "pull access denied for nothing-like-it"),
        (("run", "--runtime", "nope", "guest"), 125, "unknown or invalid runtime name: nope (known: "),
        (("run", "--platform", "linux/arm64", "guest"), 125, "is here for wasi/wasm, not for linux/arm64"),
        (("run", "--entrypoint", "/nope.wasm", "guest"), 127, "no such file or directory"),
        (("inspect", "nothing"), 1, "No such object: nothing"),
        (("rm", "nothing"), 1, "No such container: nothing"),
        (("rmi", "nothing"), 1, "No such image: nothing"),
        (("logs", "nothing"), 1, "No such container: nothing"),
        (("start", "nothing"), 1, "No such container: nothing"),
        (("run", "--name", "not/valid", "guest"), 125, "Invalid container name"),
        (("run", "--log-opt", "colour=red", "guest"), 125, "colour"),
        (("volume", "create", "v"), 1, "volume name is too short"),
        (("network", "create", "--subnet", "fd00:9::/64", "n"), 1, "fd00:9::/64 is IPv6's: add --ipv6"),
        (("run", "--network", "nope", "guest"), 125, "network nope not found"),
        (("login", "-u", "a", "-p", "b", "localhost:1"), 1, "connection refused"),
        (("pull", "nothing"), 1, "pull access denied"),
        (("push", "guest"), 1, "denied: requested access to the resource is denied"),
        (("commit", "nothing"), 1, "No such container: nothing"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(docker, guest_image, arguments, code, words):
    said = docker.fails(*arguments, code=code)
    assert words in said
    assert docker("ps", "-aq") == "" or docker("container", "prune", "-f")


def test_a_taken_name_names_its_holder(docker, guest_image):
    container = docker("create", "--name", "taken", guest_image)
    said = docker.fails("run", "--name", "taken", guest_image, code=125)
    assert 'Conflict. The container name "/taken" is already in use by container' in said
    assert container[:12] in said
    docker("rm", "taken")
