"""The host's values and a guest's, by the canonical ABI: read (lifted) from raw values and its memory into Python, or
written (lowered) there, by the types of wit.py. For each type functions are made once, when the component is linked.

In Python an enum is its case's name, flags a tuple of names, a record or tuple a tuple, a variant a case's name and its
payload, an option the value or None, or where the value is an option itself a tuple of it; a list of bytes ``bytes``, a
char a text of one, a resource the host's object, or a number where it is a guest's own. A result without values
is True or False, another one whether it is ok and its value; but a function's result of kind ``result`` is what it
returns, or the `Failed` that it raises.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md
"""

from __future__ import annotations

from struct import Struct, pack, unpack

from wherry.wasm.component import flat as layouts
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.wasm.component.realm import Realm

    Type = tuple[Any, ...]
    Flat = Sequence[Any]
    Lift = Callable[[Flat], Any]
    Lower = Callable[[Any], list[Any]]
    Load = Callable[[int], Any]
    Store = Callable[[Any, int], None]

_FORMATS = {"bool": "B", "s8": "b", "u8": "B", "s16": "h", "u16": "H", "s32": "i", "u32": "I", "s64": "q", "u64": "Q",
            "f32": "f", "f64": "d", "char": "I"}  # fmt: skip
_MASKS = {"u8": 0xFF, "u16": 0xFFFF}
_SIGNED = {"s8": 8, "s16": 16, "s32": 32, "s64": 64}
_PAIR = Struct("<II")
_TAGS = {1: Struct("<B"), 2: Struct("<H"), 4: Struct("<I")}
_MOST_CHAR = 0x110000
_SURROGATES = range(0xD800, 0xE000)


class Failed(Exception):
    """A function's result is its error, ``value``."""

    def __init__(self, value: Any) -> None:
        super().__init__(str(value))
        self.value = value


def _char(code: int) -> str:
    if code >= _MOST_CHAR or code in _SURROGATES:
        raise Trap(f"{code:#x} is no character")
    return chr(code)


_MAKERS: dict[str, Callable[[int], Any]] = {"bool": bool, "char": _char}


def _wrappers(kind: Type) -> list[Callable[[Any], Any]]:
    """For each case of a variant: from its payload to the value in Python."""
    word = kind[0]
    if word == "option":
        nested = kind[1][0] == "option"
        return [lambda _: None, (lambda payload: (payload,)) if nested else lambda payload: payload]
    if word == "result":
        if kind[1:] == (None, None):
            return [lambda _: True, lambda _: False]
        return [lambda payload: (True, payload), lambda payload: (False, payload)]
    if word == "enum":
        return [lambda _, name=name: name for name in kind[1]]  # type: ignore[misc]  # mypy knows no such lambda
    return [lambda payload, name=name: (name, payload) for name, _ in kind[1]]  # type: ignore[misc]  # as above


def _unwrapper(kind: Type) -> Callable[[Any], tuple[int, Any]]:
    """From the value in Python to the case's number and its payload."""
    word = kind[0]
    if word == "option":
        if kind[1][0] == "option":
            return lambda value: (0, None) if value is None else (1, value[0])
        return lambda value: (0, None) if value is None else (1, value)
    if word == "result":
        if kind[1:] == (None, None):
            return lambda value: (0 if value else 1, None)
        return lambda value: (0 if value[0] else 1, value[1])
    numbers = {name: number for number, (name, _) in enumerate(layouts.cases(kind))}
    if word == "enum":
        return lambda value: (numbers[value], None)
    return lambda value: (numbers[value[0]], value[1])


def _converted(have: str, want: str, value: Any) -> Any:
    """A flat value, of another letter because of the variant that it is in, as its own: and the other way about."""
    if have == want:
        return value
    if (have, want) == ("I", "i"):
        return value & 0xFFFFFFFF
    if want in "fF":
        size = 4 if want == "f" else 8
        return unpack("<" + _LETTER[want], pack("<Q", value)[:size])[0]
    if have in "fF":
        return int.from_bytes(pack("<" + _LETTER[have], value), "little")
    return value


_LETTER = {"f": "f", "F": "d"}


class Codec:
    """Makes functions for types. ``lending``: what is borrowed is lent, to another component's function and not the
    host's, and `Realm.lent` keeps account of it. ``borrowing`` says what a borrowed resource is lowered to."""

    def __init__(
        self, realm: Realm, *, lending: bool = False, borrowing: Callable[[str | int, Any], int] | None = None
    ) -> None:
        self._realm = realm
        self._memory = realm.memory
        self._lending = lending
        self._borrowing = borrowing

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
        word = kind[0]
        if word in _SIGNED:
            return _lift_signed(at, _SIGNED[word])
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
        wrap, shared = _wrappers(kind), layouts.joined(kind)
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
                values[at + number] = _converted(shared[number], want, values[at + number])
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
            if word in _FORMATS and word not in ("bool", "char"):
                return list(unpack(f"<{count}{_FORMATS[word]}", memory.view[pointer : pointer + size * count]))
            return [load(at) for at in range(pointer, pointer + size * count, size)]

        return elements

    # From memory: of places that have been checked

    def load(self, kind: Type) -> Load:
        """For a value in memory, at an address that was checked before."""
        memory, word = self._memory, kind[0]
        if word in _FORMATS:
            return self._load_plain(word)
        if word in ("own", "borrow"):
            take, handle = self._take(kind), _TAGS[4].unpack_from
            return lambda at: take(handle(memory.view, at)[0])
        if word == "string":
            text = self._realm.text_at
            return lambda at: text(*_PAIR.unpack_from(memory.view, at))
        if word == "list":
            elements = self._elements(kind[1])
            return lambda at: elements(*_PAIR.unpack_from(memory.view, at))
        if word == "flags":
            number, lift = _TAGS[layouts.size(kind)].unpack_from, _lift_flags(kind[1], 0)
            return lambda at: lift(number(memory.view, at))
        members = layouts.fields(kind)
        if members is not None:
            loads = list(zip(map(self.load, members), layouts.offsets(members)[0], strict=True))
            return lambda at: tuple([load(at + offset) for load, offset in loads])
        return self._load_cases(kind)

    def _load_plain(self, word: str) -> Load:
        memory, read = self._memory, Struct("<" + _FORMATS[word]).unpack_from
        make = _MAKERS.get(word)
        if make is None:
            return lambda at: read(memory.view, at)[0]
        return lambda at: make(read(memory.view, at)[0])

    def _load_cases(self, kind: Type) -> Load:
        memory, wrap, found = self._memory, _wrappers(kind), layouts.cases(kind)
        read, offset = _TAGS[layouts.tag_size(len(found))].unpack_from, layouts.payload(kind)[0]
        loads = [None if inner is None else self.load(inner) for _, inner in found]

        def load(at: int) -> Any:
            (tag,) = read(memory.view, at)
            if tag >= len(loads):
                raise Trap(f"{tag} is no case of {len(loads)}")
            inner = loads[tag]
            return wrap[tag](None if inner is None else inner(at + offset))

        return load

    # To memory: at places that have been checked

    def store(self, kind: Type) -> Store:
        """For writing a value to memory, at an address that was checked before."""
        memory, word = self._memory, kind[0]
        if word in _FORMATS:
            write = Struct("<" + _FORMATS[word]).pack_into
            if word == "char":
                return lambda value, at: write(memory.view, at, ord(value))
            return lambda value, at: write(memory.view, at, value)
        if word == "flags":
            write, number = _TAGS[layouts.size(kind)].pack_into, _flags_number(kind[1])
            return lambda value, at: write(memory.view, at, number(value))
        if word in ("string", "list", "own", "borrow"):
            lower, write = self.lower(kind), (_PAIR if word in ("string", "list") else _TAGS[4]).pack_into

            def store(value: Any, at: int) -> None:
                raw = lower(value)  # before memory is looked at: this may make it grow
                write(memory.view, at, *raw)

            return store
        members = layouts.fields(kind)
        if members is not None:
            return self._store_fields(members)
        return self._store_cases(kind)

    def _store_fields(self, members: tuple[Type, ...]) -> Store:
        stores = list(zip(map(self.store, members), layouts.offsets(members)[0], strict=True))

        def store(values: Any, at: int) -> None:
            for (inner, offset), value in zip(stores, values, strict=True):
                inner(value, at + offset)

        return store

    def _store_cases(self, kind: Type) -> Store:
        unwrap, stores = _unwrapper(kind), self.store_cases(kind)

        def store(value: Any, at: int) -> None:
            tag, payload = unwrap(value)
            stores[tag](payload, at)

        return store

    def store_cases(self, kind: Type) -> list[Store]:
        """For each case: to write it, with its payload."""
        found, offset = layouts.cases(kind), layouts.payload(kind)[0]
        write = _TAGS[layouts.tag_size(len(found))].pack_into
        return [self._store_case(tag, inner, write, offset) for tag, (_, inner) in enumerate(found)]

    def _store_case(self, tag: int, kind: Type | None, write: Callable[..., None], offset: int) -> Store:
        memory, inner = self._memory, None if kind is None else self.store(kind)
        if inner is None:
            return lambda _, at: write(memory.view, at, tag)

        def store(payload: Any, at: int) -> None:
            write(memory.view, at, tag)
            inner(payload, at + offset)

        return store

    # To raw values

    def lower_all(self, kinds: Sequence[Type]) -> Lower:
        """For the arguments of a function of the guest's."""
        if sum(len(layouts.flat(kind)) for kind in kinds) > layouts.MOST_PARAMS:
            whole = ("tuple", tuple(kinds))
            store, (size, alignment) = self.store(whole), layouts.layout(whole)

            def spill(values: Any) -> list[Any]:
                pointer = self._realm.allocate(size, alignment)
                store(values, pointer)
                return [pointer]

            return spill
        lowers = [self.lower(kind) for kind in kinds]
        return lambda values: [raw for lower, value in zip(lowers, values, strict=True) for raw in lower(value)]

    def lower(self, kind: Type) -> Lower:
        """For the raw values of one."""
        word, realm = kind[0], self._realm
        if word in _SIGNED:
            mask = (1 << max(32, _SIGNED[word])) - 1
            return lambda value: [value & mask]
        if word == "bool":
            return lambda value: [1 if value else 0]
        if word == "char":
            return lambda value: [ord(value)]
        if word in ("own", "borrow"):
            return self._lower_resource(kind)
        if word == "string":
            return lambda value: list(realm.put_text(value))
        if word == "list":
            return self._lower_list(kind[1])
        if word == "flags":
            number = _flags_number(kind[1])
            return lambda value: [number(value)]
        members = layouts.fields(kind)
        if members is not None:
            lowers = [self.lower(inner) for inner in members]
            return lambda values: [raw for lower, value in zip(lowers, values, strict=True) for raw in lower(value)]
        if word in _FORMATS:
            return lambda value: [value]
        return self._lower_cases(kind)

    def _lower_resource(self, kind: Type) -> Lower:
        handles, identity, borrowing = self._realm.handles, kind[1], self._borrowing
        if kind[0] == "own":
            return lambda thing: [handles.add(identity, thing)]
        if borrowing is None:
            raise ValueError("the host lends nothing")
        return lambda thing: [borrowing(identity, thing)]

    def _lower_list(self, kind: Type) -> Lower:
        realm, memory = self._realm, self._memory
        if kind == ("u8",):
            return lambda data: [realm.put_bytes(data), len(data)]
        size, alignment = layouts.layout(kind)
        store = self.store(kind)
        several = _FORMATS.get(kind[0]) if kind[0] not in ("bool", "char") else None

        def lower(values: Any) -> list[Any]:
            pointer = realm.allocate(size * len(values), alignment)
            if several is not None:
                memory.view[pointer : pointer + size * len(values)] = pack(f"<{len(values)}{several}", *values)
                return [pointer, len(values)]
            for number, value in enumerate(values):
                store(value, pointer + size * number)
            return [pointer, len(values)]

        return lower

    def _lower_cases(self, kind: Type) -> Lower:
        unwrap, shared = _unwrapper(kind), layouts.joined(kind)
        lowers = [None if inner is None else (self.lower(inner), layouts.flat(inner))
                  for _, inner in layouts.cases(kind)]  # fmt: skip

        def lower(value: Any) -> list[Any]:
            tag, payload = unwrap(value)
            raw: list[Any] = [tag, *([0] * len(shared))]
            inner = lowers[tag]
            if inner is not None:
                for number, (own, part) in enumerate(zip(inner[1], inner[0](payload), strict=True)):
                    raw[number + 1] = _converted(own, shared[number], part)
            return raw

        return lower


def _lift_signed(at: int, bits: int) -> Lift:
    half, whole, mask = 1 << (bits - 1), 1 << bits, (1 << bits) - 1
    return lambda flat: ((flat[at] & mask) + half) % whole - half


def _lift_flags(names: tuple[str, ...], at: int) -> Lift:
    bits = [(1 << number, name) for number, name in enumerate(names)]
    return lambda flat: tuple([name for bit, name in bits if flat[at] & bit])


def _flags_number(names: tuple[str, ...]) -> Callable[[Any], int]:
    bits = {name: 1 << number for number, name in enumerate(names)}
    return lambda value: sum([bits[name] for name in value])
