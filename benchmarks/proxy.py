"""Components of wasi:http: requests per second of a small handler with a new instance for each, and a body streamed
through one, with what that takes of memory: spliced, and read and written by it. Loopback, one core for the server and
its workers. Beside them a program as a component that writes to its stdout.
"""

import contextlib
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from benchmarks import bundles, components, proc, programs
from benchmarks.figures import Bound, Row, Samples
from benchmarks.shim import running
from benchmarks.wagi import REQUESTS, Clients, serving
from wherry.errors import Internal
from wherry.wire import task as api

_PART = "proxy"
_BODY = b"Hello from a component!\n"
_RATE = Bound(1000, at_least=True)
_FLOW = Bound(100, at_least=True)
_MEMORY = Bound(16)
_SIZE = 64 << 20
_PIECE = 1 << 16
_FLAGS = ("-Os", "-s", "-nostdlib", "-fno-builtin", "-Wl,--no-entry")
_STREAM = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
_WAYS = {"splice": "spliced through", "pour": "read and written by"}
"""The handler's paths that a body goes through, in words."""
_MB = 1_000_000


class ProxyPart:
    """Per round a number of requests, and one large body there and back."""

    name = _PART

    def __init__(self, folder: str, environ: Mapping[str, str], stack: contextlib.ExitStack) -> None:
        self._folder = os.path.join(folder, _PART)
        os.makedirs(self._folder)
        self._shim = stack.enter_context(running(self._folder, environ))
        self._requests, self._written = Samples(), Samples()
        self._flows = {way: Samples() for way in _WAYS}
        self._grown = dict.fromkeys(_WAYS, 0.0)
        hello = stack.enter_context(self._container("hello", environ, "-DHELLO"))
        self._clients = Clients(hello, stack, _BODY)
        self._streaming = stack.enter_context(self._container("stream", environ))
        self._output = self._program("output", environ)
        self._ran = 0

    def warm_up(self) -> None:
        """One round that is not counted."""
        self._clients.exchange()
        for way in _WAYS:
            _stream(self._streaming[1], way)
        self._write()

    def round(self, number: int) -> None:
        """The requests, then the body, each way, then the output."""
        self._requests.add(self._clients.exchange())
        for way in _WAYS:
            before = _anonymous(self._streaming[0])
            taken, most = self._watched(way)
            self._flows[way].add(taken)
            self._grown[way] = max(self._grown[way], (most - before) / _MB)
        self._written.add(self._write())

    def _watched(self, way: str) -> tuple[int, int]:
        """How long a body took, and the most memory that the server and its workers had meanwhile."""
        pid, port = self._streaming
        taken: list[int] = []
        thread = threading.Thread(target=lambda: taken.append(_stream(port, way)))
        thread.start()
        most = 0
        while thread.is_alive():
            most = max(most, _anonymous(pid))
            thread.join(0.01)
        if not taken:
            raise Internal("the component cut the body short")
        return taken[0], most

    def rows(self) -> list[Row]:
        """Median rounds as rates; p90 is what nine of ten rounds were faster than."""
        what = "wasi:http requests per second, a small component on one core, a new instance for each"
        if not len(self._requests):
            return [Row(_PART, what, "/s", None, bound=_RATE, note="no round was run")]
        count = len(self._requests)
        rate, slow = (REQUESTS * 1e9 / taken for taken in (self._requests.median(), self._requests.p90()))
        return [
            Row(_PART, what, "/s", rate, slow, count, _RATE),
            Row(_PART, "wasi:http request, processor time", "us", self._clients.cost(), None, count),
            *(row for way in _WAYS for row in self._flow_rows(way)),
            _rate_row("MB per second, 64 MB that a program as a component writes to its stdout", self._written, None),
        ]

    def _flow_rows(self, way: str) -> list[Row]:
        said = _WAYS[way]
        grown = f"that body: memory of the server and its workers, more than before ({said})"
        return [
            _rate_row(f"MB per second, a body of 64 MB {said} a component and back", self._flows[way], _FLOW),
            Row(_PART, grown, "MB", self._grown[way], None, len(self._flows[way]), _MEMORY),
        ]

    def _program(self, name: str, environ: Mapping[str, str]) -> str:
        """The rootfs of a program as a component."""
        rootfs = os.path.join(self._folder, f"{name}-rootfs")
        os.makedirs(rootfs)
        module = os.path.join(self._folder, f"{name}.core.wasm")
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s"]
        proc.run([*compiler, "-o", module, programs.source(f"{name}.c")], environ, f"compiling {name}.c to WASM")
        made = components.command(module, os.path.join(self._folder, f"{name}.wasm"), environ)
        shutil.copy(made, os.path.join(rootfs, "app.wasm"))
        return rootfs

    def _write(self) -> int:
        """Nanoseconds from the program's start to the end of its output. Internal: it was cut short."""
        self._ran += 1
        name = f"output-{self._ran}"
        spec = bundles.spec(name, ["/app.wasm", str(_SIZE >> 20)])
        bundle = bundles.make(self._folder, name, self._output, spec)
        one = api.ProcessRequest(id=name)
        reading = os.open(bundle.stdout, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self._shim.call("Create", bundle.request, api.CreateTaskResponse)
            os.set_blocking(reading, True)
            before = time.perf_counter_ns()
            self._shim.call("Start", one, api.StartResponse)
            received = 0
            while data := os.read(reading, 1 << 20):
                received += len(data)
            taken = time.perf_counter_ns() - before
        finally:
            os.close(reading)
            self._shim.call("Wait", one, api.WaitResponse)
            self._shim.call("Delete", one, api.DeleteResponse)
        if received != _SIZE:
            raise Internal(f"{received} bytes of {_SIZE} were written")
        return taken

    @contextlib.contextmanager
    def _container(self, name: str, environ: Mapping[str, str], *flags: str) -> Iterator[tuple[int, int]]:
        """A component in a container, on one core with its workers; its pid and its port."""
        rootfs = os.path.join(self._folder, f"{name}-rootfs")
        os.makedirs(rootfs)
        core = os.path.join(self._folder, f"{name}.core.wasm")
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", *_FLAGS, *flags]
        proc.run([*compiler, "-o", core, components.HANDLER], environ, "compiling a handler to WASM")
        made = components.componentize(core, os.path.join(self._folder, f"{name}.wasm"), environ)
        shutil.copy(made, os.path.join(rootfs, "app.wasm"))
        with serving(self._shim, self._folder, name, rootfs, "/app.wasm", {}) as served:
            yield served


def _rate_row(what: str, samples: Samples, bound: Bound | None) -> Row:
    rate, slowest = (_SIZE / 1e6 * 1e9 / taken for taken in (samples.median(), samples.p90()))
    return Row(_PART, what, "/s", rate, slowest, len(samples), bound)


def _stream(port: int, way: str) -> int:
    """Nanoseconds until a large body was there and back. Internal: it was cut short."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        before = time.perf_counter_ns()
        sender = threading.Thread(target=_send, args=(connection, way))
        sender.start()
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
        taken = time.perf_counter_ns() - before
        sender.join()
    if received < _SIZE:
        raise Internal(f"{received} bytes of {_SIZE} came back")
    return taken


def _send(connection: socket.socket, way: str) -> None:
    piece = bytes(_PIECE)
    connection.sendall(_STREAM % (way.encode(), _SIZE))
    for _ in range(_SIZE // _PIECE):
        connection.sendall(piece)


def _anonymous(pid: int) -> int:
    """Bytes of anonymous memory of a server and its workers: the engine's and the guests'."""
    total = 0
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        pids = [pid, *map(int, file.read().split())]
    for each in pids:
        with contextlib.suppress(OSError), open(f"/proc/{each}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))
    return total
