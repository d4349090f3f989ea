"""The WASM end of a request: a new instance of the route's module, whose standard input and output are the exchange.

fd_read and fd_write of those two descriptors are caught before WASI's own functions see them: the zygote's linker knows
nothing of this, a runtime that is made for such a child does.
"""

from __future__ import annotations

import os
from _operator import is_  # `operator` is large

from wherry import __version__
from wherry.errors import InvalidArgument, WherryError
from wherry.record import Record
from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.shim.wagi import files
from wherry.shim.wagi.output import Output
from wherry.shim.wagi.routes import Route, below, find
from wherry.suppress import suppress
from wherry.wasm.guest import TRAP_EXIT_CODE, Guest, GuestConfig, Preopen, trap_message
from wherry.wasm.imports import HostFunction
from wherry.wasm.wasi.errno import Trap
from wherry.wire import cgi

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from wherry.wasm.loaded import Program
    from wherry.wasm.wasi.host import Host
    from wherry.wasm.wasi.table import Entry

_SOFTWARE = f"wherry/{__version__}"
_ROUTES_EXPORT = "_routes"
_MOST_ROUTES_TEXT = 64 << 10


class Streams:
    """The standard input and output of the one guest there is in this process, at each time."""

    def __init__(self) -> None:
        self.stdin: Entry | None = None
        self.stdout: Entry | None = None
        self.read: Callable[[int], bytes] = _nothing
        self.write: Callable[[bytes], None] = _nowhere
        self.flush: Callable[[], None] = _no_flush
        self.abort: Abort | None = None

    def around(self, function: HostFunction) -> HostFunction:
        """The host function, for guests with such streams."""
        made = {"fd_read": self._reading, "fd_write": self._writing, "poll_oneoff": self._polling}.get(function.name)
        if made is None:
            return function
        return HostFunction(function.name, function.params, function.results, made(function.call))

    def _reading(self, call: Callable[..., int]) -> Callable[..., int]:
        def fd_read(host: Host, fd: int, iovs: int, iovs_len: int, nread: int) -> int:
            entry = host.table.entries.get(fd)
            if entry is None or entry is not self.stdin:
                return call(host, fd, iovs, iovs_len, nread)
            done = 0
            buffers = host.memory.iovecs(iovs, iovs_len)
            data = b""

            def read() -> None:
                nonlocal data
                data = self.read(sum(map(len, buffers)))

            self._guarded(read)
            for buffer in buffers:
                part = data[done : done + len(buffer)]
                buffer[: len(part)] = part
                done += len(part)
            host.memory.put_u32(nread, done)
            return 0

        return fd_read

    def _writing(self, call: Callable[..., int]) -> Callable[..., int]:
        def fd_write(host: Host, fd: int, iovs: int, iovs_len: int, nwritten: int) -> int:
            entry = host.table.entries.get(fd)
            if entry is None or entry is not self.stdout:
                return call(host, fd, iovs, iovs_len, nwritten)
            data = b"".join(host.memory.iovecs(iovs, iovs_len))
            self._guarded(lambda: self.write(data))
            host.memory.put_u32(nwritten, len(data))
            return 0

        return fd_write

    def _polling(self, call: Callable[..., int]) -> Callable[..., int]:
        def poll_oneoff(host: Host, *arguments: int) -> int:
            self._guarded(self.flush)  # it may be going to sleep
            return call(host, *arguments)

        return poll_oneoff

    def _guarded(self, action: Callable[[], None]) -> None:
        """Abort ends the guest at once, and whatever it still tries."""
        if self.abort is not None:
            raise Trap("the request is over")
        try:
            action()
        except Abort as abort:
            self.abort = abort
            raise Trap("the request is over") from None

    def take(self, exchange: Exchange, output: Output) -> None:
        """Be the streams of this exchange from now on."""
        self.read, self.write, self.flush = exchange.read, output.write, exchange.flush
        self.abort = None

    def follow(self, guest: Guest) -> None:
        """Be those of this guest."""
        entries = guest.entries
        self.stdin, self.stdout = entries[0], entries[1]


def _nothing(_most: int) -> bytes:
    return b""


def _nowhere(_data: bytes) -> None:
    return None


def _no_flush() -> None:
    return None


class _Instance(Guest):
    """A guest that tells of its trap to whoever asks, and not on its stderr."""

    failure = ""

    def _told(self, failure: str) -> int:
        self.failure = failure
        return TRAP_EXIT_CODE


class _Lent(Record):
    """Descriptors that guests find open."""

    stdio: tuple[int, int, int]
    preopens: tuple[Preopen, ...]


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
        self._lent: dict[int, _Lent] = {}

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
        output = Output(exchange)
        self._streams.take(exchange, output)
        place = cgi.Place(route.pattern, route.script, job.port, job.peer, job.peer_port, _SOFTWARE)
        args = (*self._base.args[1:], *cgi.arguments(job.head.target))
        self._run(number, route.entry, args, cgi.variables(job.head, place))
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

        self._streams.read, self._streams.write, self._streams.flush = _nothing, write, _no_flush
        self._streams.abort = None
        self._run(number, _ROUTES_EXPORT, self._base.args[1:], ())
        return below(route, written.decode("utf-8", "replace"))

    def add(self, number: int, route: Route) -> None:
        """One more route, which has the folders of route ``number``."""
        if number in self._volumes:
            self._volumes[len(self.routes)] = self._volumes[number]
        self._programs[route.module].check_entry(route.name, route.entry)
        self.routes.append(route)

    def _run(self, number: int, entry: str, args: tuple[bytes, ...], environ: tuple[bytes, ...]) -> None:
        route = self.routes[number]
        own = self._volumes.get(number)
        lent = self._lent.get(number) or self._lend(number, self._base.preopens if own is None else own)
        config = GuestConfig(
            args=(os.fsencode(route.name), *args),
            environ=(*self._base.environ, *map(os.fsencode, route.environ), *environ),
            preopens=lent.preopens,
            entry=entry,
            memory_limit=self._base.memory_limit,
            cwd=self._base.cwd if own is None else "/",
            sockets=self._base.sockets,
            fuel=self._base.fuel,
            refused=self._base.refused,
        )
        self._exit = -1
        try:
            guest = _Instance(self._programs[route.module], config, self._ended, stdio_fds=lent.stdio)
        except WherryError as error:
            raise Abort(502, str(error)) from None
        try:
            self._streams.follow(guest)
            given = list(guest.entries.values())[: 3 + len(lent.preopens)]
            guest.instantiate()
            guest.run()
        except WherryError as error:
            raise Abort(502, str(error)) from None
        finally:
            self._streams.stdin = self._streams.stdout = None
            self._clear(number, guest, given)
            guest.close()
        self._judge(guest.failure)

    def _lend(self, number: int, preopens: Sequence[Preopen]) -> _Lent:
        """Descriptors for the guests of a route: a guest may close them, and then the next gets others."""
        made = _Lent(
            (os.dup(self._null), os.dup(self._null), os.dup(2)),
            tuple(Preopen(item.guest_path, os.dup(item.fd), item.writable) for item in preopens),
        )
        self._lent[number] = made
        return made

    def _clear(self, number: int, guest: Guest, given: Sequence[Entry]) -> None:
        """Close what a guest has left open, and if it has closed what was lent to it, the rest of that too."""
        left = list(guest.entries.values())
        if len(left) == len(given) and all(map(is_, left, given)):
            return
        intact = all(any(item is other for other in left) for item in given)
        if not intact:
            del self._lent[number]
        for item in left:
            if not intact or not any(item is other for other in given):
                with suppress(OSError):
                    os.close(item.fd)

    def _judge(self, failure: str) -> None:
        if self._streams.abort is not None:
            raise self._streams.abort
        if failure and self._exit < 0:
            raise Abort(502, trap_message(failure).rstrip())

    def _ended(self, code: int) -> NoReturn:
        self._exit = code
        raise Trap("proc_exit")
