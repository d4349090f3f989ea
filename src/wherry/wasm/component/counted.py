"""What is counted of a component: calls by interface, in words of the meter's after all others; and its memories, which
it tells nobody of and are found in the process's map.

Who counts and who shows the counts both look here: new names go to the end.
"""

from __future__ import annotations

from wherry.wasm.imports import HOST
from wherry.wasm.meter import FUNCTIONS
from wherry.wasm.wasi.sock_list import SOCKETS

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST = FUNCTIONS + len(HOST) + len(SOCKETS) + 1
"""The first interface's word: the one before is wasi.thread-spawn's."""
INTERFACES = (
    *(f"wasi:cli/{name}" for name in "environment exit stdin stdout stderr".split()),
    *(f"wasi:cli/terminal-{name}" for name in "input output stdin stdout stderr".split()),
    *(f"wasi:clocks/{name}" for name in ("monotonic-clock", "wall-clock")),
    *(f"wasi:filesystem/{name}" for name in ("types", "preopens")),
    *(f"wasi:io/{name}" for name in ("error", "poll", "streams")),
    *(f"wasi:random/{name}" for name in ("random", "insecure", "insecure-seed")),
    *(f"wasi:sockets/{name}" for name in ("network", "instance-network", "ip-name-lookup")),
    *(f"wasi:sockets/{name}" for name in ("tcp", "tcp-create-socket", "udp", "udp-create-socket")),
    *(f"wasi:http/{name}" for name in ("types", "incoming-handler", "outgoing-handler")),
)
SOMEWHERE = 2**64 - 1
"""In the meter's word for the linear memory's place: it has to be looked for."""
_RESERVED = 4 << 30
"""Bytes: engine.py's MEMORY_RESERVATION. Nothing else in the process lies before so much room that is out of reach."""


def word(interface: str) -> int:
    """The meter's word for an interface's calls; the last one's for one without a name of its own."""
    return FIRST + (INTERFACES.index(interface) if interface in INTERFACES else len(INTERFACES) - 1)


def memories(lines: Iterable[str]) -> int:
    """Bytes of all linear memories together, by the lines of /proc/PID/maps: what can be written, with the rest of its
    reservation behind it. https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html"""
    total = run = last = 0
    for line in lines:
        span, permissions = line.split(maxsplit=2)[:2]
        start, end = (int(text, 16) for text in span.split("-"))
        if start != last:
            run = 0
        if permissions.startswith("rw"):
            run += end - start
        else:
            if permissions.startswith("---") and run and run + end - start >= _RESERVED:
                total += run
            run = 0
        last = end
    return total
