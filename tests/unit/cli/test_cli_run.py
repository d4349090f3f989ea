"""`wherry run` and its kin against an engine of canned answers: what is asked of it, what is printed, the exit code."""

import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tarfile
import termios
import threading
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_engine import FakeEngine, Handler, Turn, fake_engine
from wherry.cli.guard import run

ID = "c" * 64
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
SOURCE = str(Path(__file__).parents[3] / "src")


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def output(*frames: bytes) -> Any:
    """An attach that says this and ends."""

    def answer(handler: Handler) -> None:
        handler.upgrade(MULTIPLEXED, frames[0] if frames else b"")
        for piece in frames[1:]:
            handler.connection.sendall(piece)

    return answer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with fake_engine(tmp_path) as running:
        running.on("POST", "/containers/create", (201, {"Id": ID, "Warnings": []}))
        running.on("POST", f"/containers/{ID}/attach", output())
        running.on("POST", f"/containers/{ID}/wait", {"StatusCode": 0})
        running.on("POST", f"/containers/{ID}/start", (204, None))
        yield running


def wherry(engine: FakeEngine, *words: str, **environ: str) -> int:
    return run(words, {"WHERRY_HOST": engine.host, **environ})


def test_output_goes_to_its_streams_and_the_code_is_the_guests(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    out = frame(1, b"one\n") + frame(2, b"warn\n")
    engine.on("POST", f"/containers/{ID}/attach", output(out, frame(1, b"two\n")[:5], frame(1, b"two\n")[5:]))
    engine.on("POST", f"/containers/{ID}/wait", {"StatusCode": 7})
    assert wherry(engine, "run", "--rm", "hello", "--flag", "-x") == 7
    captured = capfd.readouterr()
    assert captured.out == "one\ntwo\n"
    assert captured.err == "warn\n"
    [create] = engine.asked("POST", "/containers/create")
    assert create.json["Image"] == "hello"
    assert create.json["Cmd"] == ["--flag", "-x"]
    assert create.json["HostConfig"]["AutoRemove"] is True
    [wait] = engine.asked("POST", f"/containers/{ID}/wait")
    assert wait.query == {"condition": ["removed"]}


def test_attached_and_waiting_before_the_start(engine: FakeEngine) -> None:
    assert wherry(engine, "run", "hello") == 0
    order = [request.path.rpartition("/")[2] for request in engine.requests]
    assert order == ["create", "attach", "wait", "start"]
    assert engine.asked("POST", f"/containers/{ID}/wait")[0].query == {"condition": ["next-exit"]}
    assert engine.asked("POST", f"/containers/{ID}/attach")[0].query == {
        "stream": ["1"],
        "stdin": ["0"],
        "stdout": ["1"],
        "stderr": ["1"],
    }


def test_every_option_reaches_the_engine(engine: FakeEngine, tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("FROM_FILE=1\nPASSED\n")
    cidfile = tmp_path / "cid"
    words = (
        f"run -d --name n -e A=1 -ePASSED --env-file {env_file} -v /h:/c:ro -w /w --entrypoint /e.wasm "
        "--platform wasi/wasm32 --runtime io.containerd.wasmedge.v1 -l k=v --read-only -m 64m --network none "
        "-p 8080:80 -u 1:2 --restart on-failure:2 --log-driver json-file --log-opt max-size=1m --hostname h "
        f"--stop-signal SIGINT --stop-timeout 3 --cidfile {cidfile} --pull never --rm=false --cpus .5 -it=false hello x"
    ).replace("-it=false ", "")
    assert wherry(engine, *words.split(), PASSED="p") == 0
    [create] = engine.asked("POST", "/containers/create")
    assert create.query == {"name": ["n"], "platform": ["wasi/wasm32"]}
    body, host = create.json, create.json["HostConfig"]
    assert body["Env"] == ["FROM_FILE=1", "PASSED=p", "A=1", "PASSED=p"]
    assert (body["WorkingDir"], body["Entrypoint"], body["Cmd"]) == ("/w", ["/e.wasm"], ["x"])
    assert (body["User"], body["Hostname"], body["StopSignal"], body["StopTimeout"]) == ("1:2", "h", "SIGINT", 3)
    assert body["Labels"] == {"k": "v"}
    assert body["ExposedPorts"] == {"80/tcp": {}}
    assert host["Binds"] == ["/h:/c:ro"]
    assert host["Runtime"] == "io.containerd.wasmedge.v1"
    assert host["ReadonlyRootfs"] is True
    assert host["AutoRemove"] is False
    assert host["Memory"] == 64 << 20
    assert host["NanoCpus"] == 500_000_000
    assert host["NetworkMode"] == "none"
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert cidfile.read_text() == ID


def test_detached_prints_the_id(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert wherry(engine, "run", "-d", "hello") == 0
    assert capfd.readouterr().out == f"{ID}\n"
    assert not engine.asked("POST", f"/containers/{ID}/attach")


def test_stdin_is_sent_and_its_end_too(engine: FakeEngine) -> None:
    """In a process of its own: the test's stdin is pytest's."""
    heard = bytearray()

    def cat(handler: Handler) -> None:
        handler.upgrade(MULTIPLEXED)
        while data := handler.connection.recv(65536):
            heard.extend(data)
        handler.connection.sendall(frame(1, b"%d" % len(heard)))

    engine.on("POST", f"/containers/{ID}/attach", cat)
    done = process(engine, "run", "-i", "hello", input=b"x" * 1_000_000)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"1000000"
    assert engine.asked("POST", "/containers/create")[0].json["StdinOnce"] is True


def surroundings(engine: FakeEngine) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (SOURCE, os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "WHERRY_HOST": engine.host, "PYTHONPATH": path}


def process(engine: FakeEngine, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
    environ = surroundings(engine)
    command = [sys.executable, "-m", "wherry.cli", *words]
    return subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False, **kwargs)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (404, 'exec: "/x.wasm": stat /x.wasm: no such file or directory', 127),
        (400, "/x.wasm: exec format error: it is text", 126),
        (400, "unknown or invalid runtime name: x (known: runc)", 125),
        (409, 'Conflict. The container name "/n" is already in use', 125),
        (500, "boom", 125),
    ],
)
def test_a_failed_create_has_dockers_code(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str], status: int, message: str, code: int
) -> None:
    engine.on("POST", "/containers/create", (status, {"message": message}))
    assert wherry(engine, "run", "hello") == code
    assert capfd.readouterr().err == f"wherry: {message}\n"


def test_a_file_for_the_id_comes_before_the_container_and_goes_with_a_failure(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert wherry(engine, "run", "--cidfile", f"{tmp_path}/none/cid", "hello") == 127  # as docker, by these words
    said = f"failed to create the container ID file: open {tmp_path}/none/cid: no such file or directory"
    assert capfd.readouterr().err == f"wherry: {said}\n"
    (tmp_path / "old").write_text("kept")
    assert wherry(engine, "run", "--cidfile", f"{tmp_path}/old", "hello") == 125
    assert (tmp_path / "old").read_text() == "kept"
    assert not engine.asked("POST", "/containers/create")
    engine.on("POST", "/containers/create", (409, {"message": "taken"}))
    assert wherry(engine, "run", "--cidfile", f"{tmp_path}/new", "hello") == 125
    assert not (tmp_path / "new").exists()


def test_a_failed_start_with_rm_leaves_nothing(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", f"/containers/{ID}/start", (400, {"message": "exec format error"}))
    engine.on("DELETE", f"/containers/{ID}", (204, None))
    assert wherry(engine, "run", "--rm", "hello") == 126
    assert engine.asked("DELETE", f"/containers/{ID}")
    assert capfd.readouterr().err == "wherry: exec format error\n"


def test_an_unknown_image_is_pulled_once(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    missing = (404, {"message": "No such image: reg:5000/x:latest"})
    engine.on("POST", "/containers/create", [Turn(missing), Turn((201, {"Id": ID}))])
    engine.on("POST", "/images/create", lambda handler: handler.chunks([b'{"status":"Pulling","id":"l"}\n']))
    assert wherry(engine, "run", "reg:5000/x") == 0
    assert engine.asked("POST", "/images/create")[0].query == {"fromImage": ["reg:5000/x"], "tag": ["latest"]}
    assert capfd.readouterr().err == "l: Pulling\n"


def test_an_image_that_cannot_be_pulled_is_one_line(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/containers/create", (404, {"message": "No such image: nope:latest"}))
    engine.on("POST", "/images/create", (404, {"message": "pull access denied for nope"}))
    assert wherry(engine, "run", "nope") == 125
    assert capfd.readouterr().err == "wherry: pull access denied for nope\n"


def test_never_pull(engine: FakeEngine) -> None:
    engine.on("POST", "/containers/create", (404, {"message": "No such image: nope:latest"}))
    assert wherry(engine, "run", "--pull=never", "nope") == 125
    assert not engine.asked("POST", "/images/create")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], 1, "requires at least 1 argument"),
        (["run", "--nope", "x"], 125, "unknown flag: --nope"),
        (["run", "-Z", "x"], 125, "unknown shorthand flag: -Z"),
        (["run", "--rm=maybe", "x"], 125, 'invalid argument "maybe" for "--rm"'),
        (["run", "-m", "lots", "x"], 125, "invalid size: 'lots'"),
        (["run", "-p", "x:y", "x"], 125, "invalid port specification"),
        (["run", "--rm", "--restart=always", "x"], 125, "conflicting options"),
        (["run", "-d", "-a", "stdout", "x"], 125, "conflicting options"),
        (["run", "--env-file", "/none", "x"], 125, "cannot read /none: No such file or directory"),
        (["run", "--stop-timeout", "soon", "x"], 125, "invalid value for --stop-timeout"),
        (["run", "-it", "x"], 1, "not a TTY"),
        (["run", "./none.wasm"], 125, "no such module: ./none.wasm"),
        (["run", "-t", "--detach-keys", "ctrl-a,no", "x"], 1, "invalid detach keys (ctrl-a,no): 'no' is neither"),
        (["attach", "--detach-keys", "no", "x"], 1, "invalid detach keys (no)"),
        (["exec", "--detach-keys", "no", "x", "y"], 1, "invalid detach keys (no)"),
        (["start", "--detach-keys", "no", "x"], 1, "invalid detach keys (no)"),
        (["rm", "../x"], 1, "invalid container name or ID: '../x'"),
        (["nope"], 1, "unknown command: wherry nope"),
        (["ps", "x"], 125, "accepts no more arguments"),
        (["stop"], 1, "requires at least 1 argument"),
    ],
)
def test_wrong_use(
    engine: FakeEngine,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert wherry(engine, *words) == code
    captured = capfd.readouterr()
    assert said in captured.err
    assert captured.err.startswith("wherry: ")
    assert "Traceback" not in captured.err
    assert not engine.asked("POST", "/containers/create")


def test_flags_end_at_the_image(engine: FakeEngine) -> None:
    assert wherry(engine, "run", "-i=false", "--name", "x", "hello", "--rm=true", "-d") == 0
    [create] = engine.asked("POST", "/containers/create")
    assert create.json["Cmd"] == ["--rm=true", "-d"]
    assert create.json["OpenStdin"] is False


def test_a_flag_that_is_on_by_itself_goes_off(engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    engine.on("POST", "/build", lambda handler: handler.chunks([]))
    assert wherry(engine, "build", "--rm=false", str(tmp_path)) == 0
    assert wherry(engine, "build", "--rm=true", str(tmp_path)) == 0
    assert [request.query["rm"] for request in engine.asked("POST", "/build")] == [["0"], ["1"]]


def test_an_engine_that_dies_meanwhile(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", f"/containers/{ID}/wait", lambda handler: handler.chunks([]))
    assert wherry(engine, "run", "hello") == 125
    assert "went away" in capfd.readouterr().err


def test_a_wait_that_tells_an_error(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", f"/containers/{ID}/wait", {"StatusCode": 0, "Error": {"Message": "lost"}})
    assert wherry(engine, "run", "hello") == 125
    assert "lost" in capfd.readouterr().err


def test_signals_are_passed_on(engine: FakeEngine) -> None:
    """SIGINT and SIGTERM reach the container by the API; the container's end is what ends us."""
    killed = threading.Event()

    def attach(handler: Handler) -> None:
        handler.upgrade(MULTIPLEXED, frame(1, b"ready\n"))
        killed.wait(30)

    def kill(handler: Handler) -> None:
        handler.plain(204, b"", "application/json")
        killed.set()

    def wait(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        killed.wait(30)
        body = b'{"StatusCode": 130}'
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    engine.on("POST", f"/containers/{ID}/attach", attach)
    engine.on("POST", f"/containers/{ID}/kill", kill)
    engine.on("POST", f"/containers/{ID}/wait", wait)
    environ = surroundings(engine)
    command = [sys.executable, "-m", "wherry.cli", "run", "hello"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert engine.asked("POST", f"/containers/{ID}/kill")[0].query == {"signal": ["SIGINT"]}


def test_a_terminal_is_raw_resized_and_restored_and_detaches(engine: FakeEngine) -> None:
    typed = bytearray()
    got_ctrl_c = threading.Event()

    def attach(handler: Handler) -> None:
        handler.upgrade(first=b"prompt> ")
        while data := handler.connection.recv(100):
            typed.extend(data)
            if b"\x03" in typed:
                got_ctrl_c.set()

    def wait(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        handler.connection.recv(1)

    engine.on("POST", f"/containers/{ID}/attach", attach)
    engine.on("POST", f"/containers/{ID}/wait", wait)
    engine.on("POST", f"/containers/{ID}/resize", (200, None))
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    before = termios.tcgetattr(theirs)
    environ = surroundings(engine)
    command = [sys.executable, "-m", "wherry.cli", "run", "-it", "hello"]
    with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        assert read_until(ours, b"prompt> ")
        os.write(ours, b"ls\r\x03")
        assert got_ctrl_c.wait(30)
        os.write(ours, b"\x10\x11")
        assert running.wait(30) == 0
    assert bytes(typed) == b"ls\r\x03"
    assert b"read escape sequence" in read_until(ours, b"sequence")
    assert termios.tcgetattr(theirs) == before
    assert engine.asked("POST", f"/containers/{ID}/resize")[0].query == {"w": ["111"], "h": ["33"]}
    assert engine.asked("POST", "/containers/create")[0].json["HostConfig"]["ConsoleSize"] == [33, 111]
    os.close(ours)
    os.close(theirs)


def read_until(descriptor: int, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        ready, _, _ = select.select([descriptor], [], [], 30)
        assert ready, f"only {seen!r} was seen"
        seen += os.read(descriptor, 1024)
    return seen


def test_a_file_is_an_image(engine: FakeEngine, tmp_path: Path) -> None:
    module = tmp_path / "My Tool.wasm"
    module.write_bytes(b"\0asm\1\0\0\0")
    plain = tmp_path / "tool.wasm"
    plain.write_bytes(b"\0asm\1\0\0\0")
    engine.on("POST", "/build", lambda handler: handler.chunks([b'{"aux":{"ID":"sha256:made"}}\n']))
    assert wherry(engine, "run", str(plain), "one") == 0
    assert wherry(engine, "run", str(module)) == 0
    first, second = engine.asked("POST", "/build")
    assert first.query["t"] == ["wherry-file/tool-wasm"]
    assert first.query["platform"] == ["wasi/wasm"]
    assert files(first.body)["Dockerfile"] == b'FROM scratch\nCOPY tool.wasm /tool.wasm\nENTRYPOINT ["/tool.wasm"]\n'
    assert files(second.body)["module.wasm"] == b"\0asm\1\0\0\0"
    create = engine.asked("POST", "/containers/create")[0].json
    assert (create["Image"], create["Cmd"]) == ("sha256:made", ["one"])
    labels = first.query["labels"][0]
    assert "dev.wherry.source" in labels


def test_a_file_that_was_built_before_is_not_sent_again(engine: FakeEngine, tmp_path: Path) -> None:
    import hashlib

    module = tmp_path / "tool.wasm"
    module.write_bytes(b"\0asm\1\0\0\0")
    digest = "sha256:" + hashlib.sha256(module.read_bytes()).hexdigest()
    known = {"Id": "sha256:known", "Config": {"Labels": {"dev.wherry.source": digest}}}
    engine.on("GET", "/images/wherry-file/tool-wasm/json", known)
    assert wherry(engine, "run", str(module)) == 0
    assert not engine.asked("POST", "/build")
    assert engine.asked("POST", "/containers/create")[0].json["Image"] == "sha256:known"


def files(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"\x7fELF\2\1\1", "a Linux executable"),
        (b"", "it is empty"),
        (b"#!/bin/sh\n", "a script"),
        (b"int main()", "it begins with"),
        (b"\0as", "it begins with"),
    ],
)
def test_a_file_that_is_no_module(
    engine: FakeEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str], contents: bytes, said: str
) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(contents)
    assert wherry(engine, "run", str(path)) == 126
    error = capfd.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not engine.requests


def test_a_directory_is_no_module(engine: FakeEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert wherry(engine, "run", str(tmp_path)) == 126
    assert "is a directory" in capfd.readouterr().err
