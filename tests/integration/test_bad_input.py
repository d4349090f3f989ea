"""Bad input, by both command lines and over the raw API: one clear line, docker's exit code, nothing left behind.

Elsewhere: a second engine on one root and a full disk (test_docker_cli_survival.py), hostile contexts and layers
(unit/build/test_build_hostile.py, unit/core_store/).
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import wasmtime

from tests.integration.conftest import BIN, DEADLINE, Daemon, Docker, until
from wherry.daemon.config import parse

IMPORT = '(module (import "env" "magic" (func)) (func (export "_start") call 0))'
WASI_03 = '(component (import "wasi:cli/stdout@0.3.0" (instance)))'

# name, contents (a str is WebAssembly text, to be assembled), exit code of `wherry run FILE`, what is said of it
MODULES = [
    ("text", b"hello, text\n", 126, "is not a WebAssembly module"),
    ("empty", b"", 126, "is not a WebAssembly module: it is empty"),
    ("truncated", b"\0asm\1\0\0\0\1\x20\1", 125, "is truncated at byte"),
    ("elf", b"\x7fELF" + bytes(60), 126, "is a"),
    ("bare", "(module)", 125, "has no _start export; it exports no function at all"),
    ("other", '(module (func (export "run")))', 125, "has no _start export"),
    ("import", IMPORT, 125, "imports env.magic, which no host here provides"),
    ("component", WASI_03, 125, "is a component that imports wasi:cli/stdout@0.3.0: WASI 0.3 is not supported"),
]

DOCKERFILES = [
    ("RNU x", "Dockerfile:2: dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"),
    ("COPY --nope a /b", "Dockerfile:2: dockerfile parse error on line 2: unknown flag: --nope"),
    ("COPY missing /b", 'Dockerfile:2: COPY missing /b: "/missing": not found'),
    ("COPY ../../etc/passwd /b", "forbidden path outside the build context: ../../etc/passwd"),
    ("COPY --from=nope:1 a /b", "pull access denied for nope"),
    ("ADD --checksum=sha256:00 Dockerfile /b", "checksum can't be specified for non-HTTP(S) sources"),
    ("FROM nope:1", "Dockerfile:2: FROM nope:1: pull access denied for nope"),
]

# arguments, exit code, what is said
COMMANDS = [
    (["run", "nosuch"], 125, "pull access denied for nosuch"),
    (["run", "--runtime", "x.y", "guest"], 125, "unknown or invalid runtime name: x.y (known: crun, io.containerd."),
    (["run", "--platform", "linux/amd64", "guest"], 125, "linux/amd64"),
    (["run", "--platform", "plan9", "guest"], 125, "plan9"),
    (["run", "--name", "a/b", "guest"], 125, "Invalid container name"),
    (["run", "--name", "taken", "guest"], 125, 'The container name "/taken" is already in use'),
    (["run", "-m", "1", "guest"], 125, "Minimum memory limit allowed is 512KB"),
    (["run", "-w", "relative", "guest"], 125, "needs to be an absolute path"),
    (["run", "-v", "/a:relative", "guest"], 125, "invalid volume specification: '/a:relative': "),
    (["run", "--label", "=x", "guest"], 125, "invalid label '=x': empty name"),
    (["run", "--env-file", "/nope", "guest"], 125, "/nope: "),
    (["run", "--env-file", "/", "guest"], 125, "/: "),
    (["run", "-d", "--cidfile", "/nope/id", "guest"], 127, "ID file: open /nope/id: no such file or directory"),
    (["run", "-d", "--cidfile", "/", "guest"], 125, "container ID file found, make sure the other container isn't"),
    (["run", "--entrypoint", "/nope", "guest"], 127, 'exec: "/nope": stat /nope: no such file or directory'),
    (["run", "--entrypoint", "nope", "guest"], 127, 'exec: "nope": executable file not found in $PATH'),
    (["run", "--entrypoint", "/", "guest"], 126, "is a directory"),
    (["run", "-v", "/etc/hostname:/text", "--entrypoint", "/text", "guest"], 126, "exec format error"),
    (["run", "--entrypoint", "/guest.wasm#nope", "guest"], 125, "has no nope export"),
    (["logs", "nosuch"], 1, "No such container: nosuch"),
    (["stop", "nosuch"], 1, "No such container: nosuch"),
    (["kill", "taken"], 1, "is not running"),
    (["kill", "-s", "SIGNOPE", "taken"], 1, "nvalid signal: SIGNOPE"),
    (["rm", "nosuch"], 1, "No such container: nosuch"),
    (["rmi", "nosuch"], 1, "No such image: nosuch:latest"),
    (["rmi", "BADname"], 1, "repository name (library/BADname) must be lowercase"),
    (["inspect", "nosuch"], 1, "o such object: nosuch"),
    (["commit", "-c", "NOPE x", "taken"], 1, "NOPE is not a valid change command"),
    (["commit", "-c", "ENV", "taken"], 1, "on line 1: ENV requires"),
    (["load", "-i", "/etc/hostname"], 1, "not an image archive: it is no tar, plain or compressed"),
]

BIG = b'{"Image": "guest", "Labels": {"a": "' + b"y" * (100 << 20) + b'"}}'
NO_LIMIT = {"Name": "nofile", "Soft": 2**63, "Hard": 2**63}
NO_SIZE = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": True}}
MTU = json.dumps({"Name": "a", "Options": {"com.docker.network.driver.mtu": "9" * 5000}}).encode()
PORTS = quote(json.dumps({"publish": ["0" * 6000 + "1"]}))


def wanted(**fields: object) -> bytes:
    return json.dumps({"Image": "guest", **fields}).encode()


# method, path, body, status, message
REQUESTS = [
    ("POST", "/v1.43/containers/create", b"nonsense", 400, "invalid JSON"),
    ("POST", "/v1.43/containers/create", b"\xff\xfe", 400, "invalid JSON"),
    ("POST", "/v1.43/containers/create", b"[1]", 400, "an object is expected"),
    ("POST", "/v1.43/containers/create", b"[" * 100_000, 400, "invalid JSON"),
    ("POST", "/v1.43/containers/create", b'{"Image": 5, "Cmd": {"a": 1}}', 400, "Cmd must be a list of texts; Image"),
    ("POST", "/v1.43/containers/create", BIG, 413, "at most 4 MiB"),
    ("POST", "/v1.43/containers/create", wanted(Labels={"dev.wherry.fuel": "9" * 5000}), 400, "invalid fuel"),
    ("POST", "/v1.43/containers/create", wanted(HostConfig={"Ulimits": [NO_LIMIT]}), 400, "invalid ulimit: 'nofile'"),
    ("POST", "/v1.43/containers/create", wanted(HostConfig={"Mounts": [NO_SIZE]}), 400, "must be numbers"),
    ("GET", f"/v1.43/containers/json?filters={PORTS}", b"", 400, "invalid syntax"),
    ("POST", "/v1.43/networks/create", MTU, 400, "invalid MTU"),
    ("POST", "/v1.43/build?t=x", b"this is no archive", 400, "archive"),
    ("GET", "/v1.43/containers/../../etc/passwd/json", b"", 404, "page not found"),
    ("GET", "/../../etc/passwd", b"", 404, "page not found"),
    ("GET", "/v1.43/images/..%2F..%2Fetc/json", b"", 404, ""),
    ("GET", "/v1.43/containers/%00/json", b"", 400, "NUL"),
    ("GET", "/v9.99/info", b"", 400, "client version 9.99 is too new"),
    ("GET", "/v1.10/info", b"", 400, "client version 1.10 is too old"),
    ("GET", "/v1.43/nonsense", b"", 404, "page not found"),
]


@dataclass(frozen=True)
class Program:
    """One of the two command lines."""

    name: str
    daemon: Daemon

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        docker = Docker(self.daemon)
        environ = {**docker.environ, "WHERRY_HOST": self.daemon.host}
        program = "docker" if self.name == "docker" else BIN / "wherry"
        command = [str(program), *map(str, arguments)]
        return subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
            stdin=subprocess.DEVNULL,
        )

    def fails(self, code: int, words: str, *arguments: object) -> None:
        """It ends with ``code`` and says ``words`` on one line."""
        ended = self.run(*arguments)
        said = [line for line in ended.stderr.splitlines() if words in line]
        assert (ended.returncode, len(said)) == (code, 1), f"{ended.returncode}: {ended.stderr}{ended.stdout}"
        assert "Traceback" not in ended.stderr
        if self.name == "wherry":
            assert said == [line for line in ended.stderr.splitlines() if line.startswith("wherry: ")]


@pytest.fixture(scope="module", params=["wherry", "docker"])
def program(request: pytest.FixtureRequest, docker: Docker, guest_context: Path) -> Iterator[Program]:
    """Afterwards the engine works as before, and is as empty."""
    docker("build", "-q", "-t", "guest", guest_context)
    docker("create", "--name", "taken", "guest")
    yield Program(request.param, docker.daemon)
    docker("rm", "taken")
    assert docker("run", "--rm", "guest") == "hello"
    assert_nothing_left(docker)


def assert_nothing_left(docker: Docker) -> None:
    """No container, no task, no FIFO, no temporary file; and once all is pruned, no blob and no snapshot."""
    assert docker("ps", "-aq") == ""
    root = docker.daemon.root
    state = Path(parse(["--root", str(root)], {}, os.geteuid()).state)
    for folder in (root / "containers", root / "tmp", root / "content" / "ingest", state / "io", state / "tasks"):
        until(lambda folder=folder: not folder.exists() or not list(folder.iterdir()), f"{folder} is empty")
    docker("system", "prune", "-a", "-f")
    assert list((root / "content" / "blobs" / "sha256").iterdir()) == []
    # Untouched folders are kept for containers to come, for some seconds.
    until(lambda: not list((root / "snapshots").iterdir()), "no snapshot is left")
    compiled = root / "compiled"
    until(lambda: not list(compiled.glob(".*")), "no module is half written")


def module(contents: bytes | str) -> bytes:
    return contents if isinstance(contents, bytes) else bytes(wasmtime.wat2wasm(contents))


@pytest.mark.parametrize(("name", "contents", "code", "words"), MODULES, ids=[case[0] for case in MODULES])
def test_modules(program: Program, tmp_path: Path, name: str, contents: bytes | str, code: int, words: str) -> None:
    path = tmp_path / f"{name}.wasm"
    path.write_bytes(module(contents))
    if program.name == "wherry":
        program.fails(code, words, "run", "--rm", path)
    (tmp_path / "Dockerfile").write_text(f'FROM scratch\nCOPY {name}.wasm /m.wasm\nENTRYPOINT ["/m.wasm"]\n')
    program.fails(1, words, "build", "-q", "--platform", "wasi/wasm", "-t", name, tmp_path)
    assert program.run("images", "-q", name).stdout == ""


@pytest.mark.parametrize(
    ("line", "words"), DOCKERFILES, ids=[line.split()[0] + str(n) for n, (line, _) in enumerate(DOCKERFILES)]
)
def test_dockerfiles(program: Program, tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{line}\n")
    program.fails(1, words, "build", "-q", "-t", "bad", tmp_path)
    assert program.run("images", "-q", "bad").stdout == ""


@pytest.mark.parametrize(("arguments", "code", "words"), COMMANDS, ids=[" ".join(case[0])[:40] for case in COMMANDS])
def test_commands(program: Program, arguments: list[str], code: int, words: str) -> None:
    if program.name == "docker" and words == "exec format error":
        code = 125  # docker's own choice: of what cannot be run, it knows missing and forbidden files
    rm = ["--rm"] if arguments[0] == "run" else []
    program.fails(code, words, arguments[0], *rm, *arguments[1:])


@pytest.mark.parametrize(
    ("entry", "code", "words"),
    [
        ("/nope", 127, 'OCI runtime exec failed: exec: "/nope": stat /nope: no such file or directory'),
        ("/text", 126, 'OCI runtime exec failed: exec: "/text": exec format error: '),
    ],
)
def test_what_cannot_be_executed_in_a_container(program: Program, entry: str, code: int, words: str) -> None:
    container = program.run("run", "-d", "-v", "/etc/hostname:/text", "guest", "sleep").stdout.strip()
    ended = program.run("exec", container, entry)
    assert (ended.returncode, ended.stdout.count("\n")) == (code, 1), ended.stderr
    assert ended.stdout.startswith(words)
    assert program.run("exec", container, "/guest.wasm").stdout == "hello\n"
    assert program.run("rm", "-f", container).returncode == 0


def connect(daemon: Daemon) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(DEADLINE)
    made.connect(str(daemon.socket))
    return made


def ask(daemon: Daemon, method: str, path: str, body: bytes, field: str = "message") -> tuple[int, str]:
    head = f"{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(daemon) as line:
        try:
            line.sendall(head.encode() + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent
        answer = b""
        try:
            while data := line.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    head_, _, content = answer.partition(b"\r\n\r\n")
    return int(head_.split()[1]), json.loads(content)[field]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REQUESTS, ids=range(len(REQUESTS)))
def test_requests(
    docker: Docker, guest_context: Path, method: str, path: str, body: bytes, status: int, words: str
) -> None:
    if body.startswith(wanted()[:-1]):
        docker("build", "-q", "-t", "guest", guest_context)
    found, message = ask(docker.daemon, method, path, body)
    assert found == status, message
    assert words in message
    assert "\n" not in message


def test_an_entry_that_no_file_system_has(docker: Docker, guest_context: Path) -> None:
    docker("build", "-q", "-t", "guest", guest_context)
    body = wanted(Entrypoint=["x" * 100_000])
    assert ask(docker.daemon, "POST", "/v1.43/containers/create?name=long", body, field="Id")[0] == 201
    status, message = ask(docker.daemon, "POST", "/v1.43/containers/long/start", b"")
    assert (status, message[:10]) == (400, 'exec: "xxx')
    assert docker("inspect", "-f", "{{.State.ExitCode}}", "long") == "127"
    docker("rm", "long")


@pytest.mark.parametrize(("version", "found"), [("v1.40", 1), ("v1.41", 2)])
def test_the_old_name_filter_of_images(docker: Docker, guest_context: Path, version: str, found: int) -> None:
    docker("build", "-q", "-t", "guest", guest_context)
    docker("commit", "--change", "LABEL a=b", docker("create", "--name", "two", "guest"), "second")
    with connect(docker.daemon) as line:
        line.sendall(f"GET /{version}/images/json?filter=second HTTP/1.0\r\nHost: d\r\n\r\n".encode())
        with line.makefile("rb") as file:
            content = file.read().partition(b"\r\n\r\n")[2]
    names = [image["RepoTags"][0] for image in json.loads(content)]
    assert len(names) == found
    assert "second:latest" in names
    docker("rm", "two")
    docker("rmi", "second")


HALVES = [
    b"POST /v1.43/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 1000\r\n\r\n" + b'{"Image": "gu',
    b"POST /v1.43/build?t=half HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\n" + bytes(700),
    b"POST /v1.43/images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + bytes(100),
    b"GET /v1.43/info HT",
    b"\0\xff garbage\r\n\r\n",
]


def test_requests_that_stop_halfway(fresh_docker: Docker, guest_context: Path) -> None:
    fresh_docker("build", "-q", "-t", "guest", guest_context)
    for begin in HALVES:
        with connect(fresh_docker.daemon) as line:
            line.sendall(begin)
    assert fresh_docker("images", "--format", "{{.Repository}}") == "guest"
    assert fresh_docker("run", "--rm", "guest") == "hello"
    assert_nothing_left(fresh_docker)


@pytest.mark.parametrize("which", ["Layers", "Config"])
def test_a_damaged_blob_is_named(fresh_docker: Docker, guest_context: Path, tmp_path: Path, which: str) -> None:
    docker = fresh_docker
    docker("build", "-q", "-t", "guest", guest_context)
    archive = tmp_path / "guest.tar"
    docker("save", "-o", archive, "guest")
    listed = subprocess.run(["tar", "-xOf", archive, "manifest.json"], capture_output=True, check=True).stdout
    found = json.loads(listed)[0][which]
    digest = Path(found if which == "Config" else found[0]).name
    blob = docker.daemon.root / "content" / "blobs" / "sha256" / digest
    whole = blob.read_bytes()
    assert docker.daemon.stop() == 0
    blob.write_bytes(whole[:-2] + b"??")
    docker.daemon.start()
    (tmp_path / "again.tar").unlink(missing_ok=True)
    for program in (Program("wherry", docker.daemon), Program("docker", docker.daemon)):
        program.fails(1, digest, "save", "-o", tmp_path / "again.tar", "guest")
        assert not (tmp_path / "again.tar").exists()
        if which == "Config":
            program.fails(125, digest, "run", "--rm", "guest")
    blob.write_bytes(whole)
    assert docker("run", "--rm", "guest") == "hello"
    assert_nothing_left(docker)
