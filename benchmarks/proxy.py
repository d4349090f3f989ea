"""Components of wasi:http: requests per second of a small handler with a new instance for each, and a body streamed
through one, with what that takes of memory. Loopback, one core for the server and its workers.
"""

import contextlib
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from benchmarks import components, proc
from benchmarks.figures import Bound, Row, Samples
from benchmarks.shim import running
from benchmarks.wagi import REQUESTS, Clients, serving
from wherry.errors import Internal

_PART = "proxy"
_BODY = b"Hello from a component!\n"
_RATE = Bound(1000, at_least=True)
_FLOW = Bound(100, at_least=True)
_MEMORY = Bound(16)
_SIZE = 64 << 20
_PIECE = 1 << 16
_FLAGS = ("-Os", "-s", "-nostdlib", "-fno-builtin", "-Wl,--no-entry")
_STREAM = b"POST /splice HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % _SIZE
_MB = 1_000_000


class ProxyPart:
    """Per round a number of requests, and one large body there and back."""

    name = _PART

    def __init__(self, folder: str, environ: Mapping[str, str], stack: contextlib.ExitStack) -> None:
        self._folder = os.path.join(folder, _PART)
        os.makedirs(self._folder)
        self._shim = stack.enter_context(running(self._folder, environ))
        self._requests, self._flow = Samples(), Samples()
        self._grown = 0.0
        hello = stack.enter_context(self._container("hello", environ, "-DHELLO"))
        self._clients = Clients(hello, stack, _BODY)
        self._streaming = stack.enter_context(self._container("stream", environ))

    def warm_up(self) -> None:
        """One round that is not counted."""
        self._clients.exchange()
        _stream(self._streaming[1])

    def round(self, number: int) -> None:
        """The requests, then the body."""
        self._requests.add(self._clients.exchange())
        before = _anonymous(self._streaming[0])
        taken, most = self._watched()
        self._flow.add(taken)
        self._grown = max(self._grown, (most - before) / _MB)

    def _watched(self) -> tuple[int, int]:
        """How long a body took, and the most memory that the server and its workers had meanwhile."""
        pid, port = self._streaming
        taken: list[int] = []
        thread = threading.Thread(target=lambda: taken.append(_stream(port)))
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
        flow, slowest = (_SIZE / 1e6 * 1e9 / taken for taken in (self._flow.median(), self._flow.p90()))
        return [
            Row(_PART, what, "/s", rate, slow, count, _RATE),
            Row(_PART, "wasi:http request, processor time", "us", self._clients.cost(), None, count),
            Row(
                _PART,
                "MB per second, a body of 64 MB spliced through a component and back",
                "/s",
                flow,
                slowest,
                count,
                _FLOW,
            ),
            Row(
                _PART,
                "that body: memory of the server and its workers, more than before",
                "MB",
                self._grown,
                None,
                count,
                _MEMORY,
            ),
        ]

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


def _stream(port: int) -> int:
    """Nanoseconds until a large body was there and back. Internal: it was cut short."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        before = time.perf_counter_ns()
        sender = threading.Thread(target=_send, args=(connection,))
        sender.start()
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
        taken = time.perf_counter_ns() - before
        sender.join()
    if received < _SIZE:
        raise Internal(f"{received} bytes of {_SIZE} came back")
    return taken


def _send(connection: socket.socket) -> None:
    piece = bytes(_PIECE)
    connection.sendall(_STREAM)
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
