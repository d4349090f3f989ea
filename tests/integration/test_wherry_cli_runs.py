"""The wherry CLI as a user types it: against a real wherryd and real containers."""

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.wherry_cli import Wherry

DEADLINE = 60.0


@pytest.fixture(scope="module")
def wherry(daemon) -> Wherry:
    return Wherry(daemon.host)


@pytest.fixture(scope="module")
def image(wherry: Wherry, guest_context: Path) -> str:
    """The guest, built by the CLI itself."""
    out = wherry("build", "-t", "cli-guest", guest_context)
    assert "Successfully tagged cli-guest:latest" in out
    return "cli-guest"


@pytest.fixture
def name(wherry: Wherry, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container's name; what bears it is removed afterwards."""
    made = f"t{abs(hash(request.node.name)) % 10**9}"
    yield made
    wherry.run("rm", "-f", made)


def test_build_images_history_rmi(wherry: Wherry, image: str, guest_context: Path) -> None:
    assert wherry("build", "-q", "-t", "again:v1", guest_context).startswith("sha256:")
    lines = wherry("images", "again").splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert lines[1].split()[:2] == ["again", "v1"]
    assert wherry("images", "-q", "--no-trunc", "again") == wherry("images", "-q", "--no-trunc", image)
    assert "COPY guest.wasm" in wherry("history", image)
    wherry("tag", "again:v1", "third")
    assert "Untagged: again:v1" in wherry("rmi", "again:v1")
    assert "third" in wherry("images", "--format", "{{.Repository}}")
    wherry("rmi", "third")
    assert wherry("inspect", "--type=image", "-f", "{{.Os}}/{{.Architecture}}", image) == "wasi/wasm\n"


def test_run(wherry: Wherry, image: str) -> None:
    done = wherry.run("run", "--rm", image, "both")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"to stdout\n", b"to stderr\n")
    assert wherry("run", "--rm", "-e", "X=a b", image, "env", "X") == "a b\n"
    assert wherry("run", "--rm", image, "args", "--rm", "-it") == "[--rm]\n[-it]\n"
    assert wherry.run("run", "--rm", image, "exit", "42").returncode == 42
    trapped = wherry.run("run", "--rm", image, "trap")
    assert trapped.returncode == 134
    assert b"unreachable" in trapped.stderr


def test_stdin_whole(wherry: Wherry, image: str) -> None:
    sent = os.urandom(3_000_000)
    done = wherry.run("run", "--rm", "-i", image, "cat", stdin=sent)
    assert done.stdout == sent
    assert done.stderr == b"3000000 bytes\n"


def test_without_i_stdin_is_empty(wherry: Wherry, image: str) -> None:
    assert wherry.run("run", "--rm", image, "cat", stdin=b"unheard").stderr == b"0 bytes\n"


def test_volumes_and_a_read_only_root(wherry: Wherry, image: str, tmp_path: Path) -> None:
    wherry("run", "--rm", "-v", f"{tmp_path}:/data", image, "write", "/data/x", "text")
    assert (tmp_path / "x").read_text() == "text"
    assert wherry("run", "--rm", "-v", f"{tmp_path}:/data:ro", image, "read", "/data/x") == "text"
    assert wherry.run("run", "--rm", "-v", f"{tmp_path}:/data:ro", image, "write", "/data/y", "t").returncode == 1
    assert wherry.run("run", "--rm", "--read-only", image, "write", "/y", "t").returncode == 1


def test_the_life_of_a_container(wherry: Wherry, image: str, name: str) -> None:
    ident = wherry("run", "-d", "--name", name, image, "sleep").strip()
    assert len(ident) == 64
    assert f"{ident[:12]}   {image}" in wherry("ps")
    assert wherry("ps", "-q", "--no-trunc", "--filter", f"name={name}") == f"{ident}\n"
    assert wherry("inspect", "-f", "{{.State.Status}} {{json .Config.Cmd}}", name) == 'running ["sleep"]\n'
    assert until(lambda: wherry("logs", name)) == "sleeping\n"
    assert "wherry" in wherry("top", name) or "sleep" in wherry("top", name)
    assert wherry("stats", "--no-stream", "--format", "{{.Name}}", name) == f"{name}\n"
    assert wherry("pause", name) == f"{name}\n"
    assert "(Paused)" in wherry("ps", "--format", "{{.Names}} {{.Status}}")
    wherry("unpause", name)
    assert wherry.run("exec", name, "/guest.wasm", "exit", "3").returncode == 3
    assert wherry("stop", "-t", "5", name) == f"{name}\n"
    assert wherry("wait", name) == "143\n"
    assert name in wherry("ps", "-a", "--format", "{{.Names}}")
    assert "stopped container" in wherry.fails(1, "attach", name)
    wherry("restart", name)
    wherry("kill", name)
    assert wherry("wait", name) == "137\n"
    wherry("rename", name, f"{name}x")
    assert wherry("rm", f"{name}x") == f"{name}x\n"
    assert "No such container" in wherry.fails(1, "rm", f"{name}x")


def until(ask: Callable[[], str]) -> str:
    end = time.monotonic() + DEADLINE
    while not (found := ask()):
        assert time.monotonic() < end
    return found


def test_logs_follow_to_the_end(wherry: Wherry, image: str, name: str) -> None:
    wherry("run", "-d", "--name", name, image, "flood", "2000")
    lines = wherry("logs", "-f", name).splitlines()
    assert len(lines) == 2000
    assert wherry("logs", "-n", "1", name) == lines[-1] + "\n"
    assert wherry("logs", "-t", "--tail", "1", name).split(" ", 1)[1] == lines[-1] + "\n"


def test_create_then_start_attached(wherry: Wherry, image: str, name: str) -> None:
    wherry("create", "--name", name, "-i", image, "lines")
    done = wherry.run("start", "-a", "-i", name, stdin=b"one\nquit\n")
    assert (done.returncode, done.stdout) == (7, b"ready\ngot one\n")


def test_a_signal_is_the_containers(wherry: Wherry, image: str) -> None:
    command = wherry.command("run", "--rm", image, "sleep")
    with subprocess.Popen(command, env=wherry.environ, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"sleeping\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(DEADLINE) == 143


def test_a_terminal_detach_and_attach(wherry: Wherry, image: str, name: str) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)

    def start(*words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(wherry.command(*words), env=wherry.environ, stdin=theirs, stdout=theirs, stderr=theirs)

    with start("run", "-it", "--name", name, image, "lines") as running:
        heard(ours, b"ready\r\n")
        os.write(ours, b"hi\r")
        heard(ours, b"got hi\r\n")
        os.write(ours, b"\x10\x11")
        heard(ours, b"read escape sequence")
        assert running.wait(DEADLINE) == 0
    assert wherry("inspect", "-f", "{{.State.Running}}", name) == "true\n"
    with start("attach", name) as running:
        # Attached only when it echoes: ask again until it does.
        while not heard(ours, b"got more\r\n", 0.3, must=False):
            os.write(ours, b"more\r")
        os.write(ours, b"quit\r")
        assert running.wait(DEADLINE) == 7
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def heard(descriptor: int, words: bytes, seconds: float = DEADLINE, *, must: bool = True) -> bool:
    """Whether the terminal shows these words in time."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            assert not must, f"never heard {words!r}, only {seen!r}"
            return False
        seen += os.read(descriptor, 4096)
    return True


def test_a_file_is_an_image(wherry: Wherry, guest_wasm: Path) -> None:
    assert wherry("run", "--rm", guest_wasm, "args", "one", "two") == "[one]\n[two]\n"
    assert wherry("run", "--rm", guest_wasm, "args") == ""
    labels = json.loads(wherry("inspect", "-f", "{{json .Config.Labels}}", "wherry-file/guest-wasm"))
    assert labels["dev.wherry.source"].startswith("sha256:")


def test_a_text_module_is_an_image(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "seven.wat").write_text(
        '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        ' (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))'
    )
    assert wherry.run("run", "--rm", tmp_path / "seven.wat").returncode == 7


@pytest.mark.parametrize(
    ("contents", "code", "words"),
    [
        (b"text", 126, "not a WebAssembly module"),
        (b"", 126, "empty"),
        (b"\0asm\1\0\0\0\1\xff", 125, "broken.wasm"),
        (b"\0asm\1\0\0\0", 125, "_start"),
    ],
)
def test_what_is_no_module(wherry: Wherry, tmp_path: Path, contents: bytes, code: int, words: str) -> None:
    module = tmp_path / "broken.wasm"
    module.write_bytes(contents)
    done = wherry.run("run", "--rm", module)
    error = done.stderr.decode()
    assert done.returncode in (code, 126), error
    assert words in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (125, ("run", "no-such-image"), "no-such-image"),
        (125, ("run", "--runtime=nope", "cli-guest"), "known: "),
        (127, ("run", "--entrypoint=/none.wasm", "cli-guest"), "no such file or directory"),
        (1, ("inspect", "--type=container", "nope"), "No such container: nope"),
        (1, ("logs", "nope"), "No such container: nope"),
        (1, ("rmi", "nope"), "No such image: nope"),
        (1, ("exec", "nope", "x"), "No such container: nope"),
        (1, ("ps", "--format", "{{.Nope}}"), "template: "),
        (1, ("build", "/no/such/folder"), "not a directory"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(
    wherry: Wherry, image: str, code: int, words: tuple[str, ...], said: str
) -> None:
    if words == ("ps", "--format", "{{.Nope}}"):
        wherry("run", "--name", "left", image)
        assert said in wherry.fails(code, "ps", "-a", "--format", "{{.Nope}}")
        wherry("rm", "left")
        return
    assert said in wherry.fails(code, *words)


def test_a_name_in_use(wherry: Wherry, image: str, name: str) -> None:
    wherry("create", "--name", name, image)
    assert "already in use" in wherry.fails(125, "run", "--name", name, image)


def test_a_bad_dockerfile(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRNU x\n")
    assert "RNU" in wherry.fails(1, "build", "-q", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    assert "none" in wherry.fails(1, "build", "-q", tmp_path)


def test_the_engine_itself(wherry: Wherry, image: str) -> None:
    assert "Server:" in wherry("version")
    assert "Storage Driver:" in wherry("info")
    assert wherry("env") == f"export DOCKER_HOST={wherry.environ['WHERRY_HOST']}\n"
    assert "Images" in wherry("system", "df")
    wherry("run", "--rm", image)
    actions = wherry("events", "--since", "10m", "--until", "0s", "--format", "{{.Type}} {{.Action}}").splitlines()
    assert {"container create", "container start", "container die", "container destroy"} <= set(actions)
