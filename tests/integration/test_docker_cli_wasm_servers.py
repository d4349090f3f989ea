"""WASM servers with published ports by the docker CLI, one for each kind of socket; and which networks they get."""

import http.client
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import DEADLINE, Daemon, Docker, until
from tests.zig import compile_wasm
from wherry.wasm.wasi.errno import NOTCAPABLE

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests/data"
HTTP = REPOSITORY / "examples/http"


def compile_quick(source: Path, target: Path, *flags: str) -> Path:
    return compile_wasm(source, target, *flags)


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    """http and http1 are the example with WasmEdge's sockets and with preview 1's, wasmedge and wamr the tests' own."""
    made = (
        ("http", HTTP / "server.c", ()),
        ("http1", HTTP / "server.c", ("-DPREVIEW1",)),
        ("wasmedge", DATA / "wasmedge_guest.c", ()),
        ("wamr", DATA / "wamr_guest.c", ()),
    )
    for name, source, flags in made:
        folder = tmp_path_factory.mktemp(name)
        compile_quick(source, folder / "server.wasm", *flags)
        shutil.copy(HTTP / "Dockerfile", folder)
        docker("build", "-q", "-t", name, folder)


def address_of(docker: Docker, container: str, port: str) -> tuple[str, int]:
    """Where `docker port` says it is published; the first of its addresses."""
    host, _, number = docker("port", container, port).splitlines()[0].rpartition(":")
    return host, int(number)


def get(address: tuple[str, int], path: str = "/", count: int = 1) -> list[tuple[int, bytes]]:
    """Answers to requests over one connection."""
    connection = http.client.HTTPConnection(*address, timeout=DEADLINE)
    answers = []
    for _ in range(count):
        connection.request("GET", path)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()
    return answers


def listening(docker: Docker, container: str, line: str = "listening on port 80") -> None:
    until(lambda: line in docker("logs", container), f"{container} listens")


@pytest.fixture(params=["http", "http1"])
def server(request: pytest.FixtureRequest, docker: Docker, images: None) -> Iterator[tuple[str, tuple[str, int]]]:
    container = docker("run", "-d", "-p", "127.0.0.1::80", request.param)
    listening(docker, container)
    yield container, address_of(docker, container, "80")
    docker("rm", "-f", container)


def test_a_published_server_answers_on_kept_connections(docker: Docker, server: tuple[str, tuple[str, int]]) -> None:
    container, address = server
    assert address[0] == "127.0.0.1"
    assert get(address, count=100) == [(200, b"Hello from WebAssembly!\n")] * 100
    assert get(address, "/nothing")[0][0] == 404
    received, _, sent = docker("stats", "--no-stream", "--format", "{{.NetIO}}", container).split()
    assert received.endswith("kB")
    assert float(sent.removesuffix("kB")) > 10  # an idle one's is 1 kB
    assert f"127.0.0.1:{address[1]}->80/tcp" in docker("ps", "--filter", f"id={container}", "--format", "{{.Ports}}")


def test_a_client_that_sends_nonsense_disturbs_nobody(server: tuple[str, tuple[str, int]]) -> None:
    _, address = server
    for data in (b"\0" * 100_000, b"GET " + b"x" * 9000, b"\r\n\r\n\r\n\r\n", b""):
        with socket.create_connection(address, DEADLINE) as connection:
            try:
                connection.sendall(data)
            except (ConnectionResetError, BrokenPipeError):
                continue
    assert get(address) == [(200, b"Hello from WebAssembly!\n")]


def test_two_that_listen_on_80_do_not_collide(docker: Docker, images: None) -> None:
    names = [docker("run", "-d", "-P", image) for image in ("http", "http1", "http")]
    addresses = []
    for name in names:
        listening(docker, name)
        addresses.append(("127.0.0.1", address_of(docker, name, "80/tcp")[1]))
    assert len(set(addresses)) == 3
    for address in addresses:
        assert get(address)[0][0] == 200
    docker("rm", "-f", *names)


def test_udp(docker: Docker, images: None) -> None:
    for image, line in (("wasmedge", "ready"), ("wamr", "ready")):
        words = ("udp", "5353", "1") if image == "wasmedge" else ("udp", "5353")
        container = docker("run", "-d", "-p", "127.0.0.1::5353/udp", image, *words)
        listening(docker, container, line)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.sendto(b"to you", address_of(docker, container, "5353/udp"))
            assert client.recv(64) == b"to you"
        assert docker("wait", container) == "0"
        docker("rm", container)


def test_only_what_is_published_or_exposed_can_be_listened_on(docker: Docker, images: None) -> None:
    lines = docker("run", "--rm", "wasmedge", "rights", "80").splitlines()
    assert lines[:3] == ["open: 0", "bind: 0", "listen: 0"]  # the image exposes it
    lines = docker("run", "--rm", "wasmedge", "rights", "81").splitlines()
    assert lines[1:3] == ["bind: 2", "listen: 2"]
    lines = docker("run", "--rm", "--expose", "81", "wasmedge", "rights", "81").splitlines()
    assert lines[1:3] == ["bind: 0", "listen: 0"]
    lines = docker("run", "--rm", "--user", "1000", "wasmedge", "rights", "80").splitlines()
    assert lines[1:3] == ["bind: 0", "listen: 0"]


def test_no_network_and_the_hosts(docker: Docker, images: None) -> None:
    lines = docker("run", "--rm", "--network", "none", "wasmedge", "rights", "80").splitlines()
    assert lines == [f"open: {NOTCAPABLE}", f"getaddrinfo: {NOTCAPABLE}"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(DEADLINE)
        port = str(listener.getsockname()[1])
        container = docker("run", "-d", "--network", "host", "wasmedge", "fetch", "127.0.0.1", port)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(64).upper())
    assert docker("wait", container) == "0"
    assert docker("logs", container).splitlines() == [f"peer 4 {port}", "HELLO"]
    docker("rm", container)


def test_names_of_the_container_and_of_others(docker: Docker, images: None) -> None:
    def resolve(*options: str, name: str) -> str:
        return docker("run", "--rm", *options, "wasmedge", "resolve", name, "80", "1")

    assert resolve("--add-host", "friend:192.0.2.7", name="friend") == "1 2 1: 80 192.0.2.7"
    assert resolve(name="localhost") == "1 2 1: 80 127.0.0.1"
    own = docker("run", "--rm", "--hostname", "me", "wasmedge", "resolve", "me", "80", "1")
    assert own.startswith("1 2 1: 80 ")
    docker("network", "create", "together")
    docker("run", "-d", "--name", "webserver", "--network", "together", "http")
    listening(docker, "webserver")
    inside = docker("inspect", "-f", "{{.NetworkSettings.Networks.together.IPAddress}}", "webserver")
    assert resolve("--network", "together", name="webserver") == f"1 2 1: 80 {inside}"
    docker("rm", "-f", "webserver")
    docker("network", "rm", "together")


def test_an_unprivileged_engine_gives_the_hosts_network_or_none(images: None, docker: Docker) -> None:
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")), user=64323)
    os.chown(daemon.folder, 64323, 64323)
    daemon.environ = {"HOME": str(daemon.folder), "XDG_RUNTIME_DIR": str(daemon.folder)}
    try:
        user = Docker(daemon.start())
        archive = daemon.folder / "images.tar"
        docker("save", "-o", archive, "wasmedge")
        os.chown(archive, 64323, 64323)
        user("load", "-q", "-i", archive)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        container = user("run", "-d", "--network", "host", "wasmedge", "tcp", str(port), "1")
        until(lambda: "ready" in user("logs", container), "the guest listens")
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(b"of a user's own")
            assert connection.recv(64) == b"of a user's own"
        assert user("wait", container) == "0"
        lines = user("run", "--rm", "--network", "none", "wasmedge", "rights", str(port)).splitlines()
        assert lines[0] == f"open: {NOTCAPABLE}"
        user("rm", container)
    finally:
        assert daemon.stop() == 0
        shutil.rmtree(daemon.folder)
