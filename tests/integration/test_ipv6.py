"""IPv6, for containers of both kinds: published ports, and networks that have it."""

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import BODY, build_servers, inspect, serve, serve_echo, start, until_echoed

SUBNET = "fd00:77:5::/64"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bridges are root's to make")


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    build_servers(docker, tmp_path_factory)
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
    serve_echo(docker, tmp_path, "-p", "5353/udp")
    until_echoed(socket.AF_INET6, "::1", port_of(docker, "echo", "[::]"))
    docker("rm", "-f", "echo")


@pytest.fixture
def net(docker: Docker, images: None) -> Iterator[str]:
    docker("network", "create", "--ipv6", "--subnet", SUBNET, "six")
    yield "six"
    left = docker("ps", "-aq", "--filter", "network=six").split()
    if left:
        docker("rm", "-f", *left)
    docker("network", "rm", "six")


def test_a_network_has_it_beside_ipv4(docker: Docker, net: str) -> None:
    document = json.loads(docker("network", "inspect", net))[0]
    assert document["EnableIPv6"]
    assert document["IPAM"]["Config"][1] == {"Subnet": SUBNET, "Gateway": "fd00:77:5::1"}
    serve(docker, "quay", "--network", net, "--ip6", "fd00:77:5::99", "-p", "80")
    settings = inspect(docker, "quay")["NetworkSettings"]["Networks"][net]
    assert (settings["GlobalIPv6Address"], settings["GlobalIPv6PrefixLen"]) == ("fd00:77:5::99", 64)
    assert settings["IPv6Gateway"] == "fd00:77:5::1"
    assert settings["IPAMConfig"] == {"IPv6Address": "fd00:77:5::99"}
    (member,) = json.loads(docker("network", "inspect", net))[0]["Containers"].values()
    assert member["IPv6Address"] == "fd00:77:5::99/64"
    assert fetch("[fd00:77:5::99]", 80) == "quay"  # from the host
    assert fetch("[::1]", port_of(docker, "quay", "[::]")) == "quay"
    asked = "nslookup -type=aaaa quay; nslookup fd00:77:5::99; wget -qO- http://[fd00:77:5::99]/"
    script = f"{asked}; ip -6 route; cat /etc/hosts"
    told = docker("run", "--rm", "--network", net, "--name", "asking", "box", "sh", "-c", script)
    assert "Address: fd00:77:5::99" in told
    assert f"name = quay.{net}" in told
    assert "\nquay\n" in told
    assert "default via fd00:77:5::1" in told
    assert "\nfd00:77:5::" in told, "its own address in /etc/hosts"


def test_a_module_reaches_it_and_is_reached(docker: Docker, net: str) -> None:
    serve(docker, "pier", "--network", net)
    address = inspect(docker, "pier")["NetworkSettings"]["Networks"][net]["GlobalIPv6Address"]
    found = docker("run", "--rm", "--network", net, "guest", "resolve", "pier", "80", "0").splitlines()
    assert f"2 2 1: 80 ..{address[-1]}" in found, "family 2 is IPv6's, of whose address it tells the ends"
    start(docker, "plain", "--network", net, "plain")
    own = inspect(docker, "plain")["NetworkSettings"]["Networks"][net]["GlobalIPv6Address"]
    assert docker("run", "--rm", "--network", net, "box", "wget", "-qO-", f"http://[{own}]/") == BODY


def test_connecting_and_what_is_refused(docker: Docker, net: str) -> None:
    docker("run", "-d", "--name", "late", "box", "sleep", "1000")
    docker("network", "connect", "--ip6", "fd00:77:5::42", net, "late")
    assert "fd00:77:5::42" in docker("exec", "late", "ip", "-6", "addr", "show", "dev", "eth1")
    taken = docker.fails("run", "--rm", "--network", net, "--ip6", "fd00:77:5::42", "box", "true", code=125)
    assert "Address already in use" in taken
    docker("network", "disconnect", net, "late")
    assert docker("run", "--rm", "--network", net, "--ip6", "fd00:77:5::42", "box", "echo", "free") == "free"
    docker("network", "create", "four")
    refused = docker.fails("run", "--rm", "--network", "four", "--ip6", "fd00::9", "box", "true", code=125)
    assert "network four has no IPv6: it was not made with --ipv6" in refused
    overlap = docker.fails("network", "create", "--ipv6", "--subnet", "fd00:77::/32", "more")
    assert "Pool overlaps" in overlap
    docker("network", "create", "--ipv6", "own")
    subnet = json.loads(docker("network", "inspect", "own"))[0]["IPAM"]["Config"][1]["Subnet"]
    assert subnet.startswith("fd")
    assert "inet6 fd" in docker("run", "--rm", "--network", "own", "box", "ip", "-6", "addr", "show", "eth0")
    docker("rm", "-f", "late")
    docker("network", "rm", "four", "own")


def test_nothing_is_left_of_it(docker: Docker, net: str) -> None:
    address = "fd00:77:5::51"

    def rules() -> list[str]:
        told = subprocess.run(["ip6tables-save"], capture_output=True, text=True, check=True).stdout
        return [line for line in told.splitlines() if address in line]

    container = docker("run", "-d", "--network", net, "--ip6", address, "-p", "80", "box", "sleep", "1000")
    assert rules()
    docker("rm", "-f", container)
    until(lambda: not rules(), "no rule names its address")
