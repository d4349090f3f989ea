"""The WASM end of a request: a new instance of the route's module, whose standard input and output are the exchange.
See streams.py."""

from __future__ import annotations

import os

from wherry import __version__
from wherry.errors import InvalidArgument, WherryError
from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.shim.wagi import files
from wherry.shim.wagi.output import Output
from wherry.shim.wagi.routes import Route, below, find
from wherry.shim.wagi.streams import Streams
from wherry.suppress import suppress
from wherry.wasm.guest import TRAP_EXIT_CODE, Guest, GuestConfig, Preopen, open_descriptors, trap_message
from wherry.wasm.wasi.errno import Trap
from wherry.wire import cgi
from wherry.wire.memo import remembering

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from wherry.wasm.loaded import Program
    from wherry.wasm.wasi.table import Entry

_SOFTWARE = f"wherry/{__version__}"
_ROUTES_EXPORT = "_routes"
_MOST_ROUTES_TEXT = 64 << 10


class _Instance(Guest):
    """A guest that tells of its trap to whoever asks, and not on its stderr."""

    failure = ""

    def _told(self, failure: str) -> int:
        self.failure = failure
        return TRAP_EXIT_CODE


class _Ready:
    """A route's program, with what each of its guests is given alike."""

    def __init__(self, program: Program, config: GuestConfig, null: int) -> None:
        self.program = program
        self._config = config
        self._null = null
        self._lent: list[Entry] = []

    def configured(self, entry: str, args: tuple[bytes, ...]) -> GuestConfig:
        """Of the guest whose export ``entry`` is called, with ``args`` beside the route's own."""
        own, environ, preopens, _, *rest = self._config
        return GuestConfig(own + args, environ, preopens, entry, *rest)

    def lend(self) -> list[Entry]:
        """Descriptors for a guest: its stdio, which is nothing but for its stderr, and its folders. InvalidArgument:
        there is no such working directory."""
        if not self._lent:
            opened = open_descriptors(self._config, (self._null, self._null, 2))
            for entry in opened:
                if entry.cwd is None:  # that one was just opened, the others are whoever else's
                    entry.fd = os.dup(entry.fd)
                entry.filetype()  # the kernel is asked here, and not by each guest
            self._lent = opened
        return [entry.another() for entry in self._lent]

    def take_back(self, given: Sequence[Entry], left: Sequence[Entry]) -> None:
        """Close what a guest has left open of its own; and if it has closed some of what was lent to it, the rest of
        that, and the next one gets others."""
        intact = all(any(item is other for other in left) for item in given)
        if not intact:
            self._lent = []
        for item in left:
            if not intact or not any(item is other for other in given):
                with suppress(OSError):
                    os.close(item.fd)


class Handlers:
    """What answers: ``routes``, the ``programs`` of their modules, and what every instance is given: ``base``.

    ``volumes`` are the folders of each route that has its own, by the route's number; ``null`` is an open /dev/null.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        programs: Mapping[str, Program],
        base: GuestConfig,
        volumes: Mapping[int, tuple[Preopen, ...]],
        streams: Streams,
        null: int,
    ) -> None:
        self.routes = list(routes)
        self._programs = programs
        self._base = base
        self._volumes = dict(volumes)
        self._streams = streams
        self._null = null
        self._exit = -1
        self._ready: dict[int, _Ready] = {}
        self._parse = remembering(cgi.parse_head)

    def check(self) -> None:
        """InvalidArgument: a route's export can't be called, or a module starts threads."""
        for route in self.routes:
            if not route.module:
                continue
            program = self._programs[route.module]
            if program.path:
                raise InvalidArgument(f"{route.name} is a component, and WAGI is for modules")
            if program.spawns or program.shared is not None:
                raise InvalidArgument(f"{route.name} starts threads, which a handler of HTTP can't")
            program.check_entry(route.name, route.entry)

    def serve(self, job: Job, exchange: Exchange) -> None:
        """Have the request answered. Abort: it was not."""
        number = find(self.routes, job.path)
        route = self.routes[number]
        if route.files:
            files.serve(self._volumes[number][0].fd, route.script, job, exchange)
            return
        output = Output(exchange, self._parse)
        place = cgi.Place(route.pattern, route.script, job.port, job.peer, job.peer_port, _SOFTWARE)
        self._streams.take(exchange, output, lambda: cgi.variables(job.head, place))
        self._run(number, route.entry, cgi.arguments(job.head.target))
        output.end()

    def declared(self, number: int) -> list[Route]:
        """The routes that the module of route ``number`` declares by its ``_routes``, if it has one. InvalidArgument,
        Abort."""
        route = self.routes[number]
        program = self._programs.get(route.module)
        if program is None or not any(item["name"] == _ROUTES_EXPORT for item in program.info["exports"]):
            return []
        written = bytearray()

        def write(data: bytes) -> None:
            written.extend(data)
            if len(written) > _MOST_ROUTES_TEXT:
                raise Abort(502, f"_routes of {route.name} prints over {_MOST_ROUTES_TEXT} bytes")

        self._streams.collect(write)
        self._run(number, _ROUTES_EXPORT, ())
        return below(route, written.decode("utf-8", "replace"))

    def add(self, number: int, route: Route) -> None:
        """One more route, which has the folders of route ``number``."""
        if number in self._volumes:
            self._volumes[len(self.routes)] = self._volumes[number]
        self._programs[route.module].check_entry(route.name, route.entry)
        self.routes.append(route)

    def _run(self, number: int, entry: str, args: tuple[bytes, ...]) -> None:
        ready = self._ready.get(number) or self._prepare(number)
        self._exit = -1
        try:
            given = ready.lend()
            guest = _Instance(ready.program, ready.configured(entry, args), self._ended, opened=given)
        except WherryError as error:
            raise Abort(502, str(error)) from None
        try:
            self._streams.follow(guest)
            guest.instantiate()
            guest.run()
        except WherryError as error:
            raise Abort(502, str(error)) from None
        finally:
            self._streams.leave()
            left = list(guest.entries.values())
            if left != given:  # which most guests leave as they are
                ready.take_back(given, left)
            guest.close()
        self._judge(guest.failure)

    def _prepare(self, number: int) -> _Ready:
        route, base = self.routes[number], self._base
        own = self._volumes.get(number)
        config = GuestConfig(
            args=(os.fsencode(route.name), *base.args[1:]),
            environ=(*base.environ, *map(os.fsencode, route.environ)),
            preopens=base.preopens if own is None else own,
            memory_limit=base.memory_limit,
            cwd=base.cwd if own is None else "/",
            sockets=base.sockets,
            fuel=base.fuel,
            refused=base.refused,
        )
        ready = self._ready[number] = _Ready(self._programs[route.module], config, self._null)
        return ready

    def _judge(self, failure: str) -> None:
        if self._streams.abort is not None:
            raise self._streams.abort
        if failure and self._exit < 0:
            raise Abort(502, trap_message(failure).rstrip())

    def _ended(self, code: int) -> NoReturn:
        self._exit = code
        raise Trap("proc_exit")
