"""A container's WAGI handlers as the server in httpd/ knows them: loaded, opened, asked for their routes."""

from __future__ import annotations

import os

from wherry.errors import DataLoss, FailedPrecondition, WherryError
from wherry.shim.birth import Sandbox
from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.shim.httpd.log import Log
from wherry.shim.wagi.handler import Handlers
from wherry.shim.wagi.routes import Route, find
from wherry.shim.wagi.streams import Streams
from wherry.wasm import pooled
from wherry.wasm.guest import GuestConfig, Preopen
from wherry.wasm.program import Program, Runtime

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Site:
    """``routes`` are tuples of `Route`'s fields."""

    def __init__(self, sandbox: Sandbox, library: str, routes: tuple[Any, ...], page: int) -> None:
        """Load the modules; ``page`` is where their meter lies. InvalidArgument, DataLoss and the like: see
        `Runtime.load`."""
        self._routes = [Route(*route) for route in routes]
        self._streams = Streams()
        self._programs = self._load(library, page, fuel=bool(sandbox.fuel))
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._handlers: Handlers | None = None

    def _load(self, library: str, page: int, *, fuel: bool) -> Mapping[str, Program]:
        """Each route's program by its path: in a pool, unless one of them is too large for that."""
        around = self._streams.around
        try:
            return self._loaded(Runtime(library, fuel=fuel, around=around, tune=pooled.tune, page=page))
        except DataLoss:
            return self._loaded(Runtime(library, fuel=fuel, around=around, page=page))

    def _loaded(self, runtime: Runtime) -> Mapping[str, Program]:
        self._runtime = runtime
        programs = {path: runtime.load(path) for path in dict.fromkeys(route.module for route in self._routes) if path}
        for program in programs.values():
            runtime.complete(program)
        return programs

    @property
    def program(self) -> Program:
        """One that imports sockets, if there is such a one."""
        programs = list(self._programs.values())
        return next((program for program in programs if program.imports_sockets), programs[0])

    def open(self, base: GuestConfig) -> None:
        """Open the folders that routes name. InvalidArgument: a route can't be served; FailedPrecondition: there is no
        such folder."""
        volumes = {}
        for number, route in enumerate(self._routes):
            named = (("/", route.files),) if route.files else route.volumes
            if named:
                volumes[number] = tuple(
                    Preopen(os.fsencode(inside), _folder(route, at), writable=True) for inside, at in named
                )
        self._handlers = Handlers(self._routes, self._programs, base, volumes, self._streams, self._null)
        self._handlers.check()

    @property
    def _opened(self) -> Handlers:
        assert self._handlers is not None
        return self._handlers

    def begin(self, log: Log) -> None:
        """Ask the modules for routes of their own; what a module declares wrongly is told and left out."""
        handlers = self._opened
        for number in range(len(handlers.routes)):
            try:
                for route in handlers.declared(number):
                    handlers.add(number, route)
            except (WherryError, Abort) as error:
                log.note(str(error))

    def accepts(self, path: str) -> bool:
        """Whether a route covers it."""
        return find(self._opened.routes, path) >= 0

    def serve(self, job: Job, exchange: Exchange) -> None:
        """Abort: see `Handlers.serve`."""
        self._opened.serve(job, exchange)


def _folder(route: Route, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FailedPrecondition(f"the route {route.pattern} has no folder {path}: {error.strerror}") from None
