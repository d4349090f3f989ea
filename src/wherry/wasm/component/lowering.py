"""From values of the host's to a guest's raw values and its memory: see values.py.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#storing
"""

from __future__ import annotations

from struct import Struct, pack

from wherry.wasm.component import flat as layouts
from wherry.wasm.component.values import FORMATS, PAIR, SIGNED, TAGS, converted, unwrapper

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.wasm.component.realm import Realm

    Type = tuple[Any, ...]
    Lower = Callable[[Any], list[Any]]
    Store = Callable[[Any, int], None]


class Lowering:
    """Makes functions for types, each once. ``borrowing`` says what a borrowed resource is lowered to: the host lends
    none."""

    def __init__(self, realm: Realm, borrowing: Callable[[str | int, Any], int] | None = None) -> None:
        self._realm = realm
        self._memory = realm.memory
        self._borrowing = borrowing
        self._stores: dict[Type, Store] = {}
        self._lowers: dict[Type, Lower] = {}

    # To memory: at places that have been checked

    def store(self, kind: Type) -> Store:
        """For writing a value to memory, at an address that was checked before."""
        made = self._stores.get(kind)
        if made is None:
            made = self._stores[kind] = self._new_store(kind)
        return made

    def _new_store(self, kind: Type) -> Store:
        memory, word = self._memory, kind[0]
        if word in FORMATS:
            write = Struct("<" + FORMATS[word]).pack_into
            if word == "char":
                return lambda value, at: write(memory.view, at, ord(value))
            return lambda value, at: write(memory.view, at, value)
        if word == "flags":
            write, number = TAGS[layouts.size(kind)].pack_into, _flags_number(kind[1])
            return lambda value, at: write(memory.view, at, number(value))
        if word in ("string", "list", "own", "borrow"):
            lower, write = self.lower(kind), (PAIR if word in ("string", "list") else TAGS[4]).pack_into

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
        unwrap, stores = unwrapper(kind), self.store_cases(kind)

        def store(value: Any, at: int) -> None:
            tag, payload = unwrap(value)
            stores[tag](payload, at)

        return store

    def store_cases(self, kind: Type) -> list[Store]:
        """For each case: to write it, with its payload."""
        found, offset = layouts.cases(kind), layouts.payload(kind)[0]
        write = TAGS[layouts.tag_size(len(found))].pack_into
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
        made = self._lowers.get(kind)
        if made is None:
            made = self._lowers[kind] = self._new_lower(kind)
        return made

    def _new_lower(self, kind: Type) -> Lower:
        word, realm = kind[0], self._realm
        if word in SIGNED:
            mask = (1 << max(32, SIGNED[word])) - 1
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
        if word in FORMATS:
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
        several = FORMATS.get(kind[0]) if kind[0] not in ("bool", "char") else None

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
        unwrap, shared = unwrapper(kind), layouts.joined(kind)
        lowers = [None if inner is None else (self.lower(inner), layouts.flat(inner))
                  for _, inner in layouts.cases(kind)]  # fmt: skip

        def lower(value: Any) -> list[Any]:
            tag, payload = unwrap(value)
            raw: list[Any] = [tag, *([0] * len(shared))]
            inner = lowers[tag]
            if inner is not None:
                for number, (own, part) in enumerate(zip(inner[1], inner[0](payload), strict=True)):
                    raw[number + 1] = converted(own, shared[number], part)
            return raw

        return lower


def _flags_number(names: tuple[str, ...]) -> Callable[[Any], int]:
    bits = {name: 1 << number for number, name in enumerate(names)}
    return lambda value: sum([bits[name] for name in value])
