"""Helpers of tests that put containers on networks: web servers, addresses, and what networks leave on the host."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.conftest import Docker, until


def check_tools() -> None:
    """A missing tool is a failure."""
    for tool in ("/usr/lib/cni/bridge", "/usr/sbin/iptables"):
        assert os.path.exists(tool), f"{tool} is not installed: install containernetworking-plugins and iptables"


def serve(docker: Docker, name: str, *options: str, text: str = "") -> str:
    """Start a Linux web server, which answers with ``text`` (its name), and wait until it listens."""
    script = f"mkdir -p /www; echo {text or name} > /www/index.html; exec httpd -f -p 80 -h /www"
    container = docker("run", "-d", "--name", name, *options, "box", "sh", "-c", script)
    tables = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
    until(lambda: "0050" in docker("exec", name, *tables), f"{name} listens on port 80")
    return container


def inspect(docker: Docker, name: str) -> dict[str, Any]:
    """Its document."""
    return json.loads(docker("inspect", name))[0]


def address_of(docker: Docker, name: str, network: str) -> str:
    """Its address in the network."""
    return inspect(docker, name)["NetworkSettings"]["Networks"][network]["IPAddress"]


def fetch(port: int, address: str = "127.0.0.1") -> str:
    """The body of ``/``. OSError."""
    with socket.create_connection((address, port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    return answer.decode().partition("\r\n\r\n")[2].strip()


def answers(port: int) -> bool:
    """Whether a web server does."""
    try:
        return bool(fetch(port))
    except OSError:
        return False


def own_marks(docker: Docker) -> set[str]:
    """By what the host's links, rules and mounts are known to be this engine's: its bridges and its namespaces."""
    ids = docker("network", "ls", "-q", "--no-trunc", "--filter", "driver=bridge").split()
    pins = [inspect(docker, name)["NetworkSettings"]["SandboxKey"] for name in docker("ps", "-q").split()]
    return {f"br-{one[:12]}" for one in ids} | {os.path.dirname(pin) for pin in pins if pin}


def left_on_host(marks: set[str]) -> list[str]:
    """Links, rules and mounts that have one of these in their names."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    found = [*os.listdir("/sys/class/net"), *rules.splitlines(), *Path("/proc/self/mounts").read_text().splitlines()]
    return [line for line in found if any(mark in line for mark in marks)]
