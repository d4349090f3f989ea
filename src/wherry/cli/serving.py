"""The containers of ``wherry serve``: each version of the file is one, of which the newest that started is current.

All of it blocks; who calls sees to threads. A container has its port on loopback, of the engine's choice.
"""

import contextlib
import os
from typing import Any, NamedTuple

from wherry.cli.app import App
from wherry.cli.wasmfile import forget, image_of
from wherry.client.api import Client
from wherry.client.streams import frame_decoder
from wherry.errors import InvalidArgument, NotFound, Unavailable, WherryError

_INSIDE = "80/tcp"
_LABEL = "dev.wherry.http"
_LOOPBACK = "127.0.0.1"
_COMPONENT = b"\x0d\0\x01\0"
_BEGINNING = 4096


class Handler(NamedTuple):
    """What is served: a file, the guest's words, and the options as they were given."""

    file: str
    args: tuple[str, ...]
    given: dict[str, Any]


class Version(NamedTuple):
    """A version of the file that serves: its container, its image, and where it answers."""

    container: str
    image: str
    address: tuple[str, int]


def start(app: App, handler: Handler) -> Version:
    """Serve the file as it is now. What is wrong with it is raised, and nothing is left of it."""
    client = app.client
    image = image_of(app, handler.file)
    made = client.call("POST", "/containers/create", {"platform": None}, document(image, handler))
    container = str(made["Id"])
    try:
        client.call("POST", f"/containers/{container}/start")
        ports = client.call("GET", f"/containers/{container}/json")["NetworkSettings"]["Ports"]
        port = int(ports[_INSIDE][0]["HostPort"])
    except (WherryError, KeyError, IndexError, TypeError) as error:
        _remove(client, container)
        if isinstance(error, WherryError):
            raise
        raise Unavailable(f"{handler.file} ended at once: see its log, wherry logs {container[:12]}") from None
    return Version(container, image, (_LOOPBACK, port))


def end(app: App, old: Version, patience: int) -> None:
    """Let a version answer what it has begun, for ``patience`` seconds at most, and remove it; its image too, if a
    later one has its name. Over a connection of its own: the next version may be on its way meanwhile."""
    with _client(app) as client, contextlib.suppress(WherryError):
        with contextlib.suppress(WherryError):
            client.call("POST", f"/containers/{old.container}/stop", {"t": patience})
        _remove(client, old.container)
        forget(client, old.image)


def kill(app: App, version: Version) -> None:
    """Remove a version, whatever it is at."""
    with _client(app) as client, contextlib.suppress(WherryError):
        _remove(client, version.container)


def follow(app: App, version: Version) -> None:
    """Write what a version says to stdout and stderr, until it is gone."""
    query = {"follow": True, "stdout": True, "stderr": True}
    with _client(app) as client, contextlib.suppress(WherryError, OSError):
        response = client.open("GET", f"/containers/{version.container}/logs", query)
        with contextlib.closing(response):
            decode = frame_decoder()
            for piece in response:
                for descriptor, payload in decode(piece):
                    os.write(descriptor, payload)


def _client(app: App) -> contextlib.AbstractContextManager[Client]:
    """For a thread of its own."""
    return contextlib.closing(app.another().client)


def _remove(client: Client, container: str) -> None:
    with contextlib.suppress(NotFound):
        client.call("DELETE", f"/containers/{container}", {"force": True, "v": True})


def document(image: str, handler: Handler) -> dict[str, Any]:
    """The API's document that creates a version's container. InvalidArgument: an option makes no sense."""
    given = handler.given
    labels = {_LABEL: _kind(handler.file)}
    for name in ("deadline", "concurrency"):
        if given[name] is not None:
            labels[f"{_LABEL}.{name}"] = str(given[name])
    if any("=" not in word for word in given["env"]):
        raise InvalidArgument("-e wants NAME=VALUE")
    volumes = [":".join((os.path.abspath(word.partition(":")[0]), word.partition(":")[2])) for word in given["volume"]]
    return {
        "Image": image,
        "Cmd": list(handler.args) or None,
        "Env": list(given["env"]),
        "Labels": labels,
        "ExposedPorts": {_INSIDE: {}},
        "HostConfig": {
            "PortBindings": {_INSIDE: [{"HostIp": _LOOPBACK, "HostPort": ""}]},
            "Binds": volumes,
            "AutoRemove": False,
        },
    }


def _kind(file: str) -> str:
    """What answers in it: wasi:http if it is a component, else CGI."""
    with open(file, "rb") as opened:
        start = opened.read(_BEGINNING)
    return "proxy" if start[4:8] == _COMPONENT or start.lstrip().startswith(b"(component") else "wagi"
