"""`wherry network`, `wherry port` and what `run` says of networks, against a made-up engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_engine import FakeEngine, fake_engine
from wherry.cli import network_values
from wherry.cli.guard import run
from wherry.errors import InvalidArgument

ID = "0123456789abcdef" * 4


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with fake_engine(tmp_path) as running:
        yield running


def wherry(engine: FakeEngine, *words: str) -> int:
    return run(words, {"WHERRY_HOST": engine.host})


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Id": ID, "Driver": "bridge", "Scope": "local", "Internal": False, "EnableIPv6": False,
            "Created": "2026-01-01T00:00:00Z", "Labels": {"a": "b"}, **more}  # fmt: skip


def test_networks_are_listed_by_name(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("GET", "/networks", [entry("front"), entry("back")])
    assert wherry(engine, "network", "ls") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [line.split()[1] for line in lines[1:]] == ["back", "front"]
    assert wherry(engine, "network", "ls", "-q") == 0
    assert capfd.readouterr().out == f"{ID[:12]}\n" * 2
    assert wherry(engine, "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Labels}} {{.Internal}}") == 0
    assert capfd.readouterr().out == f"{ID} a=b false\n" * 2


def test_a_network_is_made(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/networks/create", {"Id": ID, "Warning": ""})
    options = ("--subnet", "10.1.0.0/16", "--gateway", "10.1.0.9", "--internal", "--label", "k=v", "-o", "x=y")
    assert wherry(engine, "network", "create", *options, "front") == 0
    assert capfd.readouterr().out == f"{ID}\n"
    sent = engine.requests[-1].json
    assert sent["IPAM"]["Config"] == [{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.9"}]
    assert (sent["Name"], sent["Internal"], sent["Labels"], sent["Options"]) == ("front", True, {"k": "v"}, {"x": "y"})


def test_connect_disconnect_and_remove(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/networks/front/connect", None)
    engine.on("POST", "/networks/front/disconnect", None)
    engine.on("DELETE", "/networks/front", None)
    assert wherry(engine, "network", "connect", "--alias", "site", "--ip", "10.1.0.7", "front", "web") == 0
    sent = engine.requests[-1].json
    assert sent["Container"] == "web"
    assert sent["EndpointConfig"]["Aliases"] == ["site"]
    assert sent["EndpointConfig"]["IPAMConfig"] == {"IPv4Address": "10.1.0.7"}
    assert wherry(engine, "network", "disconnect", "-f", "front", "web") == 0
    assert engine.requests[-1].json == {"Container": "web", "Force": True}
    assert wherry(engine, "network", "rm", "front") == 0
    assert capfd.readouterr().out == "front\n"
    assert wherry(engine, "network", "rm", "nothing") == 1
    assert wherry(engine, "network", "rm", "-f", "nothing") == 0
    assert wherry(engine, "network", "rm", "..") == 1


def test_where_the_host_has_ports(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    places = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    ports = {"443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}], "80/tcp": places, "53/udp": None}
    engine.on("GET", "/containers/web/json", {"NetworkSettings": {"Ports": ports}})
    assert wherry(engine, "port", "web") == 0
    assert capfd.readouterr().out.splitlines() == [
        "80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080", "443/tcp -> 127.0.0.1:1"
    ]  # fmt: skip
    assert wherry(engine, "port", "web", "443") == 0
    assert capfd.readouterr().out == "127.0.0.1:1\n"
    for wrong, words in (("53/udp", "no public port '53/udp' published for web"), ("x", "invalid port 'x'")):
        assert wherry(engine, "port", "web", wrong) == 1
        assert words in capfd.readouterr().err


def test_networks_of_a_new_container() -> None:
    assert network_values.networks((), (), "", "") == ("default", {})
    assert network_values.networks(("front",), (), "", "") == ("front", {})
    asked = ("front", "name=back,alias=b,alias=c,driver-opt=k=v")
    mode, endpoints = network_values.networks(asked, ("f",), "10.0.0.1", "")
    assert mode == "front"
    assert endpoints == {
        "front": {"Aliases": ["f"], "IPAMConfig": {"IPv4Address": "10.0.0.1"}},
        "back": {"Aliases": ["b", "c"], "DriverOpts": {"k": "v"}},
    }
    mode, endpoints = network_values.networks(("front", "name=b,ip6=fd00::2,ip=10.1.0.2"), (), "", "", "fd00::1")
    assert endpoints == {
        "front": {"IPAMConfig": {"IPv6Address": "fd00::1"}},
        "b": {"IPAMConfig": {"IPv6Address": "fd00::2", "IPv4Address": "10.1.0.2"}},
    }
    for wrong in (("a", "a"), ("alias=b",), ("name=a,colour=red",), ("name=a,ip=",), ("name=a,gw-priority=x",)):
        with pytest.raises(InvalidArgument):
            network_values.networks(wrong, (), "", "")
    with pytest.raises(InvalidArgument, match="conflicting options"):
        network_values.networks(("name=a,ip=10.0.0.1",), (), "10.0.0.2", "")


def test_added_hosts() -> None:
    assert network_values.extra_hosts(["a:1.2.3.4", "b=::1", "c:[::1]"]) == ["a:1.2.3.4", "b:::1", "c:[::1]"]
    for wrong in ("a", "a:", "=x", ":x"):
        with pytest.raises(InvalidArgument):
            network_values.extra_hosts([wrong])
