"""Networks: made, looked at, removed, and containers put into them."""

from collections.abc import Sequence

from wherry.engine.networks.networks import Networks
from wherry.errors import InvalidArgument
from wherry.server.call import ApiRoute, Call, answer, done
from wherry.server.response import Response
from wherry.server.router import Route


class NetworkRoutes:
    """The handlers of ``/networks``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def table(self) -> Sequence[ApiRoute]:
        """The routes."""
        return (
            Route("GET", "/networks", self.list),
            Route("POST", "/networks/create", self.create),
            Route("POST", "/networks/prune", self.prune),
            Route("GET", "/networks/{ref}", self.inspect),
            Route("DELETE", "/networks/{ref}", self.remove),
            Route("POST", "/networks/{ref}/connect", self.connect),
            Route("POST", "/networks/{ref}/disconnect", self.disconnect),
        )

    async def list(self, call: Call) -> Response:
        return answer(await self._networks.list(call.query.filters()))

    async def inspect(self, call: Call) -> Response:
        return answer(await self._networks.inspect(call["ref"]))

    async def create(self, call: Call) -> Response:
        return answer(await self._networks.create(await call.json()), 201)

    async def remove(self, call: Call) -> Response:
        await self._networks.remove(call["ref"])
        return done()

    async def prune(self, call: Call) -> Response:
        return answer(await self._networks.prune(call.query.filters()))

    async def connect(self, call: Call) -> Response:
        body = await call.json()
        await self._networks.connect(call["ref"], _container(body), body.get("EndpointConfig"))
        return done(200)

    async def disconnect(self, call: Call) -> Response:
        body = await call.json()
        force = body.get("Force") or False
        if not isinstance(force, bool):
            raise InvalidArgument("invalid request: Force must be true or false")
        await self._networks.disconnect(call["ref"], _container(body), force=force)
        return done(200)


def _container(body: dict[str, object]) -> str:
    found = body.get("Container")
    if not isinstance(found, str) or not found:
        raise InvalidArgument("invalid request: Container must be a container's name or id")
    return found
