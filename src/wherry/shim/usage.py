"""The server's side of guests' meters: a page for each process, and what those of a task come to.

What a page says is the child's word, and only ever shown: nothing is decided by it.
"""

import os

from wherry.suppress import suppress
from wherry.wasm import meter
from wherry.wasm.component.counted import INTERFACES, SOMEWHERE, memories
from wherry.wasm.imports import HOST
from wherry.wasm.wasi import preview1
from wherry.wasm.wasi.sock_list import SOCKETS
from wherry.wire.usage import Calls, Usage

_NAMES = (
    *(name if module == preview1.MODULE else f"{module}.{name}" for module, name in HOST),
    *SOCKETS,
    "wasi.thread-spawn",
    *INTERFACES,
)
_MOST = 2**64 - 1
"""What a message can carry: a child writes into its page what it likes."""
_NOTHING = meter.Counted(0, 0, 0, (0,) * len(_NAMES))


class Page:
    """A page of counters: a file without a name, mapped by the process it is given to."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("wherry-meter", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, meter.SIZE)
        self._peak = 0

    def read(self) -> meter.Counted:
        """What is counted so far; nothing once it is closed."""
        if self.fd < 0:
            return _NOTHING
        told = meter.read(os.pread(self.fd, meter.SIZE, 0), len(_NAMES))
        return meter.Counted(max(told.memory, self._peak), told.fuel, told.base, told.calls)

    def look(self, pid: int) -> None:
        """See how much linear memory its process, which is there, has now: a guest that grows it tells nobody."""
        base = self.read().base
        if base:
            self._peak = max(self._peak, writable_from(pid, base))

    def close(self) -> None:
        """Let go of it. May be called again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


def writable_from(pid: int, base: int) -> int:
    """Bytes of the process ``pid`` that can be written, from the address ``base`` on, without a gap; for `SOMEWHERE`
    those of all its linear memories.

    What a memory may yet grow to lies behind them, out of reach: https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
    """
    if base == SOMEWHERE:
        with suppress(OSError, ValueError), open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
            return memories(file)
        return 0
    end = base
    with suppress(OSError), open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        for line in file:
            span, permissions = line.split(maxsplit=2)[:2]
            first, _, last = span.partition("-")
            start = int(first, 16)
            if start == end and permissions.startswith("rw"):
                end = int(last, 16)
            elif start > end:  # they come in order
                break
    return end - base


def together(one: meter.Counted, other: meter.Counted) -> meter.Counted:
    """What two processes of a task used: the larger memory, and the sum of all else."""
    calls = tuple(min(a + b, _MOST) for a, b in zip(one.calls, other.calls, strict=True))
    return meter.Counted(max(one.memory, other.memory), min(one.fuel + other.fuel, _MOST), 0, calls)


class Sum:
    """What a task's processes used, those that are gone included."""

    def __init__(self) -> None:
        self._gone = _NOTHING

    def bury(self, page: Page) -> None:
        """Its process is gone: keep what it used, and let go of the page."""
        self._gone = together(self._gone, page.read())
        page.close()

    def usage(self, pages: "list[Page]", fuel_limit: int) -> Usage:
        """The sum of those that are gone and of ``pages``."""
        total = self._gone
        for page in pages:
            total = together(total, page.read())
        calls = tuple(
            Calls(function=name, count=count) for name, count in zip(_NAMES, total.calls, strict=True) if count
        )
        return Usage(linear_memory=total.memory, fuel=total.fuel, fuel_limit=fuel_limit, calls=calls)
