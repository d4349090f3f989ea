"""Images: listing, inspection, names, removal; loading and saving. ``raw``, ``module``, ``sbom`` are wherry's own."""

import json
from collections.abc import Sequence
from typing import Any

from wherry.engine.images import Images
from wherry.engine.module_sbom import Sboms
from wherry.errors import InvalidArgument
from wherry.server.body import chunks
from wherry.server.call import HEADERS, ApiRoute, Call, answer, begun, done
from wherry.server.platforms import parsed, platform_of
from wherry.server.response import PlainResponse, Response
from wherry.server.router import Kind, Route
from wherry.server.routes.archives import send
from wherry.server.versions import ApiVersion

_DROPPED_VIRTUAL_SIZE = ApiVersion(1, 44)
_WITHOUT_FILTER = ApiVersion(1, 41)
"""Before it ``filter=NAME`` was another word for the filter ``reference``."""


class ImageRoutes:
    """The handlers of ``/images``."""

    def __init__(self, images: Images, sboms: Sboms) -> None:
        self._images = images
        self._sboms = sboms

    def table(self) -> Sequence[ApiRoute]:
        """Fixed paths first: an image may be called ``get``, but not here."""
        return (
            Route("GET", "/images/json", self.list),
            Route("POST", "/images/load", self.load, Kind.STREAM),
            Route("GET", "/images/get", self.save_several, Kind.STREAM),
            Route("POST", "/images/prune", self.prune),
            Route("GET", "/images/{name*}/json", self.inspect),
            Route("GET", "/images/{name*}/history", self.history),
            Route("GET", "/images/{name*}/get", self.save, Kind.STREAM),
            Route("GET", "/images/{name*}/raw", self.raw),
            Route("GET", "/images/{name*}/module", self.module, Kind.STREAM),
            Route("GET", "/images/{name*}/sbom", self.sbom),
            Route("POST", "/images/{name*}/tag", self.tag),
            Route("DELETE", "/images/{name*}", self.remove),
        )

    async def list(self, call: Call) -> Response:
        """``all`` changes nothing: there are no intermediate images."""
        query = call.query
        filters = dict(query.filters())
        if call.version < _WITHOUT_FILTER and (reference := query.text("filter")):
            filters["reference"] = [*filters.get("reference", ()), reference]
        found = await self._images.list(filters=filters, manifests=query.flag("manifests"))
        return answer([_as_of(call.version, image) for image in found])

    async def inspect(self, call: Call) -> Response:
        return answer(_as_of(call.version, await self._images.inspect(call["name"], platform_of(call.query))))

    async def history(self, call: Call) -> Response:
        return answer(await self._images.history(call["name"], platform_of(call.query)))

    async def tag(self, call: Call) -> Response:
        repository = call.query.text("repo")
        if not repository:
            raise InvalidArgument("no repository given: repo names what the image is to be called")
        await self._images.tag(call["name"], repository, call.query.text("tag"))
        return done(201)

    async def remove(self, call: Call) -> Response:
        """``noprune`` changes nothing: there are no untagged parents."""
        query = call.query
        return answer(
            await self._images.remove(
                call["name"],
                force=query.flag("force"),
                platforms=[parsed(text) for text in query.texts("platforms")],
            )
        )

    async def prune(self, call: Call) -> Response:
        return answer(await self._images.prune(call.query.filters()))

    async def raw(self, call: Call) -> Response:
        target, data = await self._images.raw(call["name"], call.query.text("platform"))
        headers = {**HEADERS, "Content-Type": target.media_type, "Docker-Content-Digest": str(target.digest)}
        return PlainResponse(200, headers, data)

    async def module(self, call: Call) -> Response:
        binary = self._images.binary(call["name"], call.query.text("platform"))
        return await send(call, await begun(binary), {"Content-Type": "application/wasm"})

    async def sbom(self, call: Call) -> Response:
        query = call.query
        document, kind = await self._sboms.document(
            call["name"], query.text("format") or "spdx", query.text("platform")
        )
        body = json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        return PlainResponse(200, HEADERS, body, kind)

    async def load(self, call: Call) -> Response:
        query = call.query
        quiet, platform = query.flag("quiet"), platform_of(query)
        loading = self._images.loading(chunks(call.request.body), quiet=quiet, platform=platform)
        return await call.lines(await begun(loading))

    async def save(self, call: Call) -> Response:
        return await self._archive(call, [call["name"]])

    async def save_several(self, call: Call) -> Response:
        names = call.query.texts("names")
        if not names:
            raise InvalidArgument("names: at least one image to save is needed")
        return await self._archive(call, names)

    async def _archive(self, call: Call, names: Sequence[str]) -> Response:
        return await send(call, await self._images.save(names, platform_of(call.query)))


def _as_of(version: ApiVersion, image: dict[str, Any]) -> dict[str, Any]:
    """``VirtualSize`` was dropped with API 1.44."""
    return image if version >= _DROPPED_VIRTUAL_SIZE else {**image, "VirtualSize": image.get("Size", 0)}
