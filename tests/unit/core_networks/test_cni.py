"""What CNI's plugins are told and how their answers are taken; plugins that are missing, fail, or talk nonsense."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wherry.core.networks.cni import CniConfig, CniDriver, configurations, locked, read_result, result_of
from wherry.core.networks.network import Endpoint, Network, PublishedPort
from wherry.core.networks.plugins import Place, PluginConfig, Plugins, run_program
from wherry.errors import Conflict, FailedPrecondition, Unavailable

NETWORK = Network("ab" * 32, "n", "bridge", 1, subnet="10.1.0.0/16", gateway="10.1.0.1", link="br-abababababab")
ENDPOINT = Endpoint("cd" * 32, NETWORK.id, "ef" * 32, "eth0")
PLACE = Place("owner", "/nowhere", "eth0")
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "br"}, {"name": "veth1"}, {"name": "eth0", "mac": "02:42:00:00:00:02", "sandbox": "/n"}],
    "ips": [{"interface": 2, "address": "10.1.0.2/16", "gateway": "10.1.0.1"}],
}


def test_a_plain_endpoint() -> None:
    bridge, firewall = configurations(NETWORK, ENDPOINT, "/leases")
    assert (bridge["bridge"], bridge["isGateway"], bridge["ipMasq"]) == ("br-abababababab", True, True)
    ipam = bridge["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}]
    assert "runtimeConfig" not in bridge
    assert firewall["ingressPolicy"] == "same-bridge"


def test_all_that_can_be_wanted() -> None:
    network = replace(NETWORK, ip_range="10.1.2.0/24", mtu=1400, internal=True)
    ports = (PublishedPort(80, "tcp", "127.0.0.1", 8080), PublishedPort(53, "udp", "0.0.0.0", 53))
    wanted = replace(ENDPOINT, ports=ports, wanted_address="10.1.2.9", wanted_mac="02:00:00:00:00:01")
    bridge, _, portmap = configurations(network, wanted, "/leases")
    assert (
        bridge["ipam"]["ranges"][0][0] | {"rangeStart": "10.1.2.0", "rangeEnd": "10.1.2.255"}
        == (bridge["ipam"]["ranges"][0][0])
    )
    assert (bridge["mtu"], bridge["ipMasq"], bridge["ipam"]["routes"]) == (1400, False, [])
    assert bridge["runtimeConfig"] == {"ips": ["10.1.2.9/16"], "mac": "02:00:00:00:00:01"}
    assert portmap["runtimeConfig"]["portMappings"] == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp"},
    ]


def test_ipv6_beside_ipv4() -> None:
    network = replace(NETWORK, subnet6="fd00:1::/64", gateway6="fd00:1::1", ip_range6="fd00:1::100/120")
    bridge, _ = configurations(network, replace(ENDPOINT, wanted_address6="fd00:1::109"), "/leases")
    assert bridge["ipam"]["ranges"][1] == [
        {"subnet": "fd00:1::/64", "gateway": "fd00:1::1", "rangeStart": "fd00:1::100", "rangeEnd": "fd00:1::1ff"}
    ]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    assert bridge["runtimeConfig"] == {"ips": ["fd00:1::109/64"]}
    given = [{"interface": 2, "address": "fd00:1::109/64", "gateway": "fd00:1::1"}, *RESULT["ips"]]
    found = read_result(ENDPOINT, {**RESULT, "ips": given})
    assert (found.address, found.address6, found.prefix6, found.gateway6) == (
        "10.1.0.2", "fd00:1::109", 64, "fd00:1::1",
    )  # fmt: skip
    assert [one["address"] for one in result_of(network, found, "/n")["ips"]] == ["10.1.0.2/16", "fd00:1::109/64"]
    with pytest.raises(Unavailable, match="names no address"):
        read_result(ENDPOINT, {**RESULT, "ips": given[:1]})
    at_six = replace(ENDPOINT, ports=(PublishedPort(80, "tcp", "::", 8080),))
    assert [plugin["type"] for plugin in configurations(network, at_six, "/leases")] == ["bridge", "firewall"]


def test_a_result_is_read_and_told_again() -> None:
    found = read_result(ENDPOINT, RESULT)
    assert (found.address, found.prefix, found.gateway, found.mac) == ("10.1.0.2", 16, "10.1.0.1", "02:42:00:00:00:02")
    again = result_of(NETWORK, found, "/n")
    assert again["ips"] == [{"interface": 1, "address": "10.1.0.2/16"}]
    assert result_of(NETWORK, ENDPOINT, "/n")["ips"] == []


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"ips": []},
        {"ips": "x", "interfaces": []},
        {**RESULT, "ips": [{"address": "::1/64"}]},
        {**RESULT, "interfaces": [{"name": "eth0"}]},
        {**RESULT, "interfaces": ["eth0"]},
        {**RESULT, "ips": [{"address": "10.1.0.2/16", "gateway": "x"}]},
    ],
)
def test_a_result_that_is_none(result: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="names no address"):
        read_result(ENDPOINT, result)


def plugins(folder: Path, **scripts: str) -> Plugins:
    """Plugins that are shell scripts."""
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return Plugins(PluginConfig(folders=(str(folder),), timeout=2.0))


async def test_a_plugin_hears_what_is_meant(tmp_path: Path) -> None:
    made = plugins(tmp_path, bridge='echo "{\\"heard\\": \\"$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME\\"}"')
    assert await made.add({"type": "bridge"}, PLACE) == {"heard": "ADD owner /nowhere eth0"}


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ('echo \'{"code": 7, "msg": "no", "details": "way"}\'; exit 1', Unavailable, "bridge failed: no: way"),
        ("echo gone >&2; exit 1", Unavailable, "bridge failed: gone"),
        ("exit 3", Unavailable, "it said nothing"),
        ("echo '[5]'; exit 0", Unavailable, "answered with no result"),
        ("echo nonsense; exit 0", Unavailable, "answered with no result"),
        ("exec sleep 60", Unavailable, "took over 2 seconds"),
        (
            'echo \'{"msg": "exec: iptables: executable file not found"}\'; exit 1',
            FailedPrecondition,
            "install iptables",
        ),
    ],
)
async def test_a_plugin_that_fails(tmp_path: Path, script: str, kind: type[Exception], words: str) -> None:
    made = plugins(tmp_path, bridge=script)
    with pytest.raises(kind, match=words):
        await made.add({"type": "bridge"}, PLACE)


async def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="'portmap' is not installed: install containernetworking-plugins"):
        await plugins(tmp_path).add({"type": "portmap"}, PLACE)
    with pytest.raises(FailedPrecondition, match=r"iptables-restore is not installed.*: install iptables"):
        await run_program("iptables-restore", (), b"", PluginConfig(path=str(tmp_path)))
    with pytest.raises(Unavailable, match="false failed: it said nothing"):
        await run_program("false", (), b"", PluginConfig())


async def test_a_failed_attach_takes_back_what_there_is(tmp_path: Path) -> None:
    said = 'echo "$CNI_COMMAND $0" >> {log}; '.format(log=tmp_path / "log")
    answer = RESULT | {"interfaces": [{"name": "eth0", "mac": "", "sandbox": "/n"}]}
    made = plugins(
        tmp_path,
        bridge=f"{said} cat > /dev/null; [ $CNI_COMMAND = DEL ] || echo '{json.dumps(answer)}'",
        firewall=f"{said} [ $CNI_COMMAND = DEL ]",
    )
    driver = CniDriver(CniConfig(str(tmp_path / "leases"), str(tmp_path / "lock")), made)
    with pytest.raises(Unavailable, match="firewall failed"):
        await driver.attach(NETWORK, ENDPOINT, "/nowhere")
    log = await asyncio.to_thread((tmp_path / "log").read_text)
    commands = [f"{line.split()[0]} {os.path.basename(line.split()[1])}" for line in log.splitlines()]
    assert commands[0] == "ADD bridge"
    assert {"DEL bridge", "DEL firewall"} <= set(commands)
    assert commands.count("ADD firewall") == 3


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    text = '{"msg": "failed to allocate for range 0: requested IP address 10.1.0.9 is not available in range set x"}'
    made = plugins(tmp_path, bridge=f"[ $CNI_COMMAND = DEL ] || {{ echo '{text}'; exit 1; }}", firewall="exit 0")
    driver = CniDriver(CniConfig(str(tmp_path / "leases"), str(tmp_path / "lock")), made)
    with pytest.raises(Conflict, match="Address already in use"):
        await driver.attach(NETWORK, ENDPOINT, "/nowhere")


def test_a_lock_that_is_held_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "networks.lock")
    with locked(path, 1), pytest.raises(Unavailable, match="another engine of this machine holds"), locked(path, 0.05):
        raise AssertionError("two have it")
    with locked(path, 0):
        pass
