"""IPv6, for containers of both kinds: published ports, and networks that have it."""

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import check_tools, inspect, serve
from tests.integration.test_networks_wasm import BODY, EXAMPLE, build, start
from tests.linux_images import busybox_context

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bridges are root's to make")


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``box`` of busybox, and the example's server as ``edge``."""
    check_tools()
    folder = tmp_path_factory.mktemp("ipv6")
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    build(docker, folder / "edge", "edge", EXAMPLE / "server.c", (EXAMPLE / "Dockerfile").read_text())
    yield
    docker.run("rm", "-f", *docker("ps", "-aq").split())
    docker("network", "prune", "-f")


def fetch(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
        return answer.read().decode().strip()


def port_of(docker: Docker, name: str, beginning: str) -> int:
    """The host's port at the address that is shown with this ``beginning``."""
    (found,) = [line for line in docker("port", name).splitlines() if f"-> {beginning}" in line]
    return int(found.rpartition(":")[2])


def test_a_port_is_published_at_every_address_of_ipv6_too(daemon: Daemon, docker: Docker, images: None) -> None:
    serve(docker, "linux", "-p", "80", text="by proxy")
    start(docker, "wasm", "-p", "80", "edge")
    for name, said in (("linux", "by proxy"), ("wasm", BODY)):
        port = port_of(docker, name, "0.0.0.0")
        assert port_of(docker, name, "[::]") == port
        assert {"HostIp": "::", "HostPort": str(port)} in inspect(docker, name)["NetworkSettings"]["Ports"]["80/tcp"]
        shown = docker("ps", "--filter", f"name={name}", "--format", "{{.Ports}}")
        assert f"0.0.0.0:{port}->80/tcp" in shown
        assert f"::{'' if '[::]' not in shown else ']'}:{port}->80/tcp" in shown
        for host in ("127.0.0.1", "[::1]"):
            assert fetch(host, port) == said
    daemon.kill()
    assert fetch("127.0.0.1", port) == BODY
    daemon.start()
    assert fetch("[::1]", port) == BODY
    docker("rm", "-f", "linux", "wasm")
    with socket.create_server(("::", port), family=socket.AF_INET6):
        pass


def test_one_address_of_ipv6_alone(docker: Docker, images: None) -> None:
    serve(docker, "six", "-p", "[::1]:18097:80")
    assert fetch("[::1]", 18097) == "six"
    with pytest.raises(OSError):
        fetch("127.0.0.1", 18097)
    assert docker("port", "six") == "80/tcp -> [::1]:18097"
    taken = docker.fails("run", "--rm", "-p", "[::]:18097:80", "box", "true", code=125)
    assert "Bind for [::]:18097 failed: port is already allocated" in taken
    four = docker("run", "--rm", "-p", "127.0.0.1:18097:80", "box", "echo", "another family's")
    assert four == "another family's"
    assert "invalid" in docker.fails("create", "-p", "[::zz]:1:80", "box").lower()
    docker("stop", "-t", "0", "six")
    with pytest.raises(OSError):
        fetch("[::1]", 18097)
    docker("start", "six")
    until(lambda: answers("[::1]", 18097), "it is there again")
    docker("rm", "-f", "six")


def answers(host: str, port: int) -> bool:
    try:
        return bool(fetch(host, port))
    except OSError:
        return False


def test_udp(docker: Docker, images: None, tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "data/udp_echo.c"
    subprocess.run(["gcc", "-static", "-O1", "-o", tmp_path / "echo", source], check=True)
    options = ("-p", "5353/udp", "-v", f"{tmp_path}:/bin/echo-folder:ro")
    docker("run", "-d", "--name", "echo", *options, "box", "/bin/echo-folder/echo", "5353")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("::1", port_of(docker, "echo", "[::]")))

        def echoed() -> bool:
            try:
                client.send(b"ping")
                return client.recv(10) == b"ping"
            except OSError:
                return False

        until(echoed, "the datagram comes back")
    docker("rm", "-f", "echo")
