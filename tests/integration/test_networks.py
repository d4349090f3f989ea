"""Networks by CNI's real plugins, driven by the docker CLI: names, published ports, connecting, what is left behind."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import (
    address_of,
    answers,
    check_tools,
    fetch,
    inspect,
    left_on_host,
    own_marks,
    serve,
    serve_echo,
    until_echoed,
)
from tests.linux_images import busybox_context

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="bridges are root's to make")


@pytest.fixture(scope="module")
def box(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of busybox; afterwards no container and no network of the tests is left."""
    check_tools()
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    yield "box"
    docker.run("rm", "-f", *docker("ps", "-aq").split())
    docker("network", "prune", "-f")


@pytest.fixture
def net(docker: Docker, box: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A network that only this test uses; its containers are removed with it."""
    name = request.node.name.replace("[", "-").replace("]", "")[:40]
    docker("network", "create", name)
    yield name
    left = docker("ps", "-aq", "--filter", f"network={name}").split()
    if left:
        docker("rm", "-f", *left)
    docker("network", "rm", name)


def test_a_container_has_an_address_and_a_way_out(docker: Docker, box: str) -> None:
    told = docker("run", "--rm", "--name", "alone", "box", "sh", "-c", "ip -4 addr show eth0; ip route; cat /etc/hosts")
    document = json.loads(docker("network", "inspect", "bridge"))[0]
    gateway = document["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway} dev eth0" in told
    assert f"inet {gateway.rpartition('.')[0]}." in told
    assert "127.0.0.1\tlocalhost" in told
    assert document["Containers"] == {}


def test_containers_find_each_other_by_name_and_alias(docker: Docker, net: str) -> None:
    serve(docker, "web-a", "--network", net, "--network-alias", "site")
    ask = "wget -qO- http://web-a/; wget -qO- http://site/; wget -qO- http://WEB-A.{}/; cat /etc/resolv.conf"
    told = docker("run", "--rm", "--network", net, "box", "sh", "-c", ask.format(net))
    assert told.splitlines()[:3] == ["web-a"] * 3
    assert "nameserver 127.0.0.11" in told
    address = address_of(docker, "web-a", net)
    assert f"web-a.{net}" in docker("run", "--rm", "--network", net, "box", "nslookup", address)
    missing = docker.run("run", "--rm", "--network", net, "box", "nslookup", "nobody.invalid")
    assert missing.returncode != 0
    docker("rename", "web-a", "web-b")
    assert docker("run", "--rm", "--network", net, "box", "wget", "-qO-", "http://web-b/") == "web-a"


def test_links_are_names_of_ones_own(docker: Docker, net: str) -> None:
    look = ("wget", "-q", "-O", "-")
    serve(docker, "linked", "--network", net, text="by a link")
    alias = docker("run", "--rm", "--network", net, "--link", "linked:other", "box", *look, "http://other/")
    assert alias == "by a link"
    assert docker.run("run", "--rm", "--network", net, "box", *look, "http://other/").returncode != 0
    serve(docker, "plain", text="on the bridge")
    docker("run", "-d", "--name", "linking", "--link", "plain:old", "--link", "plain", "box", "sleep", "100")
    assert docker("exec", "linking", *look, "http://old/") == "on the bridge"
    assert docker("exec", "linking", *look, "http://plain/") == "on the bridge"
    docker("rm", "-f", "linked", "plain", "linking")


def test_networks_are_apart(docker: Docker, net: str) -> None:
    serve(docker, "far", "--network", net)
    address = address_of(docker, "far", net)
    # As a child of the first process, which a signal without a handler would not end.
    ask = f"timeout 1 wget -qO- http://{address}/ || echo cut off"
    assert docker("run", "--rm", "box", "sh", "-c", ask) == "cut off"
    assert docker.run("run", "--rm", "box", "nslookup", "far").returncode != 0


def test_a_published_port_is_reachable_and_told(docker: Docker, net: str) -> None:
    serve(docker, "published", "--network", net, "-p", "127.0.0.1:18085:80", "-p", "80", "--expose", "9000")
    assert fetch(18085) == "published"
    ports = inspect(docker, "published")["NetworkSettings"]["Ports"]
    assert ports["9000/tcp"] is None
    chosen = next(entry["HostPort"] for entry in ports["80/tcp"] if entry["HostIp"] == "0.0.0.0")
    assert fetch(int(chosen)) == "published"
    assert "127.0.0.1:18085" in docker("port", "published", "80").splitlines()
    shown = docker("ps", "--filter", "name=published", "--format", "{{.Ports}}")
    assert "127.0.0.1:18085->80/tcp" in shown
    assert f"0.0.0.0:{chosen}->80/tcp" in shown
    assert "9000/tcp" in shown
    taken = docker.fails("run", "--rm", "-p", "18085:80", "box", "true", code=125)
    assert "driver failed programming external connectivity on endpoint" in taken
    assert "Bind for 0.0.0.0:18085 failed: port is already allocated" in taken
    docker("stop", "-t", "0", "published")
    assert docker("port", "published") == ""
    with pytest.raises(OSError):
        fetch(18085)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 18085))
        free.listen()
        said = docker.fails("start", "published", code=1)
        assert "failed to bind host port for 127.0.0.1:18085/tcp: address already in use" in said
    docker("start", "published")
    until(lambda: answers(18085), "the server listens again")


def test_udp_at_a_port_that_was_chosen(docker: Docker, net: str, tmp_path: Path) -> None:
    serve_echo(docker, tmp_path, "--network", net, "-p", "127.0.0.1::5353/udp")
    address, _, port = docker("port", "echo", "5353/udp").rpartition(":")
    assert address == "127.0.0.1"
    until_echoed(socket.AF_INET, address, int(port))


def test_all_exposed_ports_at_once(docker: Docker, net: str) -> None:
    serve(docker, "exposing", "--network", net, "-P", "--expose", "80")
    assert fetch(int(docker("port", "exposing", "80").splitlines()[0].rpartition(":")[2])) == "exposing"


def test_connect_and_disconnect(docker: Docker, net: str) -> None:
    serve(docker, "rover")
    docker("network", "connect", "--alias", "wanderer", net, "rover")
    members = json.loads(docker("network", "inspect", net))[0]["Containers"]
    assert [member["Name"] for member in members.values()] == ["rover"]
    ask = ("run", "--rm", "--network", net, "box", "wget", "-qO-", "http://wanderer/")
    assert docker(*ask) == "rover"
    assert "endpoint with name rover already exists" in docker.fails("network", "connect", net, "rover")
    docker("network", "disconnect", "bridge", "rover")
    assert "default via" in docker("exec", "rover", "ip", "route")
    assert list(inspect(docker, "rover")["NetworkSettings"]["Networks"]) == [net]
    docker("network", "disconnect", net, "rover")
    assert "eth" not in docker("exec", "rover", "ip", "link")
    assert "is not connected to network" in docker.fails("network", "disconnect", net, "rover")
    docker("network", "connect", net, "rover")
    docker("restart", "-t", "0", "rover")
    assert address_of(docker, "rover", net)


def test_a_network_of_ones_own_choice(docker: Docker, box: str) -> None:
    docker("network", "create", "--subnet", "10.231.0.0/24", "--gateway", "10.231.0.254", "--label", "a=b",
           "--opt", "com.docker.network.driver.mtu=1400", "mine")  # fmt: skip
    try:
        look = "ip addr show eth0; cat /etc/hosts; hostname; cat /etc/resolv.conf"
        place = ("--network", "mine", "--ip", "10.231.0.7", "--mac-address", "02:42:00:00:00:07", "--hostname", "ship")
        names = ("--add-host", "quay:10.9.8.7", "--add-host", "home:host-gateway", "--dns-search", "sea.example")
        told = docker("run", "--rm", *place, *names, "--dns", "192.0.2.99", "box", "sh", "-c", look)
        hosts = ("10.9.8.7\tquay", "10.231.0.254\thome", "10.231.0.7\tship", "search sea.example")
        for words in ("inet 10.231.0.7/24", "02:42:00:00:00:07", "mtu 1400", *hosts):
            assert words in told, words
        assert docker("network", "ls", "--filter", "label=a=b", "--format", "{{.Name}} {{.Driver}}") == "mine bridge"
        taken = docker.fails("network", "create", "--subnet", "10.231.0.128/25", "other")
        assert "Pool overlaps with other one on this address space" in taken
        assert "network with name mine already exists" in docker.fails("network", "create", "mine")
        user = ("run", "--rm", "--network", "mine", "--ip", "10.231.0.7", "box")
        docker("run", "-d", "--name", "holder", "--network", "mine", "--ip", "10.231.0.7", "box", "sleep", "60")
        assert "Address already in use" in docker.fails(*user, "true", code=125)
        assert "network mine has active endpoints" in docker.fails("network", "rm", "mine")
    finally:
        docker("rm", "-f", "holder")
        docker("network", "rm", "mine")


def test_inside_only(docker: Docker, box: str) -> None:
    docker("network", "create", "--internal", "inner")
    try:
        serve(docker, "hidden", "--network", "inner")
        told = docker("run", "--rm", "--network", "inner", "box", "sh", "-c", "wget -qO- http://hidden/; ip route")
        assert told.splitlines()[0] == "hidden"
        assert "default" not in told
    finally:
        docker("rm", "-f", "hidden")
        docker("network", "rm", "inner")


def test_the_hosts_network_none_and_another_containers(docker: Docker, net: str) -> None:
    assert "eth0" in docker("run", "--rm", "--network", "host", "box", "ip", "link")
    assert "eth" not in docker("run", "--rm", "--network", "none", "box", "ip", "link")
    serve(docker, "lender", "--network", net)
    joined = ("run", "--rm", "--network", "container:lender", "box")
    assert docker(*joined, "wget", "-qO-", "http://127.0.0.1/") == "lender"
    assert "conflicting options: port publishing" in docker.fails(*joined[:-1], "-p", "1:1", "box", "true", code=125)
    assert "No such container: nope" in docker.fails("run", "--network", "container:nope", "box", "true", code=125)


def test_what_is_refused(docker: Docker, box: str) -> None:
    for arguments, words in (
        (("network", "rm", "bridge"), "bridge is a pre-defined network and cannot be removed"),
        (("network", "rm", "nothing"), "network nothing not found"),
        (("network", "create", "host"), "operation is not permitted on predefined host network"),
        (("network", "create", "-d", "overlay", "x"), "could not find plugin overlay"),
        (("network", "create", "--subnet", "10.0.0.0/33", "x"), "10.0.0.0/33"),
        (("network", "connect", "host", "nothing"), "host network"),
        (("network", "connect", "bridge", "nothing"), "No such container: nothing"),
    ):
        assert words in docker.fails(*arguments), arguments
    assert "user specified IP address is supported on user defined networks only" in docker.fails(
        "run", "--ip", "10.1.1.1", "box", "true", code=125
    )


def test_prune_takes_what_nobody_uses(docker: Docker, net: str) -> None:
    docker("network", "create", "--label", "prune=me", "idle")
    docker("create", "--name", "user", "--network", net, "box", "true")
    assert docker("network", "prune", "-f", "--filter", "label=prune=me").split()[-1] == "idle"
    docker("network", "prune", "-f")
    assert net in docker("network", "ls", "--format", "{{.Name}}").split()
    docker("rm", "user")


def test_an_engine_that_was_killed_leaves_nothing_for_good(fresh_daemon: Daemon, fresh_docker: Docker,
                                                           tmp_path: Path) -> None:  # fmt: skip
    docker = fresh_docker
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
    docker("network", "create", "lasting")
    serve(docker, "goes-on", "--network", "lasting", "-p", "127.0.0.1:18086:80")
    docker("run", "-d", "--name", "dies", "--network", "lasting", "box", "sleep", "1000")
    marks = own_marks(docker)
    assert len(left_on_host(marks)) > 4
    victim = inspect(docker, "dies")["State"]["Pid"]
    fresh_daemon.kill()
    os.kill(victim, 9)
    fresh_daemon.start()
    assert fetch(18086) == "goes-on"
    assert docker("port", "goes-on") == "80/tcp -> 127.0.0.1:18086"
    until(lambda: not inspect(docker, "dies")["State"]["Running"], "the dead container is seen")
    assert address_of(docker, "dies", "lasting") == ""
    assert docker("exec", "goes-on", "wget", "-qO-", "http://goes-on/") == "goes-on"
    assert docker("run", "--rm", "--network", "lasting", "box", "wget", "-qO-", "http://goes-on/") == "goes-on"
    docker("rm", "-f", "goes-on", "dies")
    docker("network", "rm", "lasting")
    assert fresh_daemon.stop() == 0
    assert left_on_host(marks) == []


def test_killed_in_the_middle_of_starts(fresh_daemon: Daemon, fresh_docker: Docker, tmp_path: Path) -> None:
    docker = fresh_docker
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
    docker("network", "create", "busy")
    docker("run", "-d", "--name", "steady", "--network", "busy", "box", "sleep", "1000")
    marks = own_marks(docker)
    quiet = len(left_on_host(marks))
    for delay, life in ((0.3, "1000"), (0.9, "1")):
        options = ("-d", "--network", "busy", "-p", "80", "box", "sleep", life)
        running = [docker.popen("run", *options, stdout=-3, stderr=-3) for _ in range(6)]
        time.sleep(delay)  # into the middle of whatever that is on this machine
        fresh_daemon.kill()
        for process in running:
            process.wait(60)
        fresh_daemon.start()
        others = [name for name in docker("ps", "-a", "--format", "{{.Names}}").split() if name != "steady"]
        if others:
            docker("rm", "-f", *others)
        members = json.loads(docker("network", "inspect", "busy"))[0]["Containers"]
        assert [member["Name"] for member in members.values()] == ["steady"]
        assert len(left_on_host(marks)) == quiet, left_on_host(marks)
    docker("rm", "-f", "steady")
    docker("network", "rm", "busy")
    assert fresh_daemon.stop() == 0
    assert left_on_host(marks) == []


def test_the_plugins_package_is_named(fresh_daemon: Daemon, fresh_docker: Docker, tmp_path: Path) -> None:
    assert shutil.which("unshare"), "unshare is not installed: install util-linux"
    fresh_docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
    fresh_daemon.stop()
    hide = ["unshare", "--mount", "--propagation", "slave", "sh", "-c",
            'mount -t tmpfs none /usr/lib/cni && exec "$@"', "sh"]  # fmt: skip
    fresh_daemon.wrapper = hide
    fresh_daemon.start()
    said = fresh_docker.fails("run", "--rm", "box", "true", code=125)
    assert "network plugin 'bridge' is not installed: install containernetworking-plugins" in said
    assert fresh_docker("run", "--rm", "--network", "none", "box", "echo", "fine") == "fine"
