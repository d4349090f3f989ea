"""What a component can wait for, and waiting.

https://github.com/WebAssembly/wasi-io/blob/v0.2.0/imports.md#wasi_io_poll
"""

from __future__ import annotations

import select
from struct import Struct
from time import monotonic_ns

from wherry.wasm.wasi import syscalls

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Awaited(Protocol):
        """Something whose readiness is not a descriptor's alone."""

        def look(self) -> tuple[int, int, int | None] | None:
            """Go on with it as far as goes without waiting. None: it is ready; or the descriptor, the events and the
            deadline of the monotonic clock in nanoseconds to wait for before the next look, -1 or None for none."""


_POLLFD = Struct("=ihh")
POLLIN, POLLOUT = select.POLLIN, select.POLLOUT


class Pollable:
    """Something to wait for: a descriptor's ``events``, or the monotonic clock's ``deadline`` in nanoseconds, or what
    ``awaited`` says at each look; with none of them, nothing at all: it is ready."""

    def __init__(
        self, fd: int = -1, events: int = 0, deadline: int | None = None, awaited: Awaited | None = None
    ) -> None:
        self.fd = fd
        self.events = events
        self.deadline = deadline
        self.awaited = awaited

    def renew(self) -> None:
        """Have the fields say what is awaited now."""
        if self.awaited is not None:
            self.fd, self.events, self.deadline = self.awaited.look() or (-1, 0, None)


def wait(pollables: Sequence[Pollable], *, block: bool) -> list[int]:
    """The places of those that are ready; with ``block``, once there is one."""
    changing = [pollable for pollable in pollables if pollable.awaited is not None]
    while True:
        for pollable in changing:
            pollable.renew()
        found = _poll(pollables, block=block)
        ready = [number for number in found if pollables[number].awaited is None or _is_there(pollables[number])]
        if ready or not block:
            return ready


def _is_there(pollable: Pollable) -> bool:
    if pollable.fd < 0 and pollable.deadline is None:
        return True
    pollable.renew()
    return pollable.fd < 0 and pollable.deadline is None


def _poll(pollables: Sequence[Pollable], *, block: bool) -> list[int]:
    polled = bytearray()
    for pollable in pollables:
        polled += _POLLFD.pack(pollable.fd, pollable.events, 0)  # poll(2) ignores negative descriptors
    deadlines = [pollable.deadline for pollable in pollables if pollable.deadline is not None]
    at_once = not block or any(pollable.fd < 0 and pollable.deadline is None for pollable in pollables)
    while True:
        timeout = 0 if at_once else max(0, min(deadlines) - monotonic_ns()) if deadlines else None
        try:
            syscalls.ppoll(polled, timeout)
        except InterruptedError:
            continue
        now = monotonic_ns()
        ready = [
            number
            for number, (pollable, (_, _, seen)) in enumerate(zip(pollables, _POLLFD.iter_unpack(polled), strict=True))
            if seen
            or (pollable.deadline is not None and pollable.deadline <= now)
            or (pollable.fd < 0 and pollable.deadline is None)
        ]
        if ready or at_once:
            return ready
