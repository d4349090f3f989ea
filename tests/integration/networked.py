"""Helpers of tests that put containers on networks: web servers, addresses, and what networks leave on the host."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Docker, until
from tests.linux_images import busybox_context
from tests.zig import compile_wasm

_EXAMPLE = Path(__file__).parents[2] / "examples/http"
_GUEST = Path(__file__).parent.parent / "data/wasmedge_guest.c"
BODY = "Hello from WebAssembly!"


def check_tools() -> None:
    """A missing tool is a failure."""
    for tool in ("/usr/lib/cni/bridge", "/usr/sbin/iptables"):
        assert os.path.exists(tool), f"{tool} is not installed: install containernetworking-plugins and iptables"


def _build(docker: Docker, folder: Path, name: str, program: Path, dockerfile: str = "", *options: str) -> None:
    folder.mkdir()
    compile_wasm(program, folder / "server.wasm", *options)
    text = dockerfile or 'FROM scratch\nCOPY server.wasm /server.wasm\nENTRYPOINT ["/server.wasm"]\n'
    (folder / "Dockerfile").write_text(text)
    docker("build", "-q", "--platform", "wasi/wasm32", "-t", name, folder)


def build_servers(docker: Docker, folders: pytest.TempPathFactory) -> None:
    """Images: ``box`` of busybox; the example's server, which answers with `BODY`, as ``edge`` (WasmEdge's sockets) and
    ``plain`` (preview 1 alone); and ``guest``, a client."""
    check_tools()
    folder = folders.mktemp("networked")
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(folders.mktemp("box")))
    server = (_EXAMPLE / "Dockerfile").read_text()
    _build(docker, folder / "edge", "edge", _EXAMPLE / "server.c", server)
    _build(docker, folder / "plain", "plain", _EXAMPLE / "server.c", server, "-DPREVIEW1")
    _build(docker, folder / "guest", "guest", _GUEST)


def start(docker: Docker, name: str, *options: str) -> None:
    """Start a server and wait until it listens; the last of ``options`` is its image."""
    docker("run", "-d", "--name", name, *options)
    until(lambda: "listening" in docker("logs", name), f"{name} listens")


def serve(docker: Docker, name: str, *options: str, text: str = "") -> str:
    """Start a Linux web server, which answers with ``text`` (its name), and wait until it listens."""
    script = f"mkdir -p /www; echo {text or name} > /www/index.html; exec httpd -f -p 80 -h /www"
    container = docker("run", "-d", "--name", name, *options, "box", "sh", "-c", script)
    tables = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
    until(lambda: "0050" in docker("exec", name, *tables), f"{name} listens on port 80")
    return container


def serve_echo(docker: Docker, folder: Path, *options: str) -> None:
    """Start ``echo``, a Linux container that sends back what its UDP port 5353 gets; ``folder`` is for its program."""
    source = Path(__file__).parent.parent / "data/udp_echo.c"
    subprocess.run(["gcc", "-static", "-O1", "-o", folder / "echo", source], check=True)
    mount = ("-v", f"{folder}:/bin/echo-folder:ro")
    docker("run", "-d", "--name", "echo", *options, *mount, "box", "/bin/echo-folder/echo", "5353")


def until_echoed(family: socket.AddressFamily, address: str, port: int) -> None:
    """A datagram that is sent there comes back."""
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect((address, port))

        def echoed() -> bool:
            try:
                client.send(b"ahoy")
                return client.recv(100) == b"ahoy"
            except OSError:
                return False

        until(echoed, "the datagram comes back")


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
