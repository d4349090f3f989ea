"""Docker's words for networks, ports and names: read into values, nonsense refused on one line."""

import socket
from ipaddress import IPv6Network
from typing import Any

import pytest

from wherry.core.networks.network import Endpoint, Network, PublishedPort
from wherry.engine.networks import files, ports, settings, views
from wherry.engine.networks.demand import wants_network
from wherry.engine.networks.names import names_of
from wherry.engine.networks.request import check_free_of, network_of
from wherry.engine.spec.network import LISTEN, Joint, joined
from wherry.errors import Conflict, InvalidArgument, PermissionDenied, Unimplemented, WherryError

SIX = {"Name": "n", "EnableIPv6": True}
SUBNET = {"Subnet": "10.0.0.0/24"}
OPTION = "com.docker.network.bridge"
ID = "0123456789ab".ljust(64, "c")


def test_a_network_by_its_name_alone() -> None:
    made = network_of({"Name": "front"}, ID, 5)
    assert (made.name, made.driver, made.created, made.chosen, made.link) == (
        "front",
        "bridge",
        5,
        True,
        "br-0123456789ab",
    )


def test_a_network_with_all_that_can_be_said() -> None:
    options = {
        "com.docker.network.bridge.name": "mine0",
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "of.nobody": "x",
    }
    ipam = {"Config": [{"Subnet": "10.9.1.7/16", "IPRange": "10.9.8.0/24"}]}
    made = network_of({"Name": "n", "IPAM": ipam, "Options": options, "Internal": True, "Labels": {"a": "b"}}, ID, 5)
    assert (made.subnet, made.gateway, made.ip_range, made.chosen) == ("10.9.0.0/16", "10.9.0.1", "10.9.8.0/24", False)
    assert (made.link, made.mtu, made.masquerade, made.host_address) == ("mine0", 1400, False, "127.0.0.1")
    assert made.options == options


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"Name": ""}, InvalidArgument, "invalid network name"),
        ({"Name": "a/b"}, InvalidArgument, "invalid network name"),
        ({"Name": "default"}, InvalidArgument, "invalid network name"),
        ({"Name": "container:x"}, InvalidArgument, "invalid network name"),
        ({"Name": 5}, InvalidArgument, "Name must be a text"),
        ({"Name": "bridge"}, PermissionDenied, "predefined bridge network"),
        ({"Name": "n", "Driver": "host"}, PermissionDenied, "only one instance"),
        ({"Name": "n", "Driver": "overlay"}, InvalidArgument, "could not find plugin overlay"),
        ({"Name": "n", "EnableIPv4": False}, Unimplemented, "without IPv4"),
        ({"Name": "n", "ConfigOnly": True}, Unimplemented, "swarms"),
        ({"Name": "n", "Scope": "swarm"}, InvalidArgument, "scope"),
        ({"Name": "n", "IPAM": {"Driver": "dhcp"}}, InvalidArgument, "IPAM driver 'dhcp'"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "x"}]}}, InvalidArgument, "invalid subnet 'x'"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}}, InvalidArgument, "add --ipv6"),
        ({**SIX, "IPAM": {"Config": [{"Subnet": "fd00::/127"}]}}, InvalidArgument, "no room"),
        ({**SIX, "IPAM": {"Config": [{"Subnet": "fd00::/640"}]}}, InvalidArgument, "invalid subnet"),
        ({**SIX, "IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": "fd01::/64"}]}}, Unimplemented, "one of IPv6"),
        ({**SIX, "IPAM": {"Config": [{"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}]}}, InvalidArgument, "gateway"),
        ({**SIX, "IPAM": {"Config": [{"Subnet": "fd00::/64", "IPRange": "10.0.0.0/25"}]}}, InvalidArgument, "range"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.0.0.0/31"}]}}, InvalidArgument, "no room"),
        ({"Name": "n", "IPAM": {"Config": [{}, {}]}}, Unimplemented, "one subnet"),
        ({"Name": "n", "IPAM": {"Config": [{"Gateway": "10.0.0.1"}]}}, InvalidArgument, "need a --subnet"),
        ({"Name": "n", "IPAM": {"Config": [{**SUBNET, "Gateway": "10.1.0.1"}]}}, InvalidArgument, "gateway"),
        ({"Name": "n", "IPAM": {"Config": [{**SUBNET, "IPRange": "10.1.0.0/25"}]}}, InvalidArgument, "range"),
        ({"Name": "n", "Options": {"com.docker.network.bridge.name": "x" * 16}}, InvalidArgument, "bridge name"),
        ({"Name": "n", "Options": {"com.docker.network.driver.mtu": "big"}}, InvalidArgument, "MTU"),
        ({"Name": "n", "Options": {f"{OPTION}.enable_ip_masquerade": "so"}}, InvalidArgument, "true or"),
    ],
)  # fmt: skip
def test_networks_that_are_refused(body: dict[str, Any], kind: type[WherryError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        network_of(body, ID, 0)
    assert "\n" not in str(caught.value)


def test_networks_that_clash() -> None:
    first = network_of({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.0.0.0/16"}]}}, ID, 0)
    with pytest.raises(Conflict, match="network with name n already exists"):
        check_free_of(network_of({"Name": "n"}, ID[::-1], 0), [first])
    inner = {"Name": "m", "IPAM": {"Config": [{"Subnet": "10.0.7.0/24"}]}}
    with pytest.raises(InvalidArgument, match="Pool overlaps"):
        check_free_of(network_of(inner, ID[::-1], 0), [first])
    with pytest.raises(PermissionDenied, match="same bridge name"):
        check_free_of(network_of({"Name": "m"}, ID, 0), [first])


def test_ports_are_read() -> None:
    bindings = {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {}],
        "53/udp": None,
        "90-91": [{"HostPort": "9000-9005"}],
    }
    found = ports.wishes(bindings, {"80/tcp": {}, "7/udp": {}}, everything=True)
    assert [(wish.port, wish.protocol, wish.address, wish.first, wish.last) for wish in found] == [
        (80, "tcp", "127.0.0.1", 8080, 8080),
        (80, "tcp", "", 0, 0),
        (53, "udp", "", 0, 0),
        (90, "tcp", "", 9000, 9005),
        (91, "tcp", "", 9000, 9005),
        (7, "udp", "", 0, 0),
    ]
    assert ports.exposed({"8000-8001": {}, "5/UDP": {}}) == [(5, "udp"), (8000, "tcp"), (8001, "tcp")]


@pytest.mark.parametrize(
    "bindings",
    [
        {"x": []}, {"0/tcp": []}, {"70000": []}, {"9-8": []}, {"80/x": []}, {"80/sctp": []}, {"80": "x"}, {"80": ["x"]},
        {"80": [{"HostPort": "x"}]}, {"80": [{"HostPort": "70000"}]}, {"80": [{"HostIp": "x"}]},
        {"80": [{"HostIp": "::1::"}]}, {"80": [{"HostIp": 5}]}, {"1-65535": [], "1-65535/udp": []},
    ],
)  # fmt: skip
def test_ports_that_are_none(bindings: dict[str, Any]) -> None:
    with pytest.raises((InvalidArgument, Unimplemented)) as caught:
        ports.wishes(bindings, {}, everything=False)
    assert "\n" not in str(caught.value)


def wish(first: int, last: int = 0, address: str = "127.0.0.1", protocol: str = "tcp") -> ports.Wish:
    return ports.Wish(80, protocol, address, first, last or first)


def test_networks_with_ipv6() -> None:
    asked = {"Config": [{"Subnet": "fd00:5::/64", "IPRange": "fd00:5::100/120"}, SUBNET]}
    found = network_of({**SIX, "IPAM": asked}, ID, 0)
    assert (found.subnet, found.gateway, found.chosen) == ("10.0.0.0/24", "10.0.0.1", False)
    assert (found.subnet6, found.gateway6, found.ip_range6) == ("fd00:5::/64", "fd00:5::1", "fd00:5::100/120")
    shown = views.network(found, [])
    assert shown["EnableIPv6"]
    assert [span["Subnet"] for span in shown["IPAM"]["Config"]] == ["10.0.0.0/24", "fd00:5::/64"]
    made_up = network_of(SIX, ID, 0)
    assert made_up.chosen
    assert IPv6Network("fd00::/8").supernet_of(IPv6Network(made_up.subnet6))
    assert made_up.gateway6 == str(IPv6Network(made_up.subnet6)[1])
    assert network_of(SIX, "9" * 64, 0).subnet6 != made_up.subnet6
    same = network_of({**SIX, "Name": "m", "IPAM": {"Config": asked["Config"][:1]}}, "9" * 64, 0)
    with pytest.raises(InvalidArgument, match="Pool overlaps"):
        check_free_of(same, [found])


def _no_tasks(work: Any) -> None:
    raise AssertionError("nobody connects")


async def test_every_address_is_ipv6s_too() -> None:
    held = ports.HeldPorts(_no_tasks)
    four, six = held.take("a", [wish(0, address="")], "0.0.0.0")
    assert (four.host_address, six.host_address) == ("0.0.0.0", "::")
    assert four.host_port == six.host_port
    (only,) = held.take("b", [wish(0, address="")], "0.0.0.0", dual=False)
    assert only.host_address == "0.0.0.0"
    (chosen,) = held.take("c", [wish(0, address="")], "127.0.0.1")
    assert chosen.host_address == "127.0.0.1"
    with pytest.raises(Conflict, match=rf"Bind for \[::1\]:{four.host_port} failed: port is already allocated"):
        held.take("d", [wish(four.host_port, address="::1")], "0.0.0.0")
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(Conflict, match="address already in use"):
            held.take("e", [wish(number, address="")], "0.0.0.0")
        assert [port.host_port for port in held.take("e", [wish(number, number + 5, address="")], "0.0.0.0")] == [
            number + 1,
            number + 1,
        ]
    with pytest.raises(InvalidArgument, match="cannot assign requested address"):
        held.take("f", [wish(0, address="2001:db8::1")], "0.0.0.0")
    held.close()
    with socket.create_server(("::", four.host_port), family=socket.AF_INET6):
        pass


def test_ports_are_held_and_let_go() -> None:
    held = ports.HeldPorts(_no_tasks)
    try:
        (chosen,) = held.take("a", [wish(0)], "0.0.0.0")
        with pytest.raises(Conflict, match=f"Bind for 0.0.0.0:{chosen.host_port} failed: port is already allocated"):
            held.take("b", [wish(0), wish(chosen.host_port, address="")], "0.0.0.0")
        held.take("u", [wish(chosen.host_port, protocol="udp")], "0.0.0.0")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", chosen.host_port))
        (next_one,) = held.take("c", [wish(chosen.host_port, chosen.host_port + 9)], "0.0.0.0")
        assert next_one.host_port > chosen.host_port
        held.release("a")
        held.release("a")
        assert held.hold("d", [chosen, next_one]) == [next_one]
    finally:
        held.close()


def test_a_port_of_another_program() -> None:
    held = ports.HeldPorts(_no_tasks)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(
            Conflict, match=f"failed to bind host port for 127.0.0.1:{number}/tcp: address already in use"
        ):
            held.take("a", [wish(number)], "0.0.0.0")
    with pytest.raises(InvalidArgument, match="cannot assign requested address"):
        held.take("a", [wish(0, address="192.0.2.251")], "0.0.0.0")
    (found,) = held.take("a", [wish(number)], "0.0.0.0")
    assert found.host_port == number
    held.close()


def test_which_networks_a_container_is_in() -> None:
    plain = settings.settings({})
    assert list(settings.attachments({"NetworkMode": "default"}, {})) == ["bridge"]
    assert settings.attachments({"NetworkMode": "default"}, {"default": plain}) == {"bridge": plain}
    assert list(settings.attachments({"NetworkMode": "b"}, {"a": plain, "b": plain})) == ["b", "a"]
    assert settings.attachments({"NetworkMode": "container:x"}, {}) == {}
    mac = "02:42:00:00:00:01"
    assert settings.attachments({"NetworkMode": "b"}, {"a": plain}, mac.upper())["b"]["MacAddress"] == mac
    same = {"b": settings.settings({"MacAddress": mac})}
    assert settings.attachments({"NetworkMode": "b"}, same, mac) == same
    for mode, config, wide in (
        ("b", same, "02:42:00:00:00:02"),
        ("none", {}, mac),
        ("host", {}, mac),
        ("container:x", {}, mac),
        ("b", {}, "nonsense"),
    ):
        with pytest.raises(InvalidArgument, match=r"MAC|mac"):
            settings.attachments({"NetworkMode": mode}, config, wide)
    assert settings.settings({"IPAMConfig": {"IPv4Address": "10.0.0.1"}})["IPAMConfig"] == {"IPv4Address": "10.0.0.1"}
    for mode, config in (
        ("host", {"a": plain}),
        ("none", {"a": plain}),
        ("a", {"host": plain}),
        ("container:x", {"a": plain}),
        ("bridge", {"bridge": settings.settings({"Aliases": ["x"]})}),
        ("bridge", {"bridge": settings.settings({"IPAMConfig": {"IPv4Address": "10.0.0.1"}})}),
        ("none", {"none": settings.settings({"MacAddress": "02:42:00:00:00:01"})}),
    ):
        with pytest.raises((InvalidArgument, PermissionDenied)):
            settings.attachments({"NetworkMode": mode}, config)
    for nonsense in ({"Links": ["a:b:c"]}, {"IPAMConfig": {"IPv4Address": "::1"}}, {"IPAMConfig": {"IPv6Address": "x"}},
                     {"IPAMConfig": {"IPv6Address": "10.0.0.1"}}, {"IPAMConfig": {"LinkLocalIPs": ["fe80::1"]}},
                     {"MacAddress": "zz:42:00:00:00:01"}, {"Aliases": "x"}, [], 5):  # fmt: skip
        with pytest.raises((InvalidArgument, Unimplemented)):
            settings.endpoints_config({"EndpointsConfig": {"a": nonsense}} if nonsense else 5)


def test_the_files_of_etc() -> None:
    extra = files.extra_hosts(["a:1.2.3.4", "b:[::1]", "home:host-gateway"])
    text = files.hosts(extra, [("10.0.0.2", "ship.sea ship")], "10.0.0.1")
    assert text.startswith("127.0.0.1\tlocalhost\n")
    assert text.endswith("1.2.3.4\ta\n::1\tb\n10.0.0.1\thome\n10.0.0.2\tship.sea ship\n")
    host = "search old.example\noptions edns0\nnameserver 1.1.1.1\n"
    assert files.resolv_conf(host, ["9.9.9.9"], [], []) == "nameserver 9.9.9.9\nsearch old.example\noptions edns0\n"
    assert files.resolv_conf(host, [], ["."], ["ndots:1"]) == "options ndots:1\n"
    for nonsense in ("a", "a:", ":1.2.3.4", "a b:1.2.3.4", "a:x"):
        with pytest.raises(InvalidArgument):
            files.extra_hosts([nonsense])


def test_names_inside() -> None:
    assert names_of("Web", "0123", "web", ["site", "Web"]) == ("web", "site", "0123")


def imports(*names: str, module: str = "wasi_snapshot_preview1") -> dict[str, Any]:
    return {"imports": [{"module": module, "name": name} for name in names]}


def test_who_has_no_use_for_a_network() -> None:
    assert not wants_network({}, listens=True)
    assert not wants_network(imports("fd_write", "sock_accept", "sock_recv"), listens=False)
    assert wants_network(imports("sock_accept"), listens=True)
    assert wants_network(imports("sock_open"), listens=False)
    assert not wants_network(imports("sock_open", module="env"), listens=True)
    assert wants_network(imports("wasi:sockets/tcp@0.2.0", module=""), listens=False)
    assert not wants_network(imports("wasi:cli/run@0.2.0", module=""), listens=True)


def spec() -> dict[str, Any]:
    mounts = [{"destination": "/etc/hosts", "type": "bind", "source": "/own"}]
    return {
        "mounts": mounts,
        "annotations": {"a": "b"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]},
    }


def test_a_spec_is_joined_to_its_network() -> None:
    joint = Joint("/run/netns/x", {"/etc/hosts": "/h", "/etc/hostname": "/n"}, [(53, "udp"), (80, "tcp")])
    found = joined(spec(), joint, wasm=True)
    assert found["linux"]["namespaces"] == [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}]
    assert [mount["source"] for mount in found["mounts"]] == ["/own", "/n"]
    assert found["annotations"] == {"a": "b", LISTEN: "53/udp,80/tcp"}
    assert joined(spec(), joint, wasm=False)["annotations"] == {"a": "b"}
    assert joined(spec(), Joint(), wasm=True) == spec() | {"annotations": {"a": "b", LISTEN: ""}}
    assert joined(spec(), Joint(None, listen=None), wasm=True)["linux"]["namespaces"] == [{"type": "pid"}]
    assert LISTEN not in joined(spec(), Joint(None, listen=None), wasm=True)["annotations"]


def test_what_docker_port_reads() -> None:
    network = Network(ID, "n", "bridge", 1, subnet="10.0.0.0/24", gateway="10.0.0.1")
    endpoint = Endpoint("e" * 64, ID, "c" * 64, "eth0", ports=(PublishedPort(80, "tcp", "127.0.0.1", 8080),))
    found = views.network_settings({"n": {}}, [(network, endpoint)], {"n": ID}, [(80, "tcp"), (53, "udp")], sandbox="")
    assert found["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "53/udp": None}
    assert found["Networks"]["n"]["NetworkID"] == ID
    stopped = views.network_settings({"n": {}}, [], {"n": ID}, [(80, "tcp")], sandbox="")
    assert (stopped["Ports"], stopped["Networks"]["n"]["IPAddress"]) == ({}, "")
    assert views.ports([endpoint], [(80, "tcp"), (53, "udp")])[1:] == [{"PrivatePort": 53, "Type": "udp"}]


def test_few_words_that_name_billions_of_ports_are_refused_at_once() -> None:
    many = {f"1-{last}/tcp": None for last in range(4000, 4096)}
    with pytest.raises(InvalidArgument, match="over 4096 ports are exposed"):
        ports.exposed(many)
    with pytest.raises(InvalidArgument, match="over 4096 ports are published"):
        ports.wishes(many, {}, everything=False)
    with pytest.raises(InvalidArgument, match="over 4096 ports are published"):
        ports.wishes({"1-65535": [{"HostPort": ""}] * 100_000}, {}, everything=False)
