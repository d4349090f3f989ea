"""Resources that an instance of a component holds, by number.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#resource-state
"""

from __future__ import annotations

from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

_MOST_HELD = 1 << 16


class Handle:
    """``kind`` is the resource type's identity, ``thing`` the host's object, or a number for a guest's own types. Not
    ``own``: it is borrowed, for as long as a call lasts; ``lends`` are the calls that it is lent to meanwhile."""

    __slots__ = ("kind", "lends", "own", "thing")

    def __init__(self, kind: str | int, thing: Any, *, own: bool) -> None:
        self.kind = kind
        self.thing = thing
        self.own = own
        self.lends = 0


class Handles:
    """The table. Numbers that are free again are given again; 0 is none."""

    def __init__(self) -> None:
        self.held: dict[int, Handle] = {}
        self._free: list[int] = []

    def add(self, kind: str | int, thing: Any, *, own: bool = True) -> int:
        """Trap: it holds too many."""
        if len(self.held) >= _MOST_HELD:
            raise Trap(f"over {_MOST_HELD} resources are held at once")
        number = self._free.pop() if self._free else len(self.held) + 1
        self.held[number] = Handle(kind, thing, own=own)
        return number

    def get(self, number: int, kind: str | int) -> Handle:
        """Trap: there is none, or it is of another type."""
        handle = self.held.get(number)
        if handle is None:
            raise Trap(f"unknown handle index {number}")
        if handle.kind != kind:
            raise Trap(f"handle index {number} is of another resource type")
        return handle

    def remove(self, number: int, kind: str | int) -> Handle:
        """The guest lets go of it. Trap, as above, or: it is lent to a call that goes on."""
        handle = self.get(number, kind)
        if handle.lends:
            raise Trap(f"handle index {number} is lent to a call that has not ended")
        del self.held[number]
        self._free.append(number)
        return handle

    def give(self, number: int, kind: str | int) -> Any:
        """The guest gives the resource away. Trap, as above, or: it has only borrowed it."""
        if not self.get(number, kind).own:
            raise Trap(f"handle index {number} is borrowed and can't be given away")
        return self.remove(number, kind).thing

    def clear(self) -> None:
        """The guest is gone."""
        self.held.clear()
        self._free.clear()
