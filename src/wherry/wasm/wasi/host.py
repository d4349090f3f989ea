"""What a guest's WASI functions work on: its memory, descriptors, arguments, environment and way out."""

from __future__ import annotations

from wherry.record import Record
from wherry.wasm.grants import matches
from wherry.wasm.wasi.memory import Memory
from wherry.wasm.wasi.table import FdTable

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


class SocketPolicy(Record):
    """What a guest's sockets may do. ``listen`` are the ports it may be reached at, as (number, "tcp" or "udp"); None
    is any. ``outbound``: whether it may call others. A guest with no policy gets no socket at all."""

    listen: frozenset[tuple[int, str]] | None
    outbound: bool

    def allows(self, port: int, protocol: str) -> bool:
        """Whether others may reach it there."""
        return self.listen is None or (port, protocol) in self.listen


class Host:
    """The state behind one guest. The functions are bound to it before the guest is known (see callbacks.py): so its
    fields are replaced for each guest, and there is one guest in a process.

    ``caller`` is wasmtime's handle of the instance that calls, for as long as its call lasts; ``refusals`` has, by the
    function's name, what bars a function: for good, and at no cost to the others.
    """

    __slots__ = ("args", "caller", "environ", "exit", "memory", "refusals", "sockets", "spawn", "table")

    def __init__(self, memory: Memory) -> None:
        self.caller: int | None = None
        self.memory = memory
        self.table = FdTable()
        self.args: tuple[bytes, ...] = ()
        self.environ: tuple[bytes, ...] = ()
        self.sockets: SocketPolicy | None = None
        self.spawn: Callable[[int], int] = _no_threads
        self.exit: Callable[[int], NoReturn] = _no_exit
        self.refusals: list[tuple[str, Callable[[], None]]] = []

    def refuse(self, names: tuple[str, ...]) -> None:
        """Have the functions ``names``, as `grants.refused` has them, answer NOTCAPABLE from now on."""
        for name, refuse in self.refusals:
            if matches(names, name):
                refuse()


def _no_exit(code: int) -> NoReturn:
    raise AssertionError("proc_exit before a guest was set")


def _no_threads(start_arg: int) -> int:
    raise AssertionError(f"a thread ({start_arg}) of a guest without any")
