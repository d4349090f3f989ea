"""Builds by the classic builder, and what BuildKit's clients ask for instead."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from wherry.core.remotes.remote import Credentials
from wherry.engine.builds import BuildOptions, Builds
from wherry.errors import InvalidArgument, Unimplemented
from wherry.server.body import chunks
from wherry.server.call import ApiRoute, Call, answer, begun
from wherry.server.credentials import several
from wherry.server.heed import worked
from wherry.server.query import Query
from wherry.server.response import Response
from wherry.server.router import Kind, Route

SECRETS: Final = "X-Wherry-Build-Secrets"
_NO_BUILDKIT = "BuildKit is not offered yet: set DOCKER_BUILDKIT=0 to build with the classic builder"


class BuildRoutes:
    """The handlers of ``/build`` and of BuildKit's two connections."""

    def __init__(self, builds: Builds) -> None:
        self._builds = builds

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("POST", "/build", self.build, Kind.STREAM),
            Route("POST", "/build/prune", self.prune),
            Route("POST", "/build/cancel", self.buildkit),
            Route("POST", "/session", self.buildkit),
            Route("POST", "/grpc", self.buildkit),
        )

    async def build(self, call: Call) -> Response:
        if call.query.text("version") == "2":
            raise InvalidArgument(_NO_BUILDKIT)
        request = call.request
        wanted = options(call.query, several(request.header("x-registry-config")))
        wanted = replace(wanted, secrets=secrets(request.header(SECRETS.lower())))
        building = self._builds.build(wanted, chunks(request.body))
        return await call.lines(await begun(worked(request.connection, building)))

    async def prune(self, call: Call) -> Response:
        return answer(await self._builds.prune(call.query.filters()))

    async def buildkit(self, call: Call) -> Response:
        raise Unimplemented(_NO_BUILDKIT)


def options(query: Query, logins: Mapping[str, Credentials]) -> BuildOptions:
    """The query of ``POST /build``. InvalidArgument."""
    if query.text("isolation") not in ("", "default"):
        raise InvalidArgument(f"unsupported isolation: {query.text('isolation')[:60]!r}: builds know default alone")
    if any(query.texts("securityopt")):
        raise InvalidArgument("the daemon on this platform does not support setting security options on build")
    return BuildOptions(
        tags=tuple(query.texts("t")),
        dockerfile=query.text("dockerfile") or "Dockerfile",
        remote=query.text("remote"),
        quiet=query.flag("q"),
        no_cache=query.flag("nocache"),
        squash=query.flag("squash"),
        build_args=query.string_map("buildargs"),
        labels=query.string_map("labels"),
        target=query.text("target"),
        platform=query.text("platform"),
        network=_network(query.text("networkmode")),
        cache_from=tuple(query.string_list("cachefrom")),
        pull=query.flag("pull"),
        logins=logins,
    )


def _network(mode: str) -> str:
    """InvalidArgument: a build knows none, host and the engine's own choice."""
    if mode not in ("", "default", "bridge", "none", "host"):
        raise InvalidArgument(f"network mode {mode[:60]!r} is not supported by builds: use default, none or host")
    return mode if mode in ("none", "host") else ""


def secrets(header: str) -> dict[str, bytes]:
    """What ``RUN --mount=type=secret`` may ask for: a JSON object of base64 texts, itself in base64. InvalidArgument.

    Docker's classic builder has no secrets; the header is wherry's own.
    """
    if not header:
        return {}
    try:
        document = json.loads(base64.b64decode(header, validate=True))
        return {str(name): base64.b64decode(value, validate=True) for name, value in document.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidArgument(f"{SECRETS} is no base64 of a JSON object of base64 texts") from None
