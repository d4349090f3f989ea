"""``wherry serve`` and ``wherry run --watch``: what a changed file does, what a broken one does, and what was begun."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from tests.components import proxy_guest
from tests.integration.conftest import DEADLINE, Docker, until

# It answers N once it was able to read a byte of the request's body, or to find there is none.
PAGE = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\1c\\00\\00\\00content-type: text/plain\\n\\nN\\n")
  (data (i32.const 128) "\\90\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 160)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"""
SAYS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00says N")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
    REST))"""
FOR_EVER = "(loop (drop (call $yield)) (br 0))"


class Program:
    """``wherry`` as a process, with all it says in one file."""

    def __init__(self, docker: Docker, *words: object) -> None:
        environ = {**docker.environ, "WHERRY_HOST": docker.daemon.host}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - close() ends it
        command = [sys.executable, "-m", "wherry.cli", *map(str, words)]
        self.process = subprocess.Popen(
            command, env=environ, stdout=self._said, stderr=self._said, stdin=subprocess.DEVNULL
        )

    @property
    def said(self) -> str:
        return os.pread(self._said.fileno(), 1 << 16, 0).decode()

    def says(self, text: str, times: int = 1) -> None:
        def there() -> bool:
            assert self.process.poll() is None or self.said.count(text) >= times, self.said
            return self.said.count(text) >= times

        until(there, f"it says {text!r}")

    def close(self) -> None:
        self._said.close()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def running(docker: Docker, *words: object) -> Iterator[Program]:
    program = Program(docker, *words)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.end()
        program.close()


def written(file: Path, text: str) -> None:
    """As an editor or a linker does it: beside, then renamed."""
    beside = file.with_name("beside")
    beside.write_text(text)
    beside.rename(file)


def page(number: int) -> str:
    return PAGE.replace("N\\n", f"{number}\\n")


def port_of(program: Program) -> int:
    program.says("serving")
    found = re.search(r"at http://127\.0\.0\.1:(\d+)/", program.said)
    assert found, program.said
    return int(found[1])


def get(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer.read()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(docker: Docker) -> Iterator[None]:
    yield
    assert docker("ps", "-aq") == ""
    assert docker("images", "-q", "--filter", "dangling=true") == ""


def test_a_change_is_served_while_what_was_begun_ends_on_the_old(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(page(1))
    with running(docker, "serve", "--port", 0, file) as serving:
        port = port_of(serving)
        assert get(port) == b"1\n"
        serving.says('"GET / HTTP/1.1" 200 2 ')  # the access log
        begun = socket.create_connection(("127.0.0.1", port), DEADLINE)
        begun.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert begun.recv(100).startswith(b"HTTP/1.1 100 ")  # a guest waits for the body
        changed = time.monotonic()
        written(file, page(2))
        answers = [until(lambda: get(port), "an answer")]
        while answers[-1] != b"2\n":
            answers.append(get(port))
            assert time.monotonic() - changed < DEADLINE
        assert set(answers) == {b"1\n", b"2\n"}
        begun.sendall(b"x")
        begun.settimeout(DEADLINE)
        assert b"".join(iter(lambda: begun.recv(4096), b"")).endswith(b"\r\n\r\n1\n")
        begun.close()
        until(lambda: docker("ps", "-aq").count("\n") == 0, "the old version is gone")
        assert serving.end() == 0


def test_a_component_is_served_too(docker: Docker, tmp_path: Path) -> None:
    file = proxy_guest(tmp_path / f"{tmp_path.name}.wasm", "-DHELLO")
    with running(docker, "serve", "--port", 0, file) as serving:
        port = port_of(serving)
        hello = get(port)
        assert hello
        (tmp_path / "beside").write_bytes(wasmtime.wat2wasm(page(4)))
        (tmp_path / "beside").rename(file)
        until(lambda: get(port) == b"4\n", "a module took its place")


def test_a_broken_file_is_told_of_once_and_the_old_one_serves(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(page(1))
    with running(docker, "serve", "--port", 0, file) as serving:
        port = port_of(serving)
        for number, (text, says) in enumerate(
            [
                ("(module broken", "is not WebAssembly text"),
                ("", "is empty"),
                ('(module (import "a" "b" (func)) (func (export "_start")))', "imports a.b"),
                ("no module", "is not a WebAssembly module"),
            ],
            1,
        ):
            written(file, text)
            serving.says(says)
            serving.says("the version before goes on", number)
            assert get(port) == b"1\n"
        file.unlink()
        assert get(port) == b"1\n"
        written(file, page(3))
        until(lambda: get(port) == b"3\n", "it is mended")
        assert "Traceback" not in serving.said


def test_a_file_written_in_steps_is_not_told_of(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(page(1))
    with running(docker, "serve", "--port", 0, file) as serving:
        port = port_of(serving)
        with open(file, "w") as writing:
            for piece in re.findall("(?s).{1,100}", page(2)):
                writing.write(piece)
                writing.flush()
                time.sleep(0.03)  # a slow writer, not synchronisation
        until(lambda: get(port) == b"2\n", "the changed file is served")
        assert "goes on" not in serving.said


def test_a_port_in_use_and_a_file_that_is_none(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(page(1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(docker, "serve", "--port", port, file) as program:
            assert program.process.wait(DEADLINE) == 1
            assert f"cannot listen at 127.0.0.1:{port}: " in program.said
    with running(docker, "serve", "--port", 0, tmp_path / "none.wasm") as program:
        assert program.process.wait(DEADLINE) == 1
        assert "none.wasm does not exist" in program.said
        assert "Traceback" not in program.said


def test_a_second_signal_does_not_wait(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(page(1))
    with running(docker, "serve", "--port", 0, file) as serving:
        port = port_of(serving)
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as begun:
            begun.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
            assert begun.recv(100).startswith(b"HTTP/1.1 100 ")
            serving.process.send_signal(signal.SIGINT)
            until(lambda: _refuses(port), "it takes no more")
            assert serving.process.poll() is None
            before = time.monotonic()
            serving.process.send_signal(signal.SIGINT)
            assert serving.process.wait(DEADLINE) == 0
            assert time.monotonic() - before < 8  # 10 are what it would wait


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_watched_program_is_run_anew(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(SAYS.replace("N", "1").replace("REST", FOR_EVER))
    with running(docker, "run", "--name", "again", "--watch", file) as watched:
        watched.says("says 1")
        written(file, "(module broken")
        watched.says("the version before goes on")
        first = docker("ps", "-q")
        assert first
        written(file, SAYS.replace("N", "2").replace("REST", ""))
        watched.says("says 2")
        watched.says("it ended with 0: waiting for a change")
        written(file, SAYS.replace("N", "3").replace("REST", FOR_EVER))
        watched.says("says 3")
        assert docker("ps", "-q") != first
        watched.process.send_signal(signal.SIGINT)
        assert watched.process.wait(DEADLINE) == 130
    docker("rm", "again")


@pytest.mark.parametrize(
    ("words", "said"), [(["-d", "FILE"], "with -d"), (["-i", "FILE"], "with -i"), (["hello"], "wants a .wasm or .wat")]
)
def test_what_cannot_be_watched(docker: Docker, tmp_path: Path, words: list[str], said: str) -> None:
    file = tmp_path / f"{tmp_path.name}.wat"
    file.write_text(SAYS)
    given = [str(file) if word == "FILE" else word for word in words]
    with running(docker, "run", "--watch", *given) as program:
        assert program.process.wait(DEADLINE) == 125
        assert said in program.said
