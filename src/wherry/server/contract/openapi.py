"""The contract as an OpenAPI 3.1 document, made of the route tables: ``python -m wherry.server.contract.openapi``.

Routes come from server/api.py; what they take and answer from operations.py.
"""

import json
import re
import sys
from typing import Any, Final, cast

from wherry.engine.engine import Engine
from wherry.server.api import routes
from wherry.server.call import ApiRoute
from wherry.server.contract.operations import OPERATIONS
from wherry.server.contract.shapes import SHAPES
from wherry.server.contract.words import Operation, Reply, named
from wherry.server.metrics import Metrics
from wherry.server.versions import NEWEST, OLDEST

Json = dict[str, Any]

_PARAMETER: Final = re.compile(r"\{(\w+)\*?\}")
_WORDS: Final = {
    101: "the connection is a stream from here on",
    200: "done",
    201: "made",
    204: "done",
    304: "it is so already",
    400: "the request is wrong",
    401: "a login is wanted",
    403: "not allowed",
    404: "there is none",
    409: "not in its present state",
    412: "what it needs is not there",
    500: "the runtime, the network's plugins or a registry failed",
    501: "not offered",
    503: "not reachable, or not part of a swarm",
    507: "the disk is full",
}


class _Nobody:
    """Stands for an engine where only the tables are wanted."""

    def __getattr__(self, name: str) -> "_Nobody":
        return self


def table() -> list[ApiRoute]:
    """Every route, without an engine behind it."""
    return routes(cast("Engine", _Nobody()), Metrics())


def document() -> Json:
    """The whole contract."""
    paths: dict[str, Json] = {}
    for route in table():
        operation = OPERATIONS[route.method, route.pattern]
        path = _PARAMETER.sub(r"{\1}", route.pattern)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Docker Engine API, as wherry answers it",
            "version": str(NEWEST),
            "description": f"Each path may have /vVERSION before it, from {OLDEST} to {NEWEST}; without it the newest "
            "one is meant. Where one JSON document a line comes, the schema is each line's.",
        },
        "paths": paths,
        "components": {"schemas": dict(SHAPES)},
    }


def _operation(route: ApiRoute, operation: Operation) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(route.pattern)
    ]
    for name, schema in operation.query.items():
        parameters.append({"name": name, "in": "query", "required": name in operation.needs, "schema": schema})
    found: Json = {"summary": operation.summary, "parameters": parameters, "responses": _responses(route, operation)}
    if operation.body is not None:
        found["requestBody"] = {"content": {operation.body_type: {"schema": operation.body}}}
    if operation.raw:
        found["x-raw-stream"] = True
    return found


def _responses(route: ApiRoute, operation: Operation) -> Json:
    replies = {**operation.replies, **dict.fromkeys((400, *operation.errors), Reply(named("Error")))}
    return {str(status): _reply(status, replies[status], head=route.method == "HEAD") for status in sorted(replies)}


def _reply(status: int, reply: Reply, *, head: bool) -> Json:
    found: Json = {"description": _WORDS[status]}
    if reply.schema is not None and not head:
        # No schema of one document fits a stream of them: it stands beside.
        key = "x-line-schema" if reply.lines else "schema"
        found["content"] = {reply.content: {key: reply.schema}}
    return found


def text() -> str:
    """The document as it lies in docs/openapi.json."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
