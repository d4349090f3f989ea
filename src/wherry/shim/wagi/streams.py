"""A guest's standard input and output as an exchange: fd_read and fd_write of those two descriptors are caught before
WASI's own functions see them. The zygote's linker knows nothing of this, a runtime that is made for such a child does.
"""

from __future__ import annotations

from wherry.shim.httpd.exchange import Abort, Exchange
from wherry.shim.wagi.output import Output
from wherry.wasm.imports import HostFunction
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.wasm.guest import Guest
    from wherry.wasm.wasi.host import Host
    from wherry.wasm.wasi.table import Entry

_OVER = "the request is over"


class Streams:
    """The standard input and output of the one guest there is in this process, at each time; and its variables, which
    are only made for a guest that asks for them."""

    def __init__(self) -> None:
        self.stdin: Entry | None = None
        self.stdout: Entry | None = None
        self.read: Callable[[int], bytes] = _nothing
        self.write: Callable[[bytes], None] = _nowhere
        self.flush: Callable[[], None] = _no_flush
        self.variables: Callable[[], tuple[bytes, ...]] | None = None
        self.abort: Abort | None = None

    def around(self, function: HostFunction) -> HostFunction:
        """The host function, for guests with such streams."""
        adapt = {
            "fd_read": self._reading,
            "fd_write": self._writing,
            "poll_oneoff": self._polling,
            "environ_get": self._telling,
            "environ_sizes_get": self._telling,
        }.get(function.name)
        if adapt is None:
            return function
        return HostFunction(function.name, function.params, function.results, adapt(function.call))

    def _reading(self, call: Callable[..., int]) -> Callable[..., int]:
        def fd_read(host: Host, fd: int, iovs: int, iovs_len: int, nread: int) -> int:
            entry = host.table.entries.get(fd)
            if entry is None or entry is not self.stdin:
                return call(host, fd, iovs, iovs_len, nread)
            self._check()
            buffers = host.memory.iovecs(iovs, iovs_len)
            try:
                data = self.read(sum(map(len, buffers)))
            except Abort as abort:
                self._give_up(abort)
            done = 0
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
            self._check()
            memory = host.memory
            data = b"".join(memory.iovecs(iovs, iovs_len))
            try:
                self.write(data)
            except Abort as abort:
                self._give_up(abort)
            memory.put_u32(nwritten, len(data))
            return 0

        return fd_write

    def _polling(self, call: Callable[..., int]) -> Callable[..., int]:
        def poll_oneoff(host: Host, *arguments: int) -> int:
            self._check()
            try:
                self.flush()  # it may be going to sleep
            except Abort as abort:
                self._give_up(abort)
            return call(host, *arguments)

        return poll_oneoff

    def _telling(self, call: Callable[..., int]) -> Callable[..., int]:
        def environ(host: Host, *arguments: int) -> int:
            if self.variables is not None:
                host.environ += self.variables()
                self.variables = None
            return call(host, *arguments)

        return environ

    def _check(self) -> None:
        """Abort ends the guest at once, and whatever it still tries."""
        if self.abort is not None:
            raise Trap(_OVER)

    def _give_up(self, abort: Abort) -> None:
        self.abort = abort
        raise Trap(_OVER) from None

    def take(self, exchange: Exchange, output: Output, variables: Callable[[], tuple[bytes, ...]]) -> None:
        """Be the streams of this exchange from now on."""
        self.read, self.write, self.flush = exchange.read, output.write, exchange.flush
        self.variables = variables
        self.abort = None

    def collect(self, write: Callable[[bytes], None]) -> None:
        """Be those of no exchange: ``write`` gets what is printed."""
        self.read, self.write, self.flush = _nothing, write, _no_flush
        self.variables = self.abort = None

    def follow(self, guest: Guest) -> None:
        """Be those of this guest."""
        entries = guest.entries
        self.stdin, self.stdout = entries[0], entries[1]

    def leave(self) -> None:
        """Be those of no guest any more."""
        self.stdin = self.stdout = None


def _nothing(_most: int) -> bytes:
    return b""


def _nowhere(_data: bytes) -> None:
    return None


def _no_flush() -> None:
    return None
