"""Nouns of the API that are not offered: swarm and plugins. They answer as a docker engine does that has none."""

from collections.abc import Sequence

from wherry.errors import NotFound, Unavailable, Unimplemented
from wherry.server.call import ApiRoute, Call, answer
from wherry.server.response import Response
from wherry.server.router import Route

# The words are docker's, for clients look for them; the way out that docker names (swarm init) is none here.
NO_MANAGER = "This node is not a swarm manager. Swarm mode is not offered."
_NO_MEMBER = "This node is not part of a swarm"
_SWARM_NOUNS = ("services", "nodes", "tasks", "secrets", "configs")
_METHODS = ("GET", "POST", "DELETE")


def table() -> Sequence[ApiRoute]:
    """The routes of swarm and plugins."""
    routes: list[ApiRoute] = [
        Route("GET", "/swarm", _no_manager),
        Route("GET", "/swarm/unlockkey", _no_manager),
        Route("POST", "/swarm/leave", _no_member),
        Route("POST", "/swarm/{action}", _no_swarm),
        Route("GET", "/plugins", _empty),
        Route("GET", "/plugins/privileges", _no_plugins),
        Route("POST", "/plugins/pull", _no_plugins),
        Route("POST", "/plugins/create", _no_plugins),
        Route("GET", "/plugins/{name*}/json", _no_such_plugin),
        Route("DELETE", "/plugins/{name*}", _no_such_plugin),
    ]
    for action in ("enable", "disable", "upgrade", "push", "set"):
        routes.append(Route("POST", f"/plugins/{{name*}}/{action}", _no_such_plugin))
    for noun in _SWARM_NOUNS:
        routes.append(Route("GET", f"/{noun}", _no_manager))
        routes += [Route(method, f"/{noun}/{{rest*}}", _no_manager) for method in _METHODS]
    return routes


async def _no_manager(call: Call) -> Response:
    raise Unavailable(NO_MANAGER)


async def _no_member(call: Call) -> Response:
    raise Unavailable(_NO_MEMBER)


async def _no_swarm(call: Call) -> Response:
    raise Unimplemented("swarm mode is not offered: this engine runs containers on one machine")


async def _no_plugins(call: Call) -> Response:
    raise Unimplemented("plugins are not offered: volumes have the driver local")


async def _no_such_plugin(call: Call) -> Response:
    raise NotFound(f'plugin "{call["name"][:256]}" not found')


async def _empty(call: Call) -> Response:
    return answer([])
