"""Real engines for integration tests: a wherryd of its own root and socket, and the docker CLI that talks to it.

``daemon`` (one for a module) and ``fresh_daemon`` (one for a test) are `Daemon`s; ``docker`` and ``fresh_docker`` run
the stock docker CLI against them; ``guest_wasm`` is tests/data/cli_guest.c compiled, ``guest_image`` the name of an
image of it on ``daemon``. ``registry`` is a real registry, ``guarded`` one that asks who it is.

Without an engine: ``box`` is the real shim by itself, whose containers run ``guest``: a component that answers HTTP,
unless a file has a fixture of this name of its own.
"""

import functools
import gc
import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.components import proxy_guest
from tests.fakes.docker_registry import DockerRegistry
from tests.fakes.other_user import as_user
from tests.integration.shim_box import Box, open_box
from tests.integration.tls_box import make_certificate
from tests.integration.wherry_cli import clean_environ
from tests.zig import compile_wasm

DATA = Path(__file__).parent.parent / "data"
DEADLINE = 60.0
BIN = Path(sys.executable).parent


def until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> object:
    """The first true value of ``condition``, asked every few milliseconds; fails after ``deadline`` seconds."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {deadline:g} s"
        time.sleep(0.01)


@functools.cache
def empty_hub() -> str:
    """The URL of a registry with nothing in it, that takes nothing; it lives as long as this process."""

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._refuse(404, "NAME_UNKNOWN", "repository name not known to registry")

        def do_POST(self) -> None:
            self._refuse(403, "DENIED", "requested access to the resource is denied")

        def _refuse(self, status: int, code: str, message: str) -> None:
            body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


@dataclass
class Daemon:
    """A wherryd process on a root and a socket of its own. Killed and started again as a test likes. ``outer`` is a
    command of root's that runs the one of another ``user``."""

    folder: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen | None = None
    environ: dict = field(default_factory=dict)
    user: int | None = None
    wrapper: list = field(default_factory=list)
    outer: list = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def socket(self) -> Path:
        return self.folder / "w.sock"

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> "Daemon":
        hub = ("--registry", f"docker.io={empty_hub()}")  # no test asks the real one
        arguments = ("--root", self.root, "--host", self.host, *hub, *self.arguments)
        command = [*self.wrapper, sys.executable, "-m", "wherry.daemon", *map(str, arguments)]
        if self.user is not None:
            command = [*self.outer, *as_user(self.user, command)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ()
            )
        until(self._answers, f"wherryd answers on {self.socket}")
        return self

    def _environ(self) -> dict:
        return {**clean_environ(), **self.environ}

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"wherryd ended:\n{self.log}"
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(DEADLINE)


@dataclass
class Docker:
    """The stock docker CLI against one engine. Without BuildKit, with a configuration of its own."""

    daemon: Daemon

    @property
    def environ(self) -> dict:
        config = self.daemon.folder / "docker-config"
        own = {"DOCKER_HOST": self.daemon.host, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(config)}
        return {**clean_environ(), **own}

    def run(self, *arguments: object, input: str | bytes | None = None, **more) -> subprocess.CompletedProcess:  # noqa: A002 - as subprocess.run's
        """Run it to its end, whatever that is; text unless ``input`` is bytes."""
        binary = isinstance(input, bytes)
        extra = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            ["docker", *map(str, arguments)],
            env=self.environ,
            capture_output=True,
            text=not binary,
            timeout=DEADLINE,
            check=False,
            **extra,
            **more,
        )

    def __call__(self, *arguments: object, input: str | bytes | None = None) -> str:  # noqa: A002
        """Its stdout, stripped; it must succeed."""
        ended = self.run(*arguments, input=input)
        assert ended.returncode == 0, f"docker {arguments}: {ended.stderr}\n{self.daemon.log[-3000:]}"
        return ended.stdout.strip()

    def fails(self, *arguments: object, code: int | None = None) -> str:
        """Its stderr; it must fail, with ``code`` if that is given."""
        ended = self.run(*arguments)
        assert ended.returncode != 0, f"docker {arguments} succeeded: {ended.stdout}"
        assert code is None or ended.returncode == code, f"exit code {ended.returncode}: {ended.stderr}"
        assert "Traceback" not in ended.stderr
        return ended.stderr.strip()

    def popen(self, *arguments: object, **more) -> subprocess.Popen:
        """Start it; the caller sees to its end."""
        return subprocess.Popen(["docker", *map(str, arguments)], env=self.environ, **more)


def _new_daemon() -> Daemon:
    return Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")))


def _end(daemon: Daemon) -> None:
    """Leave nothing behind: no container, no shim, no folder."""
    if daemon.process is not None:
        if daemon.process.poll() is not None:
            daemon.start()
        docker = Docker(daemon)
        left = docker.run("ps", "-aq").stdout.split()
        if left:
            docker.run("rm", "-f", *left)
        assert daemon.stop() == 0, daemon.log
    shutil.rmtree(daemon.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    made = _new_daemon()
    try:
        yield made.start()
    finally:
        _end(made)


@pytest.fixture
def fresh_daemon() -> Iterator[Daemon]:
    made = _new_daemon()
    try:
        yield made.start()
    finally:
        _end(made)


@pytest.fixture(scope="module")
def docker(daemon: Daemon) -> Docker:
    assert shutil.which("docker"), "the docker CLI is not installed: install docker-cli"
    return Docker(daemon)


@pytest.fixture
def fresh_docker(fresh_daemon: Daemon) -> Docker:
    assert shutil.which("docker"), "the docker CLI is not installed: install docker-cli"
    return Docker(fresh_daemon)


@pytest.fixture(scope="module")
def leaky() -> Iterator[None]:
    """For tests of clients that leave sockets to the collector: it runs before other files' tests could be blamed.

    Such a file has ``pytestmark = LEAKY``.
    """
    yield
    gc.collect()


LEAKY = [pytest.mark.usefixtures("leaky"), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a shim keeps compiled modules, for `open_box`: whoever needs it first makes the folder."""
    return tmp_path_factory.mktemp("cache") / "compiled"


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proxy_guest(tmp_path_factory.mktemp("proxy") / "component.wasm")


@pytest.fixture
async def box(guest: Path, compiled: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_box(guest, compiled, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem and key.pem, for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    with DockerRegistry() as made:
        yield made


@pytest.fixture(scope="module")
def guarded() -> Iterator[DockerRegistry]:
    with DockerRegistry(users={"me": "secret"}) as made:
        yield made


@pytest.fixture(scope="session")
def guest_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_wasm(DATA / "cli_guest.c", tmp_path_factory.mktemp("guest") / "guest.wasm")


@pytest.fixture(scope="session")
def guest_context(guest_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context of the guest."""
    folder = tmp_path_factory.mktemp("context")
    shutil.copy(guest_wasm, folder / "guest.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY guest.wasm /guest.wasm\nENTRYPOINT ["/guest.wasm"]\n')
    return folder


@pytest.fixture(scope="module")
def guest_image(docker: Docker, guest_context: Path) -> str:
    docker("build", "-q", "-t", "guest", guest_context)
    return "guest"
