"""From a bundle's spec to the plan of its HTTP server, in the shim's server: which modules there are, and the routes.

A command whose first word ends in ``.toml`` names WAGI's modules.toml in the rootfs; any other is the one module, which
answers every path. Reading is bounded: the file is the image's, and this process is everybody's.
"""

from __future__ import annotations

import posixpath

from wherry.errors import InvalidArgument
from wherry.linux.files import open_regular
from wherry.record import Record
from wherry.shim import sandbox
from wherry.shim.birth import Command, Sandbox
from wherry.shim.httpd import settings
from wherry.shim.wagi.routes import ALL_BELOW, Route, check_pattern

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_MOST_BYTES = 64 << 10
_MOST_MODULES = 128
_MOST_ROUTES = 1000
_KNOWN = frozenset(("route", "module", "entrypoint", "environment", "volumes", "files", "http_max_concurrency"))


class Plan(Record):
    """``modules`` are host paths of those to be compiled; a route's ``module`` is one of them until `compiled`."""

    settings: settings.Settings
    routes: tuple[Route, ...]
    modules: tuple[str, ...]

    def compiled(self, paths: Mapping[str, str]) -> tuple[Any, ...]:
        """What a child is told: plain tuples, with ``paths``' compiled modules in the place of the modules."""
        routes = tuple(
            tuple(Route(route.pattern, paths.get(route.module, ""), *tuple(route)[2:])) for route in self.routes
        )
        return tuple(self.settings), "wagi", routes


def make(place: Sandbox, command: Command, annotations: Mapping[str, str]) -> Plan:
    """InvalidArgument or NotFound: the settings, the modules.toml or a module it names."""
    wanted = settings.of(annotations)
    if "listen" in _dropped(annotations):
        raise InvalidArgument("a handler of HTTP needs listen, which is dropped: leave it out of --cap-drop")
    if command.module.endswith(".toml"):
        routes = _read(place, command)
    else:
        path = sandbox.module_on_host(place, command)
        routes = (Route(ALL_BELOW, path, command.args[0], command.entry),)
    modules = tuple(dict.fromkeys(route.module for route in routes if route.module))
    if not modules:
        raise InvalidArgument(f"{command.module} names no module: one at least is wanted")
    return Plan(wanted, routes, modules)


def _dropped(annotations: Mapping[str, str]) -> Sequence[str]:
    from wherry.wasm import grants

    return grants.parse(annotations.get(grants.ANNOTATION, ""))


def _read(place: Sandbox, command: Command) -> tuple[Route, ...]:
    import tomllib  # few containers have such a file

    name = command.module
    with open(open_regular(sandbox.module_on_host(place, command)), "rb", buffering=0) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InvalidArgument(f"{name} has over {_MOST_BYTES} bytes")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgument(f"{name} is no TOML: {text}") from None
    tables = document.get("module")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InvalidArgument(f"{name} has no [[module]]")
    if len(tables) > _MOST_ROUTES:
        raise InvalidArgument(f"{name} has over {_MOST_ROUTES} modules")
    routes = tuple(_route(place, command, name, table) for table in tables)
    if len({route.module for route in routes}) > _MOST_MODULES:
        raise InvalidArgument(f"{name} names over {_MOST_MODULES} different modules")
    return routes


def _route(place: Sandbox, command: Command, name: str, table: dict[str, Any]) -> Route:
    pattern = check_pattern(_text(name, table, "route"))
    if unknown := set(table) - _KNOWN:
        raise InvalidArgument(f"{name}: the route {pattern} has {sorted(unknown)[0]!r}, which is not known here")
    if "files" in table:
        if "module" in table or not pattern.endswith(ALL_BELOW):
            raise InvalidArgument(f"{name}: files of the route {pattern} want a pattern /path/... and no module")
        return Route(pattern, files=_inside(command, _text(name, table, "files")))
    module = _text(name, table, "module").removeprefix("file://")
    if ":" in module:
        raise InvalidArgument(f"{name}: the module {module[:60]!r} is no path: put it into the image")
    renamed = Command(**{**dict(zip(Command.fields, command, strict=True)), "module": module})
    return Route(
        pattern,
        sandbox.module_on_host(place, renamed),
        module,
        _text(name, table, "entrypoint", "_start"),
        volumes=tuple((inside, _inside(command, outside)) for inside, outside in _texts(name, table, "volumes")),
        environ=tuple(f"{key}={value}" for key, value in _texts(name, table, "environment")),
    )


def _inside(command: Command, path: str) -> str:
    """A folder of the container, as an absolute path in it."""
    return posixpath.normpath(posixpath.join(command.cwd, path))


def _text(name: str, table: dict[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidArgument(f"{name}: every [[module]] has a {key}, which is a text")
    return value


def _texts(name: str, table: dict[str, Any], key: str) -> list[tuple[str, str]]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidArgument(f"{name}: {key} is a table of texts")
    if any("\0" in word or "=" in first for first, last in value.items() for word in (first, last)):
        raise InvalidArgument(f"{name}: a NUL or = in {key}")
    return list(value.items())
