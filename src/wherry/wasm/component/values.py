"""The host's values and libwasmtime's: a ``wasmtime_component_val_t`` at an address read (lifted) into Python, or
written (lowered) there, by the types of wit.py.

In Python an enum is its case's name, flags a tuple of names, a record or tuple a tuple, a variant a case's name and its
payload, an option the value or None, a list of bytes ``bytes``, a resource the host's object. A result without values
is True or False, another one whether it is ok and its value; but a function's result of kind ``result`` is what it
returns, or the `Failed` that it raises.

A value takes 32 bytes: its kind, and from byte 8 on a union. https://docs.wasmtime.dev/c-api/ (component/val.h)
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wherry.wasm.binding import Library
from wherry.wasm.component.binding import Functions
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Type = tuple[Any, ...]
    Lift = Callable[[int], Any]
    Lower = Callable[[Any, int], None]

SIZE = 32
_KINDS = {
    word: number
    for number, word in enumerate(
        "bool s8 u8 s16 u16 s32 u32 s64 u64 f32 f64 char string list record tuple variant enum option result flags "
        "resource".split()
    )
}
_PLAIN = {"bool": "?", "s8": "b", "u8": "B", "s16": "h", "u16": "H", "s32": "i", "u32": "I", "s64": "q", "u64": "Q",
          "f32": "f", "f64": "d"}  # fmt: skip
_PAIR = Struct("=QQ")  # a vector: how many, where
_WORD = Struct("=Q")
_ENTRY = 48  # of a record: a name, then a value
_NAME = 16
_U8 = b"\x02".ljust(SIZE, b"\0")
_MOST_HELD = 1 << 16


class Failed(Exception):
    """A function's result is its error, ``value``."""

    def __init__(self, value: Any) -> None:
        super().__init__(str(value))
        self.value = value


class Resources:
    """The host's objects that a guest holds, by number, and the numbers of the types they have."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self._free: list[int] = []
        self._types: dict[str, int] = {}

    def type_number(self, identity: str) -> int:
        """The number that libwasmtime knows a resource type by."""
        return self._types.setdefault(identity, len(self._types) + 1)

    def add(self, thing: Any) -> int:
        """Trap: it holds too many."""
        if len(self.held) >= _MOST_HELD:
            raise Trap(f"over {_MOST_HELD} resources are held at once")
        number = self._free.pop() if self._free else len(self.held) + 1
        self.held[number] = thing
        return number

    def drop(self, number: int) -> Any:
        """The guest has let go of it."""
        thing = self.held.pop(number)
        self._free.append(number)
        return thing

    def clear(self) -> None:
        """The guest is gone."""
        self.held.clear()
        self._free.clear()


class Codec:
    """Makes lifting and lowering functions for types. ``space`` is a view of all memory, by address."""

    def __init__(self, library: Library, functions: Functions, space: memoryview, resources: Resources) -> None:
        self._library = library
        self._functions = functions
        self._space = space
        self._resources = resources
        self.context = 0
        """wasmtime's handle of the store, of the call that is going on."""

    def lift(self, kind: Type) -> Lift:
        word = kind[0]
        if word in _PLAIN:
            return self._lift_plain(Struct("=8x" + _PLAIN[word]))
        if word == "list":
            return self._lift_bytes if kind[1] == ("u8",) else self._lift_list(self.lift(kind[1]))
        if word == "own":
            return self._lift_own
        if word == "borrow":
            return self._lift_resource
        makers: dict[str, Callable[[Type], Lift]] = {
            "string": lambda _: lambda at: self._text(at + 8),
            "enum": lambda _: lambda at: self._text(at + 8),
            "flags": lambda _: self._lift_flags,
            "tuple": lambda kind: self._lift_members(kind[1], SIZE, 0),
            "record": lambda kind: self._lift_members(tuple(field for _, field in kind[1]), _ENTRY, _NAME),
            "option": self._lift_option,
            "variant": self._lift_variant,
            "result": self._lift_result,
        }
        return makers[word](kind)

    def _lift_plain(self, layout: Struct) -> Lift:
        unpack, space = layout.unpack_from, self._space
        return lambda at: unpack(space, at)[0]

    def _text(self, at: int) -> str:
        size, data = _PAIR.unpack_from(self._space, at)
        return str(self._space[data : data + size], "utf-8") if size else ""

    def _lift_bytes(self, at: int) -> bytes:
        size, data = _PAIR.unpack_from(self._space, at + 8)
        # All of it first: a copy by strides of a view costs six times as much.
        return self._space[data + 8 : data + SIZE * size].tobytes()[::SIZE] if size else b""

    def _lift_list(self, inner: Lift) -> Lift:
        def lift(at: int) -> list[Any]:
            size, data = _PAIR.unpack_from(self._space, at + 8)
            return [inner(data + SIZE * number) for number in range(size)]

        return lift

    def _lift_flags(self, at: int) -> tuple[str, ...]:
        size, data = _PAIR.unpack_from(self._space, at + 8)
        return tuple(self._text(data + _NAME * number) for number in range(size))

    def _lift_members(self, kinds: tuple[Type, ...], step: int, offset: int) -> Lift:
        lifts = [self.lift(kind) for kind in kinds]

        def lift(at: int) -> tuple[Any, ...]:
            _, data = _PAIR.unpack_from(self._space, at + 8)
            return tuple(inner(data + offset + step * number) for number, inner in enumerate(lifts))

        return lift

    def _lift_option(self, kind: Type) -> Lift:
        inner = self.lift(kind[1])

        def lift(at: int) -> Any:
            (data,) = _WORD.unpack_from(self._space, at + 8)
            return inner(data) if data else None

        return lift

    def _lift_variant(self, kind: Type) -> Lift:
        cases = {name: self.lift(payload) for name, payload in kind[1] if payload is not None}

        def lift(at: int) -> tuple[str, Any]:
            case = self._text(at + 8)
            (data,) = _WORD.unpack_from(self._space, at + 24)
            return case, cases[case](data) if case in cases else None

        return lift

    def _lift_result(self, kind: Type) -> Lift:
        sides = [None if side is None else self.lift(side) for side in (kind[2], kind[1])]
        if sides == [None, None]:
            return lambda at: bool(self._space[at + 8])

        def lift(at: int) -> tuple[bool, Any]:
            is_ok = bool(self._space[at + 8])
            (data,) = _WORD.unpack_from(self._space, at + 16)
            inner = sides[is_ok]
            return is_ok, None if inner is None else inner(data)

        return lift

    def _lift_own(self, at: int) -> Any:
        """The guest gives it away: it is not among what it holds any more."""
        return self._resources.drop(self._number(at))

    def _lift_resource(self, at: int) -> Any:
        return self._resources.held[self._number(at)]

    def _number(self, at: int) -> int:
        """Turning the handle into the host's number also ends the borrow that libwasmtime keeps account of."""
        (handle,) = _WORD.unpack_from(self._space, at + 8)
        functions = self._functions
        host = ctypes.c_void_p()
        error = functions.resource_any_to_host(self.context, handle, ctypes.byref(host))
        if error:
            raise Trap(self._library.take_error(error))
        number: int = functions.resource_host_rep(host)
        functions.resource_host_delete(host)
        return number

    def lower(self, kind: Type) -> Lower:
        word = kind[0]
        if word in _PLAIN:
            return self._lower_plain(Struct("=B7x" + _PLAIN[word]), _KINDS[word])
        if word == "list":
            return self._lower_bytes if kind[1] == ("u8",) else self._lower_list(self.lower(kind[1]))
        makers: dict[str, Callable[[Type], Lower]] = {
            "string": lambda _: lambda value, at: self._lower_text("string", value, at),
            "enum": lambda _: lambda value, at: self._lower_text("enum", value, at),
            "flags": lambda _: self._lower_flags,
            "tuple": self._lower_tuple,
            "record": self._lower_record,
            "option": self._lower_option,
            "variant": self._lower_variant,
            "result": self._lower_result,
            "own": self._lower_own,
        }
        return makers[word](kind)

    def _lower_plain(self, layout: Struct, number: int) -> Lower:
        pack, space = layout.pack_into, self._space
        return lambda value, at: pack(space, at, number, value)

    def _name(self, text: str, at: int) -> None:
        data = text.encode("utf-8", "replace")
        self._functions.byte_vec_new(at, len(data), data)

    def _lower_text(self, word: str, text: str, at: int) -> None:
        self._name(text, at + 8)
        self._space[at] = _KINDS[word]

    def _lower_bytes(self, value: bytes, at: int) -> None:
        size = len(value)
        self._functions.vallist_new_uninit(at + 8, size)
        if size:
            _, data = _PAIR.unpack_from(self._space, at + 8)
            block = bytearray(_U8 * size)
            block[8::SIZE] = value
            self._space[data : data + SIZE * size] = block
        self._space[at] = _KINDS["list"]

    def _lower_list(self, inner: Lower) -> Lower:
        def lower(values: Any, at: int) -> None:
            self._functions.vallist_new_uninit(at + 8, len(values))
            _, data = _PAIR.unpack_from(self._space, at + 8)
            for number, value in enumerate(values):
                inner(value, data + SIZE * number)
            self._space[at] = _KINDS["list"]

        return lower

    def _lower_flags(self, names: tuple[str, ...], at: int) -> None:
        self._functions.valflags_new_uninit(at + 8, len(names))
        _, data = _PAIR.unpack_from(self._space, at + 8)
        for number, name in enumerate(names):
            self._name(name, data + _NAME * number)
        self._space[at] = _KINDS["flags"]

    def _lower_tuple(self, kind: Type) -> Lower:
        lowers = [self.lower(inner) for inner in kind[1]]

        def lower(values: Any, at: int) -> None:
            self._functions.valtuple_new_uninit(at + 8, len(lowers))
            _, data = _PAIR.unpack_from(self._space, at + 8)
            for number, (inner, value) in enumerate(zip(lowers, values, strict=True)):
                inner(value, data + SIZE * number)
            self._space[at] = _KINDS["tuple"]

        return lower

    def _lower_record(self, kind: Type) -> Lower:
        fields = [(name, self.lower(inner)) for name, inner in kind[1]]

        def lower(values: Any, at: int) -> None:
            self._functions.valrecord_new_uninit(at + 8, len(fields))
            _, data = _PAIR.unpack_from(self._space, at + 8)
            for (name, inner), value in zip(fields, values, strict=True):
                self._name(name, data)
                inner(value, data + _NAME)
                data += _ENTRY
            self._space[at] = _KINDS["record"]

        return lower

    def _boxed(self, inner: Lower, value: Any) -> int:
        """The address of a value of its own on libwasmtime's heap."""
        scratch = (ctypes.c_uint64 * 4)()
        address = ctypes.addressof(scratch)
        inner(value, address)
        boxed: int = self._functions.val_new(address)
        return boxed

    def _lower_option(self, kind: Type) -> Lower:
        inner = self.lower(kind[1])

        def lower(value: Any, at: int) -> None:
            _WORD.pack_into(self._space, at + 8, 0 if value is None else self._boxed(inner, value))
            self._space[at] = _KINDS["option"]

        return lower

    def _lower_variant(self, kind: Type) -> Lower:
        cases = {name: None if payload is None else self.lower(payload) for name, payload in kind[1]}

        def lower(value: tuple[str, Any], at: int) -> None:
            case, payload = value
            inner = cases[case]
            boxed = 0 if inner is None else self._boxed(inner, payload)
            self._name(case, at + 8)
            _WORD.pack_into(self._space, at + 24, boxed)
            self._space[at] = _KINDS["variant"]

        return lower

    def _lower_own(self, kind: Type) -> Lower:
        type_number = self._resources.type_number(kind[1])

        def lower(thing: Any, at: int) -> None:
            functions = self._functions
            host = functions.resource_host_new(True, self._resources.add(thing), type_number)
            handle = ctypes.c_void_p()
            error = functions.resource_host_to_any(self.context, host, ctypes.byref(handle))
            functions.resource_host_delete(host)
            if error:
                raise Trap(self._library.take_error(error))
            _WORD.pack_into(self._space, at + 8, handle.value)
            self._space[at] = _KINDS["resource"]

        return lower

    def _lower_result(self, kind: Type) -> Lower:
        """Within another type: whether it is ok, and the value of that side."""
        ok, error = self.lower_result(kind)
        return lambda value, at: (ok if value[0] else error)(value[1], at)

    def lower_result(self, kind: Type) -> tuple[Lower, Lower]:
        """For a function's result of kind ``result``: how to lower what is returned, and the error."""
        return self._lower_side(kind[1], is_ok=True), self._lower_side(kind[2], is_ok=False)

    def _lower_side(self, kind: Type | None, *, is_ok: bool) -> Lower:
        inner = None if kind is None else self.lower(kind)

        def lower(value: Any, at: int) -> None:
            boxed = 0 if inner is None else self._boxed(inner, value)
            self._space[at + 8] = is_ok
            _WORD.pack_into(self._space, at + 16, boxed)
            self._space[at] = _KINDS["result"]

        return lower
