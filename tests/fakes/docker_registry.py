"""Debian's docker-registry on loopback, for as long as a test wants it."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

_CONFIG = """\
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {folder}/data
  delete:
    enabled: true
http:
  addr: {address}
{tls}{auth}"""


class DockerRegistry:
    """``with DockerRegistry(users={"me": "secret"}) as registry``: ``registry.address`` is ``127.0.0.1:PORT``,
    ``registry.config`` the file that it goes by.

    ``certificate`` are the paths of a server certificate and its key; ``clients`` of a CA that clients' must be from.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
        clients: Path | None = None,
    ) -> None:
        self._users = users or {}
        self._certificate = certificate
        self._clients = clients

    def __enter__(self) -> "DockerRegistry":
        assert shutil.which("docker-registry"), "docker-registry is not installed"
        self._folder = Path(tempfile.mkdtemp(prefix="registry-", dir="/tmp"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.config = config = self._folder / "config.yml"
        config.write_text(_CONFIG.format(folder=self._folder, address=self.address, tls=self._tls(), auth=self._auth()))
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait()
        return self

    def _tls(self) -> str:
        if self._certificate is None:
            return ""
        lines = f"  tls:\n    certificate: {self._certificate[0]}\n    key: {self._certificate[1]}\n"
        return lines + (f"    clientcas:\n      - {self._clients}\n" if self._clients else "")

    def _auth(self) -> str:
        if not self._users:
            return ""
        path = self._folder / "htpasswd"
        lines = [
            subprocess.run(["htpasswd", "-nbB", name, password], capture_output=True, text=True, check=True).stdout
            for name, password in self._users.items()
        ]
        path.write_text("".join(lines))
        return f"auth:\n  htpasswd:\n    realm: tests\n    path: {path}\n"

    def _wait(self) -> None:
        host, _, port = self.address.partition(":")
        end = time.monotonic() + 30
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            assert time.monotonic() < end, "docker-registry does not answer"
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
