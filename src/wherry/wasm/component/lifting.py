"""From a guest's raw values and its memory to values of the host's: see values.py.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#loading
"""

from __future__ import annotations

from struct import Struct, unpack

from wherry.wasm.component import flat as layouts
from wherry.wasm.component.values import FORMATS, PAIR, SIGNED, TAGS, converted, wrappers
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.wasm.component.realm import Realm

    Type = tuple[Any, ...]
    Flat = Sequence[Any]
    Lift = Callable[[Flat], Any]
    Load = Callable[[int], Any]

_MASKS = {"u8": 0xFF, "u16": 0xFFFF}
_MOST_CHAR = 0x110000
_SURROGATES = range(0xD800, 0xE000)


def _char(code: int) -> str:
    if code >= _MOST_CHAR or code in _SURROGATES:
        raise Trap(f"{code:#x} is no character")
    return chr(code)


_MAKERS: dict[str, Callable[[int], Any]] = {"bool": bool, "char": _char}


class Lifting:
    """Makes functions for types, each once. ``lending``: what is borrowed is lent, to another component's function and
    not the host's, and `Realm.lent` keeps account of it."""

    def __init__(self, realm: Realm, *, lending: bool = False) -> None:
        self._realm = realm
        self._memory = realm.memory
        self._lending = lending
        self._lifts: dict[tuple[Type, int], Lift] = {}
        self._loads: dict[Type, Load] = {}

    # From raw values

    def lift_all(self, kinds: Sequence[Type]) -> Callable[[Flat], list[Any]]:
        """For all parameters of a function, wherever they are: among the raw values, or in memory."""
        letters = ["".join(layouts.flat(kind)) for kind in kinds]
        if sum(map(len, letters)) > layouts.MOST_PARAMS:
            return self._lift_spilled(tuple(kinds))
        lifts, at = [], 0
        for kind, taken in zip(kinds, letters, strict=True):
            lifts.append(self.lift(kind, at))
            at += len(taken)
        return lambda flat: [lift(flat) for lift in lifts]

    def _lift_spilled(self, kinds: tuple[Type, ...]) -> Callable[[Flat], list[Any]]:
        whole = ("tuple", kinds)
        load, (size, alignment) = self.load(whole), layouts.layout(whole)

        def lift(flat: Flat) -> list[Any]:
            self._realm.check(flat[0], size, alignment)
            return list(load(flat[0]))

        return lift

    def lift_result(self, kind: Type) -> Lift:
        """For the result of a function of the guest's: one raw value, or where it is in memory."""
        if len(layouts.flat(kind)) <= 1:
            return self.lift(kind, 0)
        load, (size, alignment) = self.load(kind), layouts.layout(kind)

        def lift(flat: Flat) -> Any:
            self._realm.check(flat[0], size, alignment)
            return load(flat[0])

        return lift

    def lift(self, kind: Type, at: int) -> Lift:
        """For a value whose first raw value has the number ``at``."""
        made = self._lifts.get((kind, at))
        if made is None:
            made = self._lifts[kind, at] = self._new_lift(kind, at)
        return made

    def _new_lift(self, kind: Type, at: int) -> Lift:
        word = kind[0]
        if word in SIGNED:
            return _lift_signed(at, SIGNED[word])
        if word in _MASKS:
            mask = _MASKS[word]
            return lambda flat: flat[at] & mask
        if word in ("own", "borrow"):
            take = self._take(kind)
            return lambda flat: take(flat[at])
        if word == "string":
            text = self._realm.text_at
            return lambda flat: text(flat[at], flat[at + 1])
        if word == "list":
            elements = self._elements(kind[1])
            return lambda flat: elements(flat[at], flat[at + 1])
        if word == "flags":
            return _lift_flags(kind[1], at)
        members = layouts.fields(kind)
        if members is not None:
            return self._lift_fields(members, at)
        if word in ("variant", "enum", "option", "result"):
            return self._lift_cases(kind, at)
        make = _MAKERS.get(word)
        return (lambda flat: flat[at]) if make is None else lambda flat: make(flat[at])

    def _lift_fields(self, members: tuple[Type, ...], at: int) -> Lift:
        lifts = []
        for kind in members:
            lifts.append(self.lift(kind, at))
            at += len(layouts.flat(kind))
        return lambda flat: tuple([lift(flat) for lift in lifts])

    def _lift_cases(self, kind: Type, at: int) -> Lift:
        wrap, shared = wrappers(kind), layouts.joined(kind)
        lifts = [None if inner is None else self._lift_payload(inner, shared, at + 1)
                 for _, inner in layouts.cases(kind)]  # fmt: skip
        count = len(lifts)

        def lift(flat: Flat) -> Any:
            tag = flat[at]
            if tag >= count:
                raise Trap(f"{tag} is no case of {count}")
            inner = lifts[tag]
            return wrap[tag](None if inner is None else inner(flat))

        return lift

    def _lift_payload(self, kind: Type, shared: str, at: int) -> Lift:
        own = layouts.flat(kind)
        inner = self.lift(kind, at)
        if shared.startswith(own):
            return inner

        def lift(flat: Flat) -> Any:
            values = list(flat)
            for number, want in enumerate(own):
                values[at + number] = converted(shared[number], want, values[at + number])
            return inner(values)

        return lift

    def _take(self, kind: Type) -> Callable[[int], Any]:
        handles, identity = self._realm.handles, kind[1]
        if kind[0] == "own":
            return lambda number: handles.give(number, identity)
        if not self._lending:
            return lambda number: handles.get(number, identity).thing
        realm = self._realm

        def lend(number: int) -> Any:
            handle = handles.get(number, identity)
            handle.lends += 1
            realm.lent.append(handle)
            return handle.thing

        return lend

    def _elements(self, kind: Type) -> Callable[[int, int], Any]:
        """For a list's elements: where they are and how many."""
        realm, memory, word = self._realm, self._memory, kind[0]
        if word == "u8":
            return realm.bytes_at
        size, alignment = layouts.layout(kind)
        load = self.load(kind)

        def elements(pointer: int, count: int) -> list[Any]:
            realm.check(pointer, size * count, alignment)
            if word in FORMATS and word not in ("bool", "char"):
                return list(unpack(f"<{count}{FORMATS[word]}", memory.view[pointer : pointer + size * count]))
            return [load(at) for at in range(pointer, pointer + size * count, size)]

        return elements

    # From memory: of places that have been checked

    def load(self, kind: Type) -> Load:
        """For a value in memory, at an address that was checked before."""
        made = self._loads.get(kind)
        if made is None:
            made = self._loads[kind] = self._new_load(kind)
        return made

    def _new_load(self, kind: Type) -> Load:
        memory, word = self._memory, kind[0]
        if word in FORMATS:
            return self._load_plain(word)
        if word in ("own", "borrow"):
            take, handle = self._take(kind), TAGS[4].unpack_from
            return lambda at: take(handle(memory.view, at)[0])
        if word == "string":
            text = self._realm.text_at
            return lambda at: text(*PAIR.unpack_from(memory.view, at))
        if word == "list":
            elements = self._elements(kind[1])
            return lambda at: elements(*PAIR.unpack_from(memory.view, at))
        if word == "flags":
            number, lift = TAGS[layouts.size(kind)].unpack_from, _lift_flags(kind[1], 0)
            return lambda at: lift(number(memory.view, at))
        members = layouts.fields(kind)
        if members is not None:
            loads = list(zip(map(self.load, members), layouts.offsets(members)[0], strict=True))
            return lambda at: tuple([load(at + offset) for load, offset in loads])
        return self._load_cases(kind)

    def _load_plain(self, word: str) -> Load:
        memory, read = self._memory, Struct("<" + FORMATS[word]).unpack_from
        make = _MAKERS.get(word)
        if make is None:
            return lambda at: read(memory.view, at)[0]
        return lambda at: make(read(memory.view, at)[0])

    def _load_cases(self, kind: Type) -> Load:
        memory, wrap, found = self._memory, wrappers(kind), layouts.cases(kind)
        read, offset = TAGS[layouts.tag_size(len(found))].unpack_from, layouts.payload(kind)[0]
        loads = [None if inner is None else self.load(inner) for _, inner in found]

        def load(at: int) -> Any:
            (tag,) = read(memory.view, at)
            if tag >= len(loads):
                raise Trap(f"{tag} is no case of {len(loads)}")
            inner = loads[tag]
            return wrap[tag](None if inner is None else inner(at + offset))

        return load


def _lift_signed(at: int, bits: int) -> Lift:
    half, whole, mask = 1 << (bits - 1), 1 << bits, (1 << bits) - 1
    return lambda flat: ((flat[at] & mask) + half) % whole - half


def _lift_flags(names: tuple[str, ...], at: int) -> Lift:
    bits = [(1 << number, name) for number, name in enumerate(names)]
    return lambda flat: tuple([name for bit, name in bits if flat[at] & bit])
