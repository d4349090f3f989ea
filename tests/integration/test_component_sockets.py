"""A Python program made a component by componentize-py: files, TCP, UDP and names, under the container's policy."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.components import componentize_python
from tests.integration.conftest import DATA, DEADLINE, Docker, until


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("context")
    made = componentize_python(DATA / "component_app.py", tmp_path_factory.mktemp("made"))
    made.rename(folder / "app.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT ["/app.wasm"]\n')
    docker("build", "-q", "-t", "app", folder)
    yield "app"
    for container in docker("ps", "-aq").split():
        docker("rm", "-f", container)


def run(docker: Docker, *words: object) -> str:
    return docker("run", "--rm", *words)


@pytest.fixture
def ponging() -> Iterator[int]:
    """The port of a TCP server on loopback that answers once, and of a UDP one beside it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))

            def tcp() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"pong " + connection.recv(100))

            def udp() -> None:
                data, address = datagrams.recvfrom(100)
                datagrams.sendto(b"pong " + data, address)

            for answer in (tcp, udp):
                threading.Thread(target=answer, daemon=True).start()
            yield port


def test_files(docker: Docker, image: str) -> None:
    assert run(docker, "--tmpfs", "/work", image, "files", "/work") == "['made'] by Python"


def test_it_calls_out_by_tcp_and_udp(docker: Docker, image: str, ponging: int) -> None:
    assert run(docker, "--network", "host", image, "connect", "127.0.0.1", ponging) == "pong ping"
    assert run(docker, "--network", "host", image, "udp", "127.0.0.1", ponging) == "pong ping"


def test_names(docker: Docker, image: str) -> None:
    assert run(docker, "--add-host", "quay:10.9.8.7", image, "name", "quay") == "10.9.8.7"


def test_what_is_not_granted_is_refused(docker: Docker, image: str, ponging: int) -> None:
    without = ("--network", "host", "--cap-drop", "network", image)
    assert run(docker, *without, "connect", "127.0.0.1", ponging).startswith("PermissionError")
    assert run(docker, *without, "udp", "127.0.0.1", ponging).startswith("PermissionError")
    assert "Error" in run(docker, "--network", "none", image, "connect", "127.0.0.1", ponging)


def test_it_serves_at_a_published_port_and_at_no_other(docker: Docker, image: str) -> None:
    serving = docker("run", "-d", "-p", "127.0.0.1::80", image, "serve", 80)
    until(lambda: "listening" in docker("logs", serving), "it listens", DEADLINE)
    host, port = docker("port", serving, "80").rsplit(":", 1)
    for _ in range(2):
        with socket.create_connection((host, int(port)), DEADLINE) as connection:
            connection.sendall(b"ahoy")
            assert connection.recv(100) == b"you said ahoy"
    docker("rm", "-f", serving)
    assert run(docker, "-p", "127.0.0.1::80", image, "serve", 81).startswith("PermissionError")
