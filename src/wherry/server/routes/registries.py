"""Registries: pulling, pushing, logging in, and asking what a name stands for there.

``/distribution/NAME/manifest`` and ``push?as=`` are wherry's own.
"""

import base64
import json
from collections.abc import Sequence
from typing import Final

from wherry.core.remotes.remote import Credentials
from wherry.engine.makings import Makings
from wherry.engine.pulls import PullRequest, Pulls
from wherry.engine.pushes import Pushes, PushRequest
from wherry.engine.registries import Registries
from wherry.errors import InvalidArgument, Unimplemented
from wherry.server.body import chunks
from wherry.server.call import HEADERS, ApiRoute, Call, answer, begun
from wherry.server.credentials import from_header, from_json
from wherry.server.heed import worked
from wherry.server.platforms import platform_of
from wherry.server.response import PlainResponse, Response
from wherry.server.router import Kind, Route
from wherry.server.routes.makings import naming

KEYS: Final = "X-Wherry-Trusted-Keys"


class RegistryRoutes:
    """The handlers of what concerns registries."""

    def __init__(self, pulls: Pulls, pushes: Pushes, registries: Registries, makings: Makings) -> None:
        self._pulls = pulls
        self._pushes = pushes
        self._registries = registries
        self._makings = makings

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("POST", "/images/create", self.create, Kind.STREAM),
            Route("GET", "/images/search", self.search),
            Route("POST", "/images/{name*}/push", self.push, Kind.STREAM),
            Route("POST", "/auth", self.auth),
            Route("GET", "/distribution/{name*}/json", self.distribution),
            Route("GET", "/distribution/{name*}/manifest", self.manifest),
        )

    async def create(self, call: Call) -> Response:
        query = call.query
        if query.text("fromSrc"):
            return await self._import(call)
        name = query.text("fromImage")
        if not name:
            raise InvalidArgument("fromImage names the image to pull")
        keys = trusted_keys(call.request.header(KEYS.lower()))
        request = PullRequest.parse(name, query.text("tag"), query.text("platform"), _credentials(call), keys)
        return await call.lines(await begun(worked(call.request.connection, self._pulls.stream(request))))

    async def _import(self, call: Call) -> Response:
        if call.query.text("fromSrc") != "-":
            raise Unimplemented("importing from an address is not offered: fetch the archive, and import the file")
        platform = call.query.text("platform") or None
        told = self._makings.import_archive(chunks(call.request.body), naming(call), platform)
        return await call.lines(await begun(told))

    async def push(self, call: Call) -> Response:
        query = call.query
        request = PushRequest.parse(
            call["name"], query.text("tag"), platform_of(query), _credentials(call), query.text("as")
        )
        return await call.lines(await begun(worked(call.request.connection, self._pushes.stream(request))))

    async def search(self, call: Call) -> Response:
        raise Unimplemented("searching a registry is not offered")

    async def auth(self, call: Call) -> Response:
        document = await call.json()
        address = document.get("serveraddress") or ""
        if not isinstance(address, str):
            raise InvalidArgument("serveraddress must be a string")
        return answer(await self._registries.login(address, from_json(document)))

    async def distribution(self, call: Call) -> Response:
        return answer(await self._registries.inspect(call["name"], _credentials(call)))

    async def manifest(self, call: Call) -> Response:
        found = await self._registries.manifest(call["name"], _credentials(call))
        described = {"Content-Type": found.descriptor.media_type, "Docker-Content-Digest": str(found.descriptor.digest)}
        return PlainResponse(200, {**HEADERS, **described}, found.data)


def _credentials(call: Call) -> Credentials:
    return from_header(call.request.header("x-registry-auth"))


def trusted_keys(header: str) -> tuple[str, ...] | None:
    """What a client wants an image to be signed by: base64 of a JSON list of keys in PEM; None if it asks for nothing.

    InvalidArgument. The header is wherry's own.
    """
    if not header:
        return None
    try:
        found = json.loads(base64.b64decode(header, validate=True))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise InvalidArgument(f"{KEYS} is no base64 of a JSON list of keys in PEM")
    return tuple(found)
