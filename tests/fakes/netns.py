"""A network namespace of the test's own, with nothing in it but a loopback interface, and sockets made inside it."""

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wherry.linux import clone

T = TypeVar("T")
DEADLINE = 30


@dataclass(frozen=True)
class NetworkNamespace:
    """``path`` is where it is pinned."""

    path: str

    def inside(self, make: Callable[[], T]) -> T:
        """What ``make`` returns, called by a thread that has entered it. Sockets made there stay in it."""
        made: list[T] = []

        def enter() -> None:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                clone.setns(fd, clone.CLONE_NEWNET)
            finally:
                os.close(fd)
            made.append(make())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert made, "could not enter the namespace"
        return made[0]

    def new_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of that namespace, with a timeout so that no test hangs."""
        found = self.inside(lambda: socket.socket(family, kind))
        found.settimeout(DEADLINE)
        return found

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        found = self.new_socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        found.connect((host, port))
        return found


@contextmanager
def network_namespace(*, low_ports: bool = False) -> Iterator[NetworkNamespace]:
    """``low_ports``: those below 1024 are for everybody, as Docker has it."""
    name = f"wt-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        made = NetworkNamespace(f"/run/netns/{name}")
        if low_ports:
            made.inside(lambda: Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0"))
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
