"""Containers: records and their life. Their streams lie in streams.py."""

from collections.abc import Sequence

from wherry.engine.containers.containers import Containers
from wherry.errors import InvalidArgument
from wherry.server.call import JSON_TYPE, ApiRoute, Call, answer, done, encode
from wherry.server.errors import Canceled
from wherry.server.heed import CANCELED, attended
from wherry.server.response import Response
from wherry.server.router import Kind, Route
from wherry.server.versions import ApiVersion

_SINCE_WAIT_CONDITIONS = ApiVersion(1, 30)


class ContainerRoutes:
    """The handlers of ``/containers``."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def table(self) -> Sequence[ApiRoute]:
        """The routes, most used first."""
        return (
            Route("POST", "/containers/create", self.create),
            Route("POST", "/containers/{ref}/start", self.start),
            Route("POST", "/containers/{ref}/wait", self.wait, Kind.STREAM),
            Route("GET", "/containers/json", self.list),
            Route("GET", "/containers/{ref}/json", self.inspect),
            Route("POST", "/containers/{ref}/stop", self.stop),
            Route("POST", "/containers/{ref}/restart", self.restart),
            Route("POST", "/containers/{ref}/kill", self.kill),
            Route("POST", "/containers/{ref}/pause", self.pause),
            Route("POST", "/containers/{ref}/unpause", self.unpause),
            Route("POST", "/containers/{ref}/rename", self.rename),
            Route("POST", "/containers/{ref}/update", self.update),
            Route("POST", "/containers/{ref}/resize", self.resize),
            Route("GET", "/containers/{ref}/top", self.top),
            Route("GET", "/containers/{ref}/changes", self.changes),
            Route("DELETE", "/containers/{ref}", self.remove),
            Route("POST", "/containers/prune", self.prune),
        )

    async def create(self, call: Call) -> Response:
        query = call.query
        created = await self._containers.create(
            query.text("name") or None, await call.json(), query.text("platform") or None
        )
        return answer(created, 201)

    async def start(self, call: Call) -> Response:
        await self._containers.start(call["ref"])
        return done()

    async def wait(self, call: Call) -> Response:
        condition = call.query.text("condition") or "not-running"
        if call.version < _SINCE_WAIT_CONDITIONS:
            condition = "not-running"
        # Registered first, then the head goes out: clients start the container once they have seen it.
        ended = await self._containers.wait(call["ref"], condition)
        response = await call.stream(JSON_TYPE)
        try:
            status = await attended(call.request.connection, ended)
        except Canceled:
            status = {"Error": {"Message": CANCELED}, "StatusCode": -1}
        response.end_with(encode({"Error": None, **status}) + b"\n")
        return response

    async def list(self, call: Call) -> Response:
        query = call.query
        limit = query.integer("limit")
        found = await self._containers.list(
            all=query.flag("all"),
            limit=limit if limit and limit > 0 else None,
            size=query.flag("size"),
            filters=query.filters(),
        )
        return answer(found)

    async def inspect(self, call: Call) -> Response:
        return answer(await self._containers.inspect(call["ref"], size=call.query.flag("size")))

    async def stop(self, call: Call) -> Response:
        await self._containers.stop(call["ref"], call.query.integer("t"), call.query.text("signal") or None)
        return done()

    async def restart(self, call: Call) -> Response:
        await self._containers.restart(call["ref"], call.query.integer("t"), call.query.text("signal") or None)
        return done()

    async def kill(self, call: Call) -> Response:
        await self._containers.kill(call["ref"], call.query.text("signal") or None)
        return done()

    async def pause(self, call: Call) -> Response:
        await self._containers.pause(call["ref"])
        return done()

    async def unpause(self, call: Call) -> Response:
        await self._containers.unpause(call["ref"])
        return done()

    async def rename(self, call: Call) -> Response:
        name = call.query.text("name")
        if not name.removeprefix("/"):
            raise InvalidArgument("Neither old nor new names may be empty")
        await self._containers.rename(call["ref"], name)
        return done()

    async def update(self, call: Call) -> Response:
        return answer(await self._containers.update(call["ref"], await call.json()))

    async def resize(self, call: Call) -> Response:
        height, width = size_of(call)
        await self._containers.resize(call["ref"], height, width)
        return done(200)

    async def top(self, call: Call) -> Response:
        return answer(await self._containers.top(call["ref"], call.query.text("ps_args")))

    async def changes(self, call: Call) -> Response:
        return answer(await self._containers.changes(call["ref"]))

    async def remove(self, call: Call) -> Response:
        query = call.query
        await self._containers.remove(
            call["ref"], force=query.flag("force"), volumes=query.flag("v"), link=query.flag("link")
        )
        return done()

    async def prune(self, call: Call) -> Response:
        return answer(await self._containers.prune(call.query.filters()))


def size_of(call: Call) -> tuple[int, int]:
    """A terminal's ``(h, w)`` in cells. InvalidArgument."""
    height, width = call.query.integer("h"), call.query.integer("w")
    if height is None or width is None or not (0 <= height <= 0xFFFF and 0 <= width <= 0xFFFF):
        raise InvalidArgument("invalid terminal size: h and w are numbers of cells from 0 to 65535")
    return height, width
