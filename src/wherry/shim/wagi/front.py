"""A child that is a server of HTTP: what it loads while the host's files are in reach, opens before it is shut in, and
does once it is started.
"""

from __future__ import annotations

import _socket
import gc
import os
import resource

from wherry.errors import FailedPrecondition, WherryError
from wherry.linux import seccomp
from wherry.shim import policy
from wherry.shim.birth import Sandbox
from wherry.shim.wagi.exchange import Abort
from wherry.shim.wagi.handler import Handlers, Streams
from wherry.shim.wagi.log import Log
from wherry.shim.wagi.pool import Pool
from wherry.shim.wagi.routes import Route
from wherry.shim.wagi.server import Server
from wherry.shim.wagi.settings import Settings
from wherry.wasm.guest import GuestConfig, Preopen
from wherry.wasm.program import Program, Runtime
from wherry.wasm.wasi.socket import listen_at

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_CONNECTIONS = 4096
_SPARE_DESCRIPTORS = 64


class Front:
    """``filter`` is the system calls' that the server needs."""

    def __init__(self, sandbox: Sandbox, library: str) -> None:
        """Load the modules. InvalidArgument, DataLoss and the like: see `Runtime.load`."""
        settings, routes = sandbox.http
        self._settings = Settings(*settings)
        self._routes = [Route(*route) for route in routes]
        self._streams = Streams()
        self._runtime = Runtime(library, fuel=bool(sandbox.fuel), around=self._streams.around)
        self._programs: Mapping[str, Program] = {
            path: self._load(path) for path in dict.fromkeys(route.module for route in self._routes if route.module)
        }
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._listener: _socket.socket | None = None
        self._handlers: Handlers | None = None
        self._descriptors = 0
        sockets = sandbox.sockets is not None and self.program.imports_sockets
        self.filter, self._workers_filter = policy.server_programs(sockets=sockets)

    def _load(self, path: str) -> Program:
        program = self._runtime.load(path)
        self._runtime.complete(program)
        return program

    @property
    def program(self) -> Program:
        """One that imports sockets, if there is such a one: the sandbox is shut around it."""
        programs = list(self._programs.values())
        return next((program for program in programs if program.imports_sockets), programs[0])

    def listen(self) -> None:
        """In the container's network. OSError names the port."""
        self._listener = _socket.socket(fileno=listen_at(self._settings.port))

    def open(self, base: GuestConfig) -> None:
        """In the container's rootfs: the folders that routes name. ``base`` is what every instance is given.
        InvalidArgument: a route can't be served; FailedPrecondition: there is no such folder."""
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        volumes = {}
        for number, route in enumerate(self._routes):
            named = (("/", route.files),) if route.files else route.volumes
            if named:
                volumes[number] = tuple(Preopen(inside, _folder(route, at), writable=True) for inside, at in named)
        self._handlers = Handlers(self._routes, self._programs, base, volumes, self._streams, self._null)
        self._handlers.check()

    def serve(self) -> None:
        """Ask the modules for routes of their own, then answer until a signal comes. Returns when all is done."""
        assert self._listener is not None
        assert self._handlers is not None
        gc.collect()
        gc.freeze()
        gc.enable()
        log = Log()
        declare(self._handlers, log)
        pool = Pool(self._handlers, self._settings.concurrency, self._settings.body, self._confine)
        most = max(8, min(_MOST_CONNECTIONS, self._descriptors - _SPARE_DESCRIPTORS - 2 * self._settings.concurrency))
        Server(self._listener, self._handlers.routes, self._settings, pool, log, most_connections=most).run()

    def _confine(self) -> None:
        seccomp.install(self._workers_filter)


def declare(handlers: Handlers, log: Log) -> None:
    """Add the routes that the modules declare; what a module declares wrongly is told and left out."""
    for number in range(len(handlers.routes)):
        try:
            for route in handlers.declared(number):
                handlers.add(number, route)
        except (WherryError, Abort) as error:
            log.note(str(error))


def _folder(route: Route, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FailedPrecondition(f"the route {route.pattern} has no folder {path}: {error.strerror}") from None
