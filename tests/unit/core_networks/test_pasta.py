"""What pasta is told, what is said when it cannot be had, and that nobody else is ended in its place."""

import itertools
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.core.networks.network import Endpoint, Network, PublishedPort
from wherry.core.networks.pasta import ADDRESS, PastaConfig, PastaDriver, TaskNamespaces, options
from wherry.core.networks.plugins import PluginConfig
from wherry.errors import Conflict, FailedPrecondition, Unavailable

BRIDGE = Network("ab" * 32, "bridge", "bridge", 1)
ENDPOINT = Endpoint("cd" * 32, BRIDGE.id, "ef" * 32, "eth0")
PORTS = (PublishedPort(80, "tcp", "127.0.0.1", 8080), PublishedPort(53, "udp", "0.0.0.0", 5353))
HERE = "/proc/self/ns/net"


def driver(folder: Path, script: str | None, tun: str = "/dev/null") -> PastaDriver:
    """With a made-up pasta."""
    if script is not None:
        program = folder / "pasta"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return PastaDriver(
        PastaConfig(
            str(folder / "state"), PluginConfig(path=f"{folder}:/bin" if script else str(folder), timeout=10), tun=tun
        )
    )


def test_what_it_is_told() -> None:
    words = options(replace(ENDPOINT, ports=PORTS), "7")
    pairs = set(itertools.pairwise(words))
    assert {("--tcp-ports", "127.0.0.1/8080:80"), ("--udp-ports", "0.0.0.0/5353:53"), ("--tcp-ns", "none")} <= pairs
    assert "--no-map-gw" in words, "the gateway would be the host's loopback"
    assert words[-1] == "7"
    assert {("--tcp-ports", "none"), ("--udp-ports", "none")} <= set(itertools.pairwise(options(ENDPOINT, "7")))


async def test_one_network_with_one_address(tmp_path: Path) -> None:
    made = driver(tmp_path, "exit 0")
    network = await made.establish(BRIDGE, [])
    assert (await made.attach(network, ENDPOINT, "")).address == ADDRESS
    with pytest.raises(
        FailedPrecondition, match="network shore needs an engine that runs as root: use --network bridge"
    ):
        await made.establish(replace(BRIDGE, name="shore"), [])
    spaces = TaskNamespaces()
    assert (spaces.late, spaces.path("x"), await spaces.make("x"), spaces.ids()) == (True, "", "", [])


async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="install passt, or use --network host"):
        await driver(tmp_path, None).attach(BRIDGE, ENDPOINT, "")
    with pytest.raises(FailedPrecondition, match="which is not there: have the administrator load the module tun"):
        await driver(tmp_path, "exit 0", tun=str(tmp_path / "none")).attach(BRIDGE, ENDPOINT, "")


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "0.1: ERROR:   Failed to bind any port for '-t 80:80', exiting",
            Conflict,
            "port is already allocated: Failed to",
        ),
        ("0.1: WARNING: no\n0.1: ERROR:   External interface not usable", Unavailable, "External interface not usable"),
        ("", Unavailable, "it said nothing"),
    ],
)
async def test_one_that_fails(tmp_path: Path, said: str, kind: type[Exception], words: str) -> None:
    find = 'while [ "$1" != --log-file ]; do shift; done'
    made = driver(tmp_path, f"{find}\nprintf '%s' \"{said}\" > $2\nexit 1")
    with pytest.raises(kind, match=words):
        await made.publish(BRIDGE, ENDPOINT, HERE)
    assert os.listdir(tmp_path / "state") == []


async def test_only_its_own_process_is_ended(tmp_path: Path) -> None:
    """Its own has the pid file among its words; the number may have become another's."""
    made = driver(tmp_path, "exit 0")
    await made.publish(BRIDGE, ENDPOINT, HERE)
    pid_file = tmp_path / "state" / f"{ENDPOINT.id}.pid"
    for words, ended in (([], False), ([str(pid_file)], True)):
        command = ["sh", "-c", "read line", "sh", *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: ASYNC220 - it is not waited for
            pid_file.write_text(f"{process.pid}\n")
            await made.detach(BRIDGE, ENDPOINT, "")
            assert (process.poll() is None) is not ended or process.wait(10) == -15
            assert not pid_file.exists()
            process.kill()
    for nonsense in ("", "x", "-1", "999999999"):
        pid_file.write_text(nonsense)
        await made.detach(BRIDGE, ENDPOINT, "")
