"""Type definitions in a component's binary, read into the types of wit.py. The compiler's. Types are resolved where
they are defined: none says where it came from, only a resource has an identity.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md#type-definitions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.wasm.component.names import extern_name
from wherry.wasm.component.wit import Function, Type
from wherry.wasm.reader import Malformed, Reader

TYPE, INSTANCE, COMPONENT, FUNC, CORE_MODULE, VALUE = "type", "instance", "component", "func", "core module", "value"
SORTS: Final = {1: FUNC, 2: VALUE, 3: TYPE, 4: COMPONENT, 5: INSTANCE}
_MOST = 200_000
_PLAIN: Final = dict(
    zip(range(0x7F, 0x72, -1), "bool s8 u8 s16 u16 s32 u32 s64 u64 f32 f64 char string".split(), strict=True)
)

Namer = Callable[[str], str | int]
"""The identity of a resource type that is exported under a name."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type. ``identity`` is the host's name for its own, a number for a guest's."""

    identity: str | int


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's type."""

    function: Function


@dataclass(frozen=True, slots=True)
class Declared:
    """An instance's or component's type: where it is, and what it may refer to. Read again for each instance that is
    imported, since each has resources of its own."""

    reader: Reader
    scope: TypeScope
    of_component: bool


class TooMuch(Malformed):
    """There is more to it than is done for one component."""


class Budget:
    """How much may be read and made of one component: what it says in few bytes could have no end."""

    def __init__(self) -> None:
        self._left = _MOST

    def spend(self, reader: Reader) -> None:
        """TooMuch: it is used up."""
        self._left -= 1
        if self._left < 0:
            raise TooMuch(f"has over {_MOST} definitions, those of all instances together (section {reader.section})")


@dataclass(slots=True)
class TypeScope:
    """An index space of types, and the one around it."""

    budget: Budget
    parent: TypeScope | None = None
    types: list[Any] = field(default_factory=list)
    instances: list[Any] = field(default_factory=list)

    def outer(self, count: int) -> TypeScope:
        """The scope that many levels out."""
        scope: TypeScope = self
        for _ in range(count):
            if scope.parent is None:
                raise Malformed("is malformed: an alias leads out of the component")
            scope = scope.parent
        return scope

    def resource(self, reader: Reader) -> Resource:
        """A resource type's definition: only a component has such."""
        raise reader.fault("a resource type where there can be none")

    def read(self, reader: Reader) -> None:
        """Add a type's definition."""
        self.budget.spend(reader)
        code = reader.peek()
        if code in (0x3F, 0x3E):
            reader.byte()
            self.types.append(self.resource(reader))
        elif code in (0x40, 0x43):
            reader.byte()
            self.types.append(self._signature(reader))
        elif code in (0x41, 0x42):
            reader.byte()
            start = Reader(reader.data, reader.position, reader.end, reader.section)
            found = Declared(start, self, code == 0x41)
            reader.position = skip(found)
            self.types.append(found)
        else:
            self.types.append(self.defined(reader))

    def _signature(self, reader: Reader) -> Signature:
        params = []
        for _ in range(reader.count()):
            reader.name()
            params.append(self.value(reader))
        if reader.byte() == 0:
            return Signature((tuple(params), self.value(reader)))
        if reader.byte():
            raise reader.fault("named results")
        return Signature((tuple(params), None))

    def value(self, reader: Reader) -> Type:
        """A value's type: a plain one, or an index."""
        code = reader.s33()
        if code < 0:
            word = _PLAIN.get(code & 0x7F)
            if word is None:
                raise reader.fault(f"unknown type {code & 0x7F:#x}")
            return (word,)
        found = self.at(code, reader)
        if not isinstance(found, tuple):
            raise reader.fault(f"type {code} is not a value's")
        return found

    def at(self, index: int, reader: Reader) -> Any:
        """The type of that index."""
        if index >= len(self.types):
            raise reader.fault(f"type {index} is not there")
        return self.types[index]

    def resource_at(self, reader: Reader) -> str | int:
        """The identity of the resource type whose index comes."""
        found = self.at(reader.u32(), reader)
        if not isinstance(found, Resource):
            raise reader.fault("a handle of what is no resource")
        return found.identity

    def defined(self, reader: Reader) -> Type:
        """A value type's definition."""
        code = reader.byte()
        if code in _PLAIN:
            return (_PLAIN[code],)
        make = _DEFINED.get(code)
        if make is None:
            raise reader.fault(f"unknown type {code:#x}")
        return make(self, reader)

    def optional(self, reader: Reader) -> Type | None:
        """A type that may be left out."""
        return self.value(reader) if reader.byte() else None


def _names(reader: Reader) -> tuple[str, ...]:
    return tuple(reader.name() for _ in range(reader.count()))


def _fields(scope: TypeScope, reader: Reader) -> tuple[tuple[str, Type], ...]:
    return tuple((reader.name(), scope.value(reader)) for _ in range(reader.count()))


def _cases(scope: TypeScope, reader: Reader) -> tuple[tuple[str, Type | None], ...]:
    found = []
    for _ in range(reader.count()):
        found.append((reader.name(), scope.optional(reader)))
        if reader.byte():
            reader.u32()
    return tuple(found)


_DEFINED: Final[Mapping[int, Callable[[TypeScope, Reader], Type]]] = {
    0x72: lambda scope, reader: ("record", _fields(scope, reader)),
    0x71: lambda scope, reader: ("variant", _cases(scope, reader)),
    0x70: lambda scope, reader: ("list", scope.value(reader)),
    0x6F: lambda scope, reader: ("tuple", tuple(scope.value(reader) for _ in range(reader.count()))),
    0x6E: lambda _scope, reader: ("flags", _names(reader)),
    0x6D: lambda _scope, reader: ("enum", _names(reader)),
    0x6B: lambda scope, reader: ("option", scope.value(reader)),
    0x6A: lambda scope, reader: ("result", scope.optional(reader), scope.optional(reader)),
    0x69: lambda scope, reader: ("own", scope.resource_at(reader)),
    0x68: lambda scope, reader: ("borrow", scope.resource_at(reader)),
}


@dataclass(slots=True)
class Description:
    """What an import or export is said to be: ``kind`` one of the sorts; ``index`` of its type, None for a new resource
    type."""

    kind: str
    index: int | None


def description(reader: Reader) -> Description:
    """An ``externdesc``."""
    code = reader.byte()
    if code == 0:
        reader.byte()
        return Description(CORE_MODULE, reader.u32())
    kind = SORTS.get(code, "")
    if kind == TYPE:
        return Description(kind, None if reader.byte() else reader.u32())
    if kind in (FUNC, COMPONENT, INSTANCE):
        return Description(kind, reader.u32())
    raise reader.fault(f"a {kind or 'thing of an unknown kind'} where there can be none")


def skip(found: Declared) -> int:
    """Where the declaration ends."""
    reader = found.reader
    copy = Reader(reader.data, reader.position, reader.end, reader.section)
    _declarations(Declared(copy, found.scope, found.of_component), str)
    return copy.position


def exports(found: Declared, namer: Namer) -> dict[str, tuple[str, Any]]:
    """What an instance of that type exports, by name: sorts and types. Resources are called as ``namer`` says."""
    reader = found.reader
    copy = Reader(reader.data, reader.position, reader.end, reader.section)
    return _declarations(Declared(copy, found.scope, found.of_component), namer)


def _declarations(found: Declared, namer: Namer) -> dict[str, tuple[str, Any]]:
    reader, told = found.reader, {}
    scope = TypeScope(found.scope.budget, found.scope)
    for _ in range(reader.count()):
        code = reader.byte()
        if code == 1:
            scope.read(reader)
        elif code == 2:
            _alias(scope, reader)
        elif code == 4 or (code == 3 and found.of_component):
            name = extern_name(reader)
            told[name] = _declare(scope, reader, name, namer)
        else:
            raise reader.fault(f"declaration {code:#x} is not supported")
    return told


def _declare(scope: TypeScope, reader: Reader, name: str, namer: Namer) -> tuple[str, Any]:
    said = description(reader)
    if said.kind == TYPE:
        made = Resource(namer(name)) if said.index is None else scope.at(said.index, reader)
        scope.types.append(made)
        return TYPE, made
    made = None if said.index is None or said.kind == CORE_MODULE else scope.at(said.index, reader)
    if said.kind == INSTANCE:
        if not isinstance(made, Declared):
            raise reader.fault("an instance of what is no instance's type")
        made = exports(made, namer)
        scope.instances.append(made)
    return said.kind, made


def _alias(scope: TypeScope, reader: Reader) -> None:
    sort = reader.byte()
    if sort == 0:
        sort = 0x100 + reader.byte()
    target = reader.byte()
    if target == 2:
        outer = scope.outer(reader.u32())
        index = reader.u32()
        if sort == 3:
            scope.types.append(outer.at(index, reader))
        return  # a core type: nothing here is told by one
    if target or sort not in (3, 5):
        raise reader.fault("an alias where there can be none")
    instance, name = reader.u32(), reader.name()
    if instance >= len(scope.instances) or name not in scope.instances[instance]:
        raise reader.fault(f"an alias of {name}, which is not there")
    found = scope.instances[instance][name][1]
    (scope.types if sort == 3 else scope.instances).append(found)
