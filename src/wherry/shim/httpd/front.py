"""A child that is a server of HTTP: what it loads while the host's files are in reach, opens before it is shut in, and
does once it is started.
"""

from __future__ import annotations

import _socket
import gc
import resource
import sys

from wherry.linux import seccomp
from wherry.shim import policy
from wherry.shim.birth import Sandbox
from wherry.shim.httpd import shelf
from wherry.shim.httpd.log import Log
from wherry.shim.httpd.pool import Pool
from wherry.shim.httpd.relay import Relay
from wherry.shim.httpd.server import Relays, Server
from wherry.shim.httpd.settings import Settings
from wherry.wasm.guest import GuestConfig
from wherry.wasm.program import Program
from wherry.wasm.wasi.socket import listen_at

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.shim.httpd.handler import Handler
    from wherry.shim.httpd.terminator import Terminator

_MOST_CONNECTIONS = 4096
_SPARE_DESCRIPTORS = 64


class Front:
    """The listener, the handler, and what system calls both may make. ``cache`` is the folder of compiled code."""

    def __init__(self, sandbox: Sandbox, handler: Handler, settings: Settings, cache: str) -> None:
        self._settings = settings
        self._handler = handler
        self._listener: _socket.socket | None = None
        self._descriptors = 0
        sockets = sandbox.sockets is not None and self.program.imports_sockets
        self._shelf = shelf.open_shelf(cache, sys.path)
        self._terminator: Terminator | None = None
        if settings.certificate:
            from wherry.shim.httpd.terminator import Terminator  # of the few that speak TLS

            self._terminator = Terminator(settings)
        self._filter, self._workers_filter = policy.server_programs(sockets=sockets)

    @property
    def program(self) -> Program:
        """The one that the sandbox is shut around."""
        return self._handler.program

    def listen(self) -> None:
        """In the container's network. OSError names the port."""
        self._listener = _socket.socket(fileno=listen_at(self._settings.port))

    def open(self, base: GuestConfig) -> None:
        """In the container's rootfs: see `Handler.open` and `Terminator.open`."""
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._handler.open(base)
        if self._terminator is not None:
            self._terminator.open(http2=self._shelf >= 0)

    def shut(self) -> None:
        """Make no more system calls than a server needs."""
        seccomp.install(self._filter)

    def serve(self) -> None:
        """Answer until a signal comes. Returns when all is done."""
        assert self._listener is not None
        gc.collect()
        gc.freeze()
        gc.enable()
        log = Log()
        self._handler.begin(log)
        pool = Pool(self._handler, self._settings.concurrency, self._settings.body, self._confine)
        most = max(8, min(_MOST_CONNECTIONS, self._descriptors - _SPARE_DESCRIPTORS - 2 * self._settings.concurrency))
        Server(
            self._listener,
            self._handler.accepts,
            self._settings,
            pool,
            log,
            most_connections=most,
            relays=self._relays(),
        ).run()

    def _relays(self) -> Relays:
        tls = Relay("TLS", self._terminator.run) if self._terminator is not None else None
        fd = self._shelf
        if fd < 0:
            return Relays(tls)
        return Relays(tls, Relay("HTTP/2", lambda line: shelf.speak(fd, line), (fd,)))

    def _confine(self) -> None:
        seccomp.install(self._workers_filter)
