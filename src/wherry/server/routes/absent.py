"""Nouns of the API that are not built yet: honest empty lists, and refusals that say so."""

from collections.abc import Sequence

from aiohttp import web

from wherry.errors import NotFound, Unimplemented
from wherry.server.call import ApiRoute, Call, Handler, answer
from wherry.server.router import Route

_NO_NETWORKS = "networks are not offered yet: containers have their own, empty one, or the host's (--network host)"
_NO_SWARM = "This node is not a swarm manager. Swarm mode is not offered."
_NO_PLUGINS = "plugins are not offered"
_NETWORKS = ("bridge", "host", "none")


def table() -> Sequence[ApiRoute]:
    """The routes of networks, swarm and plugins."""
    refused = {
        _NO_NETWORKS: (
            ("POST", "/networks/create"),
            ("POST", "/networks/{name}/connect"),
            ("POST", "/networks/{name}/disconnect"),
            ("DELETE", "/networks/{name}"),
        ),
        _NO_SWARM: (("GET", "/swarm"), ("POST", "/swarm/{action}"), ("GET", "/services"), ("GET", "/nodes")),
        _NO_PLUGINS: (("POST", "/plugins/{action*}"),),
    }
    routes: list[ApiRoute] = [
        Route("GET", "/networks", _networks),
        Route("GET", "/networks/{name}", _network),
        Route("POST", "/networks/prune", _nothing_pruned),
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


async def _nothing_pruned(call: Call) -> web.StreamResponse:
    return answer({"NetworksDeleted": [], "SpaceReclaimed": 0})


async def _empty(call: Call) -> web.StreamResponse:
    return answer([])


async def _networks(call: Call) -> web.StreamResponse:
    names = call.query.filters().get("name")
    return answer([_entry(name) for name in _NETWORKS if not names or name in names])


async def _network(call: Call) -> web.StreamResponse:
    if call["name"] not in _NETWORKS:
        raise NotFound(f"network {call['name']} not found")
    return answer(_entry(call["name"]))


def _entry(name: str) -> dict[str, object]:
    """A network that every engine has. Its id is its name spelt in hex: there is nothing behind it to have another."""
    driver = "null" if name == "none" else name
    return {
        "Name": name,
        "Id": name.encode().hex().ljust(64, "0"),
        "Created": "1970-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": name == "bridge",
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }
