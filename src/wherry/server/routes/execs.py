"""Execs: one more process in a running container."""

from collections.abc import Sequence
from typing import Any

from wherry.engine.exec import Execs, ExecStart
from wherry.errors import InvalidArgument
from wherry.server.call import ApiRoute, Call, answer, done
from wherry.server.hijack import take_over
from wherry.server.response import Response
from wherry.server.router import Route
from wherry.server.routes.containers import size_of
from wherry.server.routes.streams import detach_keys


class ExecRoutes:
    """The handlers of ``/exec`` and of ``/containers/{ref}/exec``."""

    def __init__(self, execs: Execs) -> None:
        self._execs = execs

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("POST", "/containers/{ref}/exec", self.create),
            Route("POST", "/exec/{id}/start", self.start),
            Route("POST", "/exec/{id}/resize", self.resize),
            Route("GET", "/exec/{id}/json", self.inspect),
        )

    async def create(self, call: Call) -> Response:
        config = await call.json()
        if not config.get("Cmd"):
            raise InvalidArgument("No exec command specified")
        try:
            detach_keys(str(config.get("DetachKeys") or ""))
        except InvalidArgument:
            raise InvalidArgument(f"invalid escape keys ({str(config['DetachKeys'])[:60]}) provided") from None
        return answer(await self._execs.create(call["ref"], config), 201)

    async def start(self, call: Call) -> Response:
        body = await call.json()
        wanted = ExecStart(
            detach=_flag(body, "Detach"), tty=_flag(body, "Tty"), size=_console_size(body.get("ConsoleSize"))
        )
        session = await self._execs.start(call["id"], wanted)
        return done(200) if session is None else await take_over(call, session)

    async def resize(self, call: Call) -> Response:
        height, width = size_of(call)
        await self._execs.resize(call["id"], height, width)
        return done(200)

    async def inspect(self, call: Call) -> Response:
        return answer(await self._execs.inspect(call["id"]))


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool | None):
        raise InvalidArgument(f"invalid {name}: true or false is expected")
    return bool(value)


def _console_size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(type(cells) is int for cells in value)):
        raise InvalidArgument("invalid ConsoleSize: [height, width] is expected")
    return value[0], value[1]
