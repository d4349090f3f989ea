"""The engine itself: ping, version, info, disk usage, events. ``/wherry/check`` is wherry's own."""

from collections.abc import Sequence

from wherry.engine.check import Checks
from wherry.engine.events import Events
from wherry.engine.system import System
from wherry.errors import InvalidArgument
from wherry.server.call import HEADERS, ApiRoute, Call, answer
from wherry.server.credentials import several
from wherry.server.heed import watched, worked
from wherry.server.query import Query
from wherry.server.response import PlainResponse, Response
from wherry.server.router import Kind, Route

_PING_HEADERS = {
    **HEADERS,
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}


class SystemRoutes:
    """The handlers of what concerns no single object."""

    def __init__(self, system: System, events: Events, checks: Checks) -> None:
        self._system = system
        self._events = events
        self._checks = checks

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("GET", "/_ping", self.ping),
            Route("HEAD", "/_ping", self.ping),
            Route("GET", "/version", self.version),
            Route("GET", "/info", self.info),
            Route("GET", "/system/df", self.disk_usage),
            Route("GET", "/events", self.events, Kind.STREAM),
            Route("POST", "/wherry/check", self.check, Kind.STREAM),
        )

    async def ping(self, call: Call) -> Response:
        body = b"OK" if call.request.method == "GET" else b""
        return PlainResponse(200, _PING_HEADERS, body, "text/plain; charset=utf-8")

    async def version(self, call: Call) -> Response:
        return answer(await self._system.version())

    async def info(self, call: Call) -> Response:
        return answer(await self._system.info())

    async def disk_usage(self, call: Call) -> Response:
        return answer(await self._system.disk_usage(frozenset(call.query.texts("type"))))

    async def events(self, call: Call) -> Response:
        query = call.query
        since, until = _moment(query, "since"), _moment(query, "until")
        if since and until and since > until:
            first, last = query.text("since"), query.text("until")
            raise InvalidArgument(f"`since` time ({first}) cannot be after `until` time ({last})")
        happening = self._events.subscribe(since=since, until=until, filters=query.filters())
        return await call.lines(watched(call.request.connection, happening))

    async def check(self, call: Call) -> Response:
        logins = several(call.request.header("x-registry-config"))
        faults = self._checks.run(repair=call.query.flag("repair"), logins=logins)
        return await call.lines(worked(call.request.connection, faults))


def _moment(query: Query, name: str) -> int:
    """Nanoseconds since the epoch, 0 if none is named: 1970's beginning is one as any other."""
    return query.nanoseconds(name) or int(bool(query.text(name)))
