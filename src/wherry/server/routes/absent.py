"""Nouns of the API that are not built yet: honest empty lists, and refusals that say so."""

from collections.abc import Sequence

from aiohttp import web

from wherry.errors import NotFound, Unimplemented
from wherry.server.call import ApiRoute, Call, Handler, answer
from wherry.server.router import Route

_NO_SWARM = "This node is not a swarm manager. Swarm mode is not offered."
_NO_PLUGINS = "plugins are not offered"


def table() -> Sequence[ApiRoute]:
    """The routes of swarm and plugins."""
    refused = {
        _NO_SWARM: (("GET", "/swarm"), ("POST", "/swarm/{action}"), ("GET", "/services"), ("GET", "/nodes")),
        _NO_PLUGINS: (("POST", "/plugins/{action*}"),),
    }
    routes: list[ApiRoute] = [
        Route("GET", "/plugins", _empty),
        Route("GET", "/plugins/{name*}/json", _no_such_plugin),
    ]
    for reason, paths in refused.items():
        routes += [Route(method, pattern, _refusing(reason)) for method, pattern in paths]
    return routes


def _refusing(reason: str) -> Handler:
    async def refuse(call: Call) -> web.StreamResponse:
        raise Unimplemented(reason)

    return refuse


async def _no_such_plugin(call: Call) -> web.StreamResponse:
    raise NotFound(f'plugin "{call["name"]}" not found')


async def _empty(call: Call) -> web.StreamResponse:
    return answer([])
