"""``wherry serve``: a handler's file answers HTTP on a port of this machine, and a changed file its next requests.

Each change makes an image and a container anew: the old one goes when the new one is made, so that a file that does not
compile leaves the old one serving.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.wasmfile import image_of
from wherry.errors import InvalidArgument, NotFound, WherryError

_LOOK_EVERY = 0.1
"""Seconds."""
_INSIDE = "80/tcp"
_LABEL = "dev.wherry.http"


@declare(
    "[OPTIONS] FILE.wasm [ARG...]",
    "Answer HTTP with a .wasm or .wat file, and with its changes at once.",
    options_end_at_argument=True,
)
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=8080, help="Of this machine (8080; 0 is any).")
@click.option("--address", default="127.0.0.1", metavar="ADDRESS", help="Where to listen (127.0.0.1).")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set an environment variable.")
@click.option("-v", "--volume", multiple=True, metavar="SOURCE:TARGET[:ro]", help="Mount a folder.")
@click.option("--deadline", metavar="TIME", help="Of a request: 30s, 500ms (60s).")
@click.option("--concurrency", type=int, metavar="N", help="Requests that are served at once (16).")
@click.argument("file", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(app: App, /, file: str, args: tuple[str, ...], **given: Any) -> int:
    """Serve until a signal."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with _serving(app) as current:
        seen = _identity(file)
        current.replace(image_of(app, file), args, given)
        print(f"serving {file} at http://{current.address(given)}/", flush=True)
        while not stopped.wait(_LOOK_EVERY):
            if (now := _identity(file)) != seen and now is not None:
                seen = now
                _reload(app, current, file, args, given)
    return 0


def _reload(app: App, current: "_Current", file: str, args: tuple[str, ...], given: dict[str, Any]) -> None:
    try:
        current.replace(image_of(app, file), args, given)
        print(f"serving {file} anew", flush=True)
    except WherryError as error:  # it is being written, or broken: the old one goes on
        print(f"wherry: {error}", file=sys.stderr, flush=True)


def _identity(file: str) -> tuple[int, int, int] | None:
    """What changes with the file's contents; None while there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class _Current:
    """The container that serves now, and the port it has."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._id = ""
        self._port = 0

    def replace(self, image: str, args: tuple[str, ...], given: dict[str, Any]) -> None:
        """Serve ``image`` from now on. A failure before its start leaves the old one."""
        old, port = self._id, self._port or given["port"]
        made = self._app.client.call(
            "POST", "/containers/create", {"platform": None}, _document(image, args, given, port)
        )
        new = str(made["Id"])
        try:
            if old:
                self._remove(old)
                self._id = ""
            self._app.client.call("POST", f"/containers/{new}/start")
        except WherryError:
            self._remove(new)
            raise
        self._id = new
        self._port = self._published()

    def address(self, given: dict[str, Any]) -> str:
        return f"{given['address']}:{self._port}"

    def remove(self) -> None:
        if self._id:
            self._remove(self._id)

    def _published(self) -> int:
        ports = self._app.client.call("GET", f"/containers/{self._id}/json")["NetworkSettings"]["Ports"]
        return int(ports[_INSIDE][0]["HostPort"])

    def _remove(self, container: str) -> None:
        with contextlib.suppress(NotFound):
            self._app.client.call("DELETE", f"/containers/{container}", {"force": True, "v": True})


@contextlib.contextmanager
def _serving(app: App) -> Iterator[_Current]:
    current = _Current(app)
    try:
        yield current
    finally:
        current.remove()


def _document(image: str, args: tuple[str, ...], given: dict[str, Any], port: int) -> dict[str, Any]:
    labels = {_LABEL: "wagi"}
    for name in ("deadline", "concurrency"):
        if given[name] is not None:
            labels[f"{_LABEL}.{name}"] = str(given[name])
    if any("=" not in word for word in given["env"]):
        raise InvalidArgument("-e wants NAME=VALUE")
    binding = {"HostIp": given["address"], "HostPort": str(port) if port else ""}
    volumes = [":".join((os.path.abspath(word.partition(":")[0]), word.partition(":")[2])) for word in given["volume"]]
    return {
        "Image": image,
        "Cmd": list(args) or None,
        "Env": list(given["env"]),
        "Labels": labels,
        "ExposedPorts": {_INSIDE: {}},
        "HostConfig": {"PortBindings": {_INSIDE: [binding]}, "Binds": volumes, "AutoRemove": False},
    }
