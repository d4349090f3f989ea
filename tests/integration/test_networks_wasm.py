"""WASM containers on networks, beside Linux ones: published ports, names, and nothing of it where nobody asks."""

import os
import socket
from collections.abc import Iterator

import pytest

from tests.fakes.nameserver import Nameserver
from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import BODY, address_of, answers, build_servers, fetch, inspect, serve, start

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bridges are root's to make")


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    build_servers(docker, tmp_path_factory)
    yield
    docker.run("rm", "-f", *docker("ps", "-aq").split())
    docker("network", "prune", "-f")


@pytest.fixture
def net(docker: Docker, images: None) -> Iterator[str]:
    docker("network", "create", "shore")
    yield "shore"
    left = docker("ps", "-aq", "--filter", "network=shore").split()
    if left:
        docker("rm", "-f", *left)
    docker("network", "rm", "shore")


def test_two_servers_on_one_port_and_a_linux_client(docker: Docker, net: str) -> None:
    for name, image in (("one", "edge"), ("two", "plain")):
        start(docker, name, "--network", net, "-P", image)
    for name in ("one", "two"):
        assert docker("run", "--rm", "--network", net, "box", "wget", "-qO-", f"http://{name}/") == BODY
        assert fetch(int(docker("port", name, "80").splitlines()[0].rpartition(":")[2])) == BODY


def test_a_guest_reaches_a_linux_container_by_name(docker: Docker, net: str) -> None:
    serve(docker, "quay", "--network", net, "--network-alias", "pier")
    assert "400 Bad Request" in docker("run", "--rm", "--network", net, "guest", "fetch", "quay", "80")
    assert address_of(docker, "quay", net) in docker(
        "run", "--rm", "--network", net, "guest", "resolve", "pier", "80", "0"
    )


def test_names_that_were_given(docker: Docker, net: str) -> None:
    options = ("--network", net, "--add-host", "buoy:10.9.8.7", "--hostname", "barge")
    assert "10.9.8.7" in docker("run", "--rm", *options, "guest", "resolve", "buoy", "80", "0")
    own = docker("run", "--rm", *options, "guest", "resolve", "barge", "80", "0")
    assert "172." in own or "192.168." in own


@pytest.mark.parametrize("network", ["bridge", "shore"])
def test_the_name_server_that_was_named_is_asked(docker: Docker, net: str, network: str) -> None:
    """By the container itself on the default bridge, by the engine's resolver for it on a network of the user's."""
    docker("run", "-d", "--name", "holder", "--network", network, "box", "sleep", "1000")
    at = inspect(docker, "holder")["NetworkSettings"]["Networks"][network]["Gateway"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((at, 53))
        server = Nameserver(sock, {"lighthouse.example": "10.9.8.7", "buoy.example": "10.9.8.6"})
        try:
            options = ("--network", network, "--dns", at)
            guest = docker("run", "--rm", *options, "guest", "resolve", "lighthouse.example", "80", "0")
            linux = docker("run", "--rm", *options, "box", "nslookup", "buoy.example")
            missing = docker.run("run", "--rm", *options, "box", "nslookup", "nobody.example")
        finally:
            server.close()
            docker("rm", "-f", "holder")
    assert "10.9.8.7" in guest
    assert "10.9.8.6" in linux
    assert missing.returncode != 0
    assert {"lighthouse.example", "buoy.example", "nobody.example"} <= set(server.asked)


def test_who_has_no_use_for_a_network_gets_none(docker: Docker, daemon: Daemon, guest_image: str) -> None:
    docker("run", "-d", "--name", "quiet", guest_image, "sleep")
    try:
        settings = inspect(docker, "quiet")["NetworkSettings"]
        assert (settings["IPAddress"], settings["SandboxKey"]) == ("", "")
        assert list(settings["Networks"]) == ["bridge"]
    finally:
        docker("rm", "-f", "quiet")


def test_a_wasm_server_goes_on_while_the_engine_is_away(daemon: Daemon, docker: Docker, net: str) -> None:
    start(docker, "steady", "--network", net, "-p", "127.0.0.1:18087:80", "edge")
    assert fetch(18087) == BODY
    daemon.kill()
    assert fetch(18087) == BODY
    daemon.start()
    assert docker("run", "--rm", "--network", net, "box", "wget", "-qO-", "http://steady/") == BODY
    docker("restart", "-t", "1", "steady")
    until(lambda: answers(18087), "it serves again")
