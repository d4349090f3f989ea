"""Requests per second of the HTTP server in examples/http, with preview 1's sockets alone: one core, kept-alive
connections over loopback, in a container on the host's network."""

import contextlib
import os
import select
import shutil
import socket
import time
from collections.abc import Iterator, Mapping

from benchmarks import bundles
from benchmarks.figures import Bound, Row, Samples
from benchmarks.programs import Programs
from benchmarks.shim import running
from wherry.errors import Internal, Unavailable, WherryError
from wherry.wire import task as api
from wherry.wire.wellknown import Empty

_PART = "http"
_CONNECTIONS = 8
_REQUESTS = 1000
"""In a round, over all connections together."""
_AT_LEAST = Bound(5000, at_least=True)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BODY = b"Hello from WebAssembly!\n"
_TIMEOUT = 10.0


class HttpPart:
    """Per round a number of requests, each sent when the one before it on its connection was answered."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        self._folder = os.path.join(folder, _PART)
        rootfs = os.path.join(self._folder, "rootfs")
        os.makedirs(rootfs)
        shutil.copy(programs.server, os.path.join(rootfs, "server.wasm"))
        self._samples = Samples()
        self._shim = stack.enter_context(running(self._folder, environ))
        port = stack.enter_context(self._container(rootfs))
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        for _ in range(_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), _TIMEOUT))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(connection, select.EPOLLIN)
            self._connections[connection.fileno()] = connection

    def warm_up(self) -> None:
        """One round that is not counted."""
        self._exchange()

    def round(self, number: int) -> None:
        """One."""
        del number
        self._samples.add(self._exchange())

    def rows(self) -> list[Row]:
        """The median round as a rate; p90 is what nine of ten rounds were faster than."""
        what = "HTTP requests per second, preview 1 server in C on one core, kept alive"
        if not len(self._samples):
            return [Row(_PART, what, "/s", None, bound=_AT_LEAST, note="no round was run")]
        rate, slow = _REQUESTS * 1e9 / self._samples.median(), _REQUESTS * 1e9 / self._samples.p90()
        return [Row(_PART, what, "/s", rate, slow, len(self._samples), _AT_LEAST)]

    @contextlib.contextmanager
    def _container(self, rootfs: str) -> Iterator[int]:
        """A server in a container, on one core; its port."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        kinds = [kind for kind in bundles.KINDS if kind != "network"]
        spec = {**bundles.spec("http", ["/server.wasm"], kinds), "annotations": {"dev.wherry.listen": f"{port}/tcp"}}
        bundle = bundles.make(self._folder, "http", rootfs, spec)
        one = api.ProcessRequest(id="http")
        reading = os.open(bundle.stdout, os.O_RDONLY | os.O_NONBLOCK)
        try:
            pid = self._shim.call("Create", bundle.request, api.CreateTaskResponse).pid
            os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
            self._shim.call("Start", one, api.StartResponse)
            yield port
        finally:
            os.close(reading)
            with contextlib.suppress(WherryError, OSError):
                self._shim.call("Kill", api.KillRequest(id="http", signal=9), Empty)
                self._shim.call("Wait", one, api.WaitResponse)
                self._shim.call("Delete", one, api.DeleteResponse)

    def _exchange(self) -> int:
        """Nanoseconds until all requests of a round are answered. Internal: an answer is not what it should be."""
        for connection in self._connections.values():
            connection.sendall(_REQUEST)
        left, sent = _REQUESTS, _CONNECTIONS
        before = time.perf_counter_ns()
        while left:
            ready = self._poll.poll(_TIMEOUT)
            if not ready:
                raise Unavailable(f"the HTTP server does not answer within {_TIMEOUT:g} s")
            for fd, _ in ready:
                answer = self._connections[fd].recv(4096)
                if not answer.endswith(_BODY):
                    raise Internal(f"the HTTP server answered {answer[:80]!r}")
                left -= 1
                if sent < _REQUESTS:
                    self._connections[fd].sendall(_REQUEST)
                    sent += 1
        return time.perf_counter_ns() - before
