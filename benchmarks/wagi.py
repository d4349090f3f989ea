"""WAGI: requests per second with a new instance for each, how long each takes at half of the bound, and a native CGI
program in the place of the module, spawned for each request by the same server; that program once more without glibc,
whose start takes longer than all the rest where a hypervisor answers CPUID. Loopback, kept-alive connections, one core.
"""

import contextlib
import multiprocessing
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping

from benchmarks import bundles
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.programs import Programs
from benchmarks.shim import Shim, running
from wherry.errors import Internal, Unavailable, WherryError
from wherry.shim.httpd.exchange import Exchange, Job
from wherry.shim.httpd.log import Log
from wherry.shim.httpd.pool import Pool
from wherry.shim.httpd.server import Server
from wherry.shim.httpd.settings import Settings
from wherry.shim.wagi.output import Output
from wherry.wire import cgi
from wherry.wire import task as api
from wherry.wire.memo import remembering
from wherry.wire.wellknown import Empty

_PART = "wagi"
_CONNECTIONS = 4
REQUESTS = 500
"""In a round, over all connections together."""
_PACED = 200
_RATE = 1500
_AT_LEAST = Bound(_RATE, at_least=True)
_AT_MOST = Bound(10.0)
_RATIO = Bound(3.0, at_least=True)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BODY = b"Hello from WAGI!\n"
_TIMEOUT = 10.0
_READ = 1 << 16


class WagiPart:
    """Per round a number of requests to each server, and some to the first at half of its bound's rate."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        self._folder = os.path.join(folder, _PART)
        rootfs = os.path.join(self._folder, "rootfs")
        os.makedirs(rootfs)
        shutil.copy(programs.page, os.path.join(rootfs, "page.wasm"))
        self._wasm, self._native, self._small = Samples(), Samples(), Samples()
        self._latencies: list[float] = []
        self._shim = stack.enter_context(running(self._folder, environ))
        self._clients = Clients(stack.enter_context(self._container(rootfs)), stack)
        self._cgi = Clients(stack.enter_context(_native_server(programs.native_page)), stack)
        self._turns = [(self._wasm, self._clients), (self._native, self._cgi)]
        if programs.small_page:
            small = Clients(stack.enter_context(_native_server(programs.small_page)), stack)
            self._turns.append((self._small, small))

    def warm_up(self) -> None:
        """One round that is not counted."""
        for _, clients in self._turns:
            clients.exchange()

    def round(self, number: int) -> None:
        """All, in turns."""
        for samples, clients in turns(self._turns, number):
            samples.add(clients.exchange())
        self._latencies += self._clients.paced()

    def rows(self) -> list[Row]:
        """Median rounds as rates; p90 is what nine of ten rounds were faster than."""
        what = "WAGI requests per second, C on one core, a new instance for each"
        if not len(self._wasm):
            return [Row(_PART, what, "/s", None, bound=_AT_LEAST, note="no round was run")]
        latencies = sorted(self._latencies)
        p99 = latencies[int(len(latencies) * 0.99)] * 1000
        rates = [REQUESTS * 1e9 / samples.median() for samples in (self._wasm, self._native)]
        slow = [REQUESTS * 1e9 / samples.p90() for samples in (self._wasm, self._native)]
        count = len(self._wasm)
        return [
            Row(_PART, what, "/s", rates[0], slow[0], count, _AT_LEAST),
            Row(_PART, f"WAGI request, p99 at {_RATE // 2} per second", "ms", p99, None, count, _AT_MOST),
            Row(_PART, "CGI requests per second, the same C native, spawned for each", "/s", rates[1], slow[1], count),
            Row(_PART, "WAGI, times the rate of native CGI", "x", rates[0] / rates[1], None, count, _RATIO),
            Row(_PART, "WAGI, processor time of a request", "us", self._clients.cost(), None, count),
            Row(_PART, "native CGI, processor time of a request", "us", self._cgi.cost(), None, count),
            *self._without_glibc(rates[0]),
        ]

    def _without_glibc(self, rate: float) -> list[Row]:
        if not len(self._small):
            return []
        small = REQUESTS * 1e9 / self._small.median()
        what = "CGI requests per second, native with musl, spawned for each"
        return [
            Row(_PART, what, "/s", small, REQUESTS * 1e9 / self._small.p90(), len(self._small)),
            Row(_PART, "WAGI, times the rate of native CGI with musl", "x", rate / small, None, len(self._small)),
        ]

    def _container(self, rootfs: str) -> contextlib.AbstractContextManager[tuple[int, int]]:
        labels = {"dev.wherry.http": "wagi"}
        return serving(self._shim, self._folder, _PART, rootfs, "/page.wasm", labels)


@contextlib.contextmanager
def serving(
    shim: Shim, folder: str, name: str, rootfs: str, module: str, labels: Mapping[str, str]
) -> Iterator[tuple[int, int]]:
    """A container that answers HTTP, on one core with its workers; its pid and its port."""
    port = free_port()
    kinds = [kind for kind in bundles.KINDS if kind != "network"]
    annotations = {**labels, "dev.wherry.http.port": str(port)}
    spec = {**bundles.spec(name, [module], kinds), "annotations": annotations}
    bundle = bundles.make(folder, name, rootfs, spec)
    one = api.ProcessRequest(id=name)
    reading = os.open(bundle.stdout, os.O_RDONLY | os.O_NONBLOCK)
    reader = Drain(reading)
    try:
        pid = shim.call("Create", bundle.request, api.CreateTaskResponse).pid
        os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
        shim.call("Start", one, api.StartResponse)
        reader.start()
        yield pid, port
    finally:
        with contextlib.suppress(WherryError, OSError):
            shim.call("Kill", api.KillRequest(id=name, signal=9), Empty)
            shim.call("Wait", one, api.WaitResponse)
            shim.call("Delete", one, api.DeleteResponse)
        reader.end()
        os.close(reading)


class Drain:
    """Somebody who reads the access log, as an engine would: a process of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=_discard, args=(self._fd,), daemon=True)
        self._process.start()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()


def _discard(fd: int) -> None:
    os.set_blocking(fd, True)
    while os.read(fd, _READ):
        continue


class Clients:
    """Kept-alive connections to one server."""

    def __init__(self, server: tuple[int, int], stack: contextlib.ExitStack, body: bytes = _BODY) -> None:
        self._pid, port = server
        self._body = body
        self.used, self.done = 0.0, 0
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        for _ in range(_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), _TIMEOUT))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(connection, select.EPOLLIN)
            self._connections[connection.fileno()] = connection

    def exchange(self) -> int:
        """Nanoseconds until all requests of a round are answered. Internal: an answer is not what it should be."""
        for connection in self._connections.values():
            connection.sendall(_REQUEST)
        left, sent = REQUESTS, _CONNECTIONS
        used = _used(self._pid)
        before = time.perf_counter_ns()
        while left:
            for connection in self._answered():
                left -= 1
                if sent < REQUESTS:
                    connection.sendall(_REQUEST)
                    sent += 1
        taken = time.perf_counter_ns() - before
        self.used, self.done = self.used + _used(self._pid) - used, self.done + REQUESTS
        return taken

    def cost(self) -> float:
        """Microseconds of processor time of a request: what a busy machine changes least."""
        return self.used * 1e6 / self.done

    def paced(self) -> list[float]:
        """Seconds that each request took which was due, whenever it could be sent: half of the bound's rate."""
        taken = []
        connection = next(iter(self._connections.values()))
        due = time.perf_counter()
        for _ in range(_PACED):
            due += 2 / _RATE
            while time.perf_counter() < due:
                select.select((), (), (), max(due - time.perf_counter(), 0))
            connection.sendall(_REQUEST)
            while not list(self._answered()):
                continue
            taken.append(time.perf_counter() - due)
        return taken

    def _answered(self) -> Iterator[socket.socket]:
        ready = self._poll.poll(_TIMEOUT)
        if not ready:
            raise Unavailable(f"the server does not answer within {_TIMEOUT:g} s")
        for fd, _ in ready:
            answer = self._connections[fd].recv(4096)
            if not answer.endswith(self._body):
                raise Internal(f"the server answered {answer[:80]!r}")
            yield self._connections[fd]


def _used(pid: int) -> float:
    """Seconds of processor time of a process, its children, and theirs that are gone."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        pids = [pid, *map(int, file.read().split())]
    ticks = 0
    for each in pids:
        with open(f"/proc/{each}/stat", encoding="utf-8", errors="replace") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class _Native:
    """CGI as it always was: a process for each request, its output by a pipe."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._parse = remembering(cgi.parse_head)

    def serve(self, job: Job, exchange: Exchange) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        place = cgi.Place("/...", "", job.port, job.peer, job.peer_port, "bench")
        environ = dict(word.split(b"=", 1) for word in cgi.variables(job.head, place))
        output = Output(exchange, self._parse)
        files = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        pid = os.posix_spawn(self._program, [self._program], environ, file_actions=files)
        os.close(writing)
        while data := os.read(reading, _READ):
            output.write(data)
        os.close(reading)
        os.waitpid(pid, 0)
        output.end()


@contextlib.contextmanager
def _native_server(program: str) -> Iterator[tuple[int, int]]:
    """The same server in front of a native program, on the same core; its pid and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, program))
    process.start()
    try:
        assert process.pid is not None
        yield process.pid, listener.getsockname()[1]
    finally:
        process.terminate()
        process.join(_TIMEOUT)
        listener.close()


def _serve(listener: socket.socket, program: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_WRONLY)
    pool = Pool(_Native(program), 16, 1 << 20, lambda: None)
    Server(listener, lambda _path: True, Settings(), pool, Log(null, 2)).run()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
