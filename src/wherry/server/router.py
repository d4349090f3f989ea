"""Routes as data, and the table that finds one. Pure: what a handler is, is the caller's affair.

A pattern's ``{name}`` matches one path segment, ``{name*}`` any number of them (image names have slashes in them).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar
from urllib.parse import unquote

from wherry.errors import NotFound
from wherry.server.errors import MethodNotAllowed

HandlerT = TypeVar("HandlerT")
_PARAMETER = re.compile(r"\{(\w+)(\*?)\}")


class Kind(Enum):
    """How a route's life hangs on its client's: a ``CHANGE`` ends what it began, a ``STREAM`` ends with the client."""

    CHANGE = "change"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Route(Generic[HandlerT]):
    """One line of a route table."""

    method: str
    pattern: str
    handler: HandlerT
    kind: Kind = Kind.CHANGE


def _compile(pattern: str) -> re.Pattern[str]:
    parts = []
    position = 0
    for match in _PARAMETER.finditer(pattern):
        parts.append(re.escape(pattern[position : match.start()]))
        parts.append(f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})")
        position = match.end()
    parts.append(re.escape(pattern[position:]))
    return re.compile("".join(parts))


def _noun(path: str) -> str:
    return path[1:].partition("/")[0]


class Router(Generic[HandlerT]):
    """Finds the route of a method and a path. Routes are tried in the order given, among those of a noun and method."""

    def __init__(self, routes: Iterable[Route[HandlerT]]) -> None:
        self._exact: dict[tuple[str, str], Route[HandlerT]] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route[HandlerT]]]] = defaultdict(list)
        for route in routes:
            if "{" in route.pattern:
                self._patterns[_noun(route.pattern), route.method].append((_compile(route.pattern), route))
            else:
                self._exact[route.method, route.pattern] = route

    def find(self, method: str, path: str) -> tuple[Route[HandlerT], Mapping[str, str]]:
        """The route and its parameters, percent-decoded. NotFound; MethodNotAllowed."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        if ".." in unquote(path).split("/"):
            raise NotFound("page not found")
        for pattern, route in self._patterns.get((_noun(path), method), ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        if self._is_known(path):
            raise MethodNotAllowed(f"method {method} is not allowed on {path}")
        raise NotFound("page not found")

    def _is_known(self, path: str) -> bool:
        """Whether there is a route for some method."""
        noun = _noun(path)
        return any(known == path for _, known in self._exact) or any(
            pattern.fullmatch(path)
            for (other, _), routes in self._patterns.items()
            if other == noun
            for pattern, _ in routes
        )
