"""A container's files: `docker cp` and `docker export`."""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from wherry.engine.containers.containers import Containers
from wherry.errors import InvalidArgument
from wherry.server.body import chunks
from wherry.server.call import HEADERS, ApiRoute, Call, closing, done, encode
from wherry.server.response import PlainResponse, Response
from wherry.server.router import Kind, Route

_TAR = "application/x-tar"
_STAT_HEADER = "X-Docker-Container-Path-Stat"


class ArchiveRoutes:
    """The handlers of those routes of ``/containers`` that carry archives."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("HEAD", "/containers/{ref}/archive", self.look),
            Route("GET", "/containers/{ref}/archive", self.get, Kind.STREAM),
            Route("PUT", "/containers/{ref}/archive", self.put),
            Route("GET", "/containers/{ref}/export", self.export, Kind.STREAM),
        )

    async def look(self, call: Call) -> Response:
        document = await self._containers.path_stat(call["ref"], _path(call))
        return PlainResponse(200, {**HEADERS, **_stat_header(document)})

    async def get(self, call: Call) -> Response:
        document, archive = await self._containers.archive(call["ref"], _path(call))
        return await send(call, archive, _stat_header(document))

    async def put(self, call: Call) -> Response:
        query = call.query
        await self._containers.unarchive(
            call["ref"],
            _path(call),
            chunks(call.request.body),
            keep_kinds=query.flag("noOverwriteDirNonDir"),
            own=query.flag("copyUIDGID"),
        )
        return done(200)

    async def export(self, call: Call) -> Response:
        return await send(call, await self._containers.export(call["ref"]))


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise InvalidArgument("path cannot be empty")
    return path


def _stat_header(document: Mapping[str, Any]) -> dict[str, str]:
    return {_STAT_HEADER: base64.b64encode(encode(document)).decode("ascii")}


async def send(call: Call, archive: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an archive, as it comes."""
    async with closing(archive):
        response = await call.stream(_TAR, headers=headers)
        async for part in archive:
            await response.write(part)
    return response
