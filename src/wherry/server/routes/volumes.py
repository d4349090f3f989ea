"""Volumes: creating, listing, inspecting, removing."""

from collections.abc import Sequence

from wherry.engine.volumes import Volumes
from wherry.errors import Unavailable
from wherry.server.call import ApiRoute, Call, answer, done
from wherry.server.response import Response
from wherry.server.router import Route
from wherry.server.routes.absent import NO_MANAGER
from wherry.server.versions import ApiVersion

_PRUNES_ANONYMOUS = ApiVersion(1, 42)
"""From this version on a prune takes only volumes that nobody named, unless it is told ``all``."""


class VolumeRoutes:
    """The handlers of ``/volumes``."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def table(self) -> Sequence[ApiRoute]:
        """Fixed paths first."""
        return (
            Route("GET", "/volumes", self.list),
            Route("POST", "/volumes/create", self.create),
            Route("POST", "/volumes/prune", self.prune),
            Route("GET", "/volumes/{name}", self.inspect),
            Route("DELETE", "/volumes/{name}", self.remove),
        )

    async def list(self, call: Call) -> Response:
        return answer(await self._volumes.list(call.query.filters()))

    async def create(self, call: Call) -> Response:
        wanted = await call.json()
        if isinstance(wanted, dict) and wanted.get("ClusterVolumeSpec"):
            raise Unavailable(NO_MANAGER)
        return answer(await self._volumes.create(wanted), 201)

    async def inspect(self, call: Call) -> Response:
        return answer(await self._volumes.inspect(call["name"]))

    async def remove(self, call: Call) -> Response:
        await self._volumes.remove(call["name"], force=call.query.flag("force"))
        return done()

    async def prune(self, call: Call) -> Response:
        named = call.version < _PRUNES_ANONYMOUS
        return answer(await self._volumes.prune(call.query.filters(), named=named))
