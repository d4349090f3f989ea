"""Which handler answers which path. Pure.

WAGI's patterns: ``/foo`` is that path alone, ``/foo/...`` it and all below. Of several that match the last one counts,
in modules.toml as in what a module's ``_routes`` prints.
Source: https://github.com/deislabs/wagi, docs/writing_modules.md
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence

ALL_BELOW = "/..."
_MOST_ROUTES = 1000


class Route(Record):
    """``pattern`` as above. ``module`` is a compiled module's path, with ``name`` its name in the container and
    ``entry`` the export that is called; or ``files`` is a folder whose files are the answers. ``volumes`` are (path
    for the guest, folder of the container), ``environ`` words beside the container's."""

    pattern: str
    module: str = ""
    name: str = ""
    entry: str = "_start"
    files: str = ""
    volumes: tuple[tuple[str, str], ...] = ()
    environ: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """The part of a path that the route covers: what CGI calls SCRIPT_NAME."""
        return self.pattern.removesuffix(ALL_BELOW)

    def matches(self, path: str) -> bool:
        """Whether this is the route, or one of the routes, of ``path``."""
        pattern = self.pattern
        if not pattern.endswith(ALL_BELOW):
            return path == pattern
        return path.startswith(pattern[:-3]) or path == pattern[:-4]  # with the slash, or without it


def find(routes: Sequence[Route], path: str) -> int:
    """The number of the route that answers ``path``, -1 for none."""
    for number in range(len(routes) - 1, -1, -1):
        if routes[number].matches(path):
            return number
    return -1


def check_pattern(pattern: str) -> str:
    """InvalidArgument: it is no pattern."""
    if not pattern.startswith("/") or any(not "!" <= letter <= "~" for letter in pattern) or len(pattern) > 1024:
        raise InvalidArgument(f"the route {pattern[:60]!r} is none: write /path, or /path/... for all below")
    return pattern


def below(route: Route, text: str) -> list[Route]:
    """The routes that the module of ``route`` declares: lines of a pattern, which is taken below the route's own, and
    the export that answers it. InvalidArgument: a line is neither."""
    found: list[Route] = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or len(found) == _MOST_ROUTES:
            raise InvalidArgument(f"_routes of {route.name}: {line[:60]!r} is no route: write /path export")
        pattern = check_pattern(route.script.rstrip("/") + "/" + words[0].lstrip("/"))
        found.append(Route(pattern, route.module, route.name, words[1], "", route.volumes, route.environ))
    return found
