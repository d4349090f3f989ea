"""Network namespaces that are pinned, and devices in them; names and addresses that cannot be."""

import os
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from wherry.linux import links, netns

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and devices are root's to make")


@ROOT
def test_a_namespace_outlives_the_thread_that_made_it(tmp_path: Path) -> None:
    pin = str(tmp_path / "pin")
    netns.make(pin)
    try:
        assert netns.inside(pin, lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]
        assert netns.inside(pin, lambda: links.address_of("lo")) == "127.0.0.1"
        assert netns.inside(pin, lambda: os.readlink("/proc/thread-self/ns/net")) != os.readlink("/proc/self/ns/net")
        with pytest.raises(FileExistsError):
            netns.make(pin)
        with pytest.raises(ZeroDivisionError):
            netns.inside(pin, lambda: 1 // 0)
        assert netns.inside(pin, lambda: 5) == 5
    finally:
        netns.remove(pin)
    assert not os.path.exists(pin)
    netns.remove(pin)
    with pytest.raises(FileNotFoundError):
        netns.inside(pin, lambda: None)


@ROOT
def test_a_pinned_namespace_moves(tmp_path: Path) -> None:
    pin, other = str(tmp_path / "pin"), str(tmp_path / "other")
    netns.make(pin)
    try:
        before = os.stat(pin).st_ino
        netns.move(pin, other)
        assert (os.stat(other).st_ino, os.listdir(tmp_path)) == (before, ["other"])
        netns.make(pin)
        with pytest.raises(FileExistsError):
            netns.move(pin, other)
        assert os.stat(other).st_ino == before != os.stat(pin).st_ino
        with pytest.raises(FileNotFoundError):
            netns.move(str(tmp_path / "nothing"), str(tmp_path / "third"))
        assert sorted(os.listdir(tmp_path)) == ["other", "pin"]
    finally:
        netns.remove(pin)
        netns.remove(other)


@ROOT
def test_a_bridge_comes_and_goes(tmp_path: Path) -> None:
    pin = str(tmp_path / "pin")
    netns.make(pin)
    try:

        def work() -> None:
            links.add_bridge("b0", IPv4Interface("10.3.0.1/24"), b"\2\x42abcd", mtu=1400)
            assert links.address_of("b0") == "10.3.0.1"
            with pytest.raises(OSError):
                links.add_bridge("b0", IPv4Interface("10.4.0.1/24"), b"\2\x42abcd")
            assert links.address_of("b0") == "10.3.0.1"
            with pytest.raises(OSError):
                links.add_default_route(IPv4Address("10.9.0.1"))
            links.add_default_route(IPv4Address("10.3.0.9"))
            with open("/proc/thread-self/net/route", encoding="ascii") as file:
                assert links.parse_routes(file.read()) == [IPv4Network("10.3.0.0/24")]

        netns.inside(pin, work)
    finally:
        netns.remove(pin)


@pytest.mark.parametrize("name", ["", "x" * 16])
def test_names_that_no_device_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 15 bytes"):
        links.set_up(name)


def test_what_is_routed() -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    text = head + "e 00000000 010200C0 3 0 0 0 00000000 0 0 0\ne 000200C0 00000000 1 0 0 0 00FFFFFF 0 0 0\nshort line\n"
    assert links.parse_routes(text) == [IPv4Network("192.0.2.0/24")]
    assert links.parse_routes("") == []
