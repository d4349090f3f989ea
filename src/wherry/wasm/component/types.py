"""A component's imports with their types, as libwasmtime read them; and whether the host has them. The compiler's.

https://docs.wasmtime.dev/c-api/ (component/types/*.h)
"""

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from wherry.errors import InvalidArgument
from wherry.wasm.binding import Library
from wherry.wasm.component.wit import Function, Interface, Type, anonymous, signature

_P = ctypes.c_void_p
_INSTANCE, _FUNC, _RESOURCE = 1, 3, 4
_KINDS: Final = (
    "bool s8 s16 s32 s64 u8 u16 u32 u64 f32 f64 char string list record tuple variant enum option result flags own "
    "borrow future stream error-context map"
).split()
_CASES: Final = ("record", "field_count", "field_nth"), ("enum", "names_count", "names_nth"), (
    "flags", "names_count", "names_nth"), ("tuple", "types_count", "types_nth")  # fmt: skip
_COUNTED: Final = {word: (count, nth) for word, count, nth in _CASES}


class _ValType(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("of", _P))
    kind: int
    of: int | None


class _Item(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("of", _P), ("rest", _P))
    kind: int
    of: int | None


class Types:
    """Reads types. What libwasmtime makes for it is left to the end of the process, which is near."""

    def __init__(self, library: Library, engine: int) -> None:
        self._library = library
        self._engine = engine

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kinds = [_P if isinstance(value, int) or value is None else type(value) for value in arguments]
        return self._library.function(f"wasmtime_component_{name}", result, *kinds)(*arguments)

    def imports(self, component: int) -> dict[str, Any]:
        """By name: a mapping of what an imported instance has, a function, or the kind's name of anything else."""
        return self._items("type_import", self._call("type", _P, component))

    def _items(self, family: str, of: int) -> dict[str, Any]:
        found = {}
        for number in range(self._call(f"{family}_count", ctypes.c_size_t, of, self._engine)):
            name, size, extern, item = _P(), ctypes.c_size_t(), _P(), _Item()
            nth = self._library.function(
                f"wasmtime_component_{family}_nth", ctypes.c_bool, _P, _P, ctypes.c_size_t, _P, _P, _P
            )
            nth(of, self._engine, number, ctypes.byref(name), ctypes.byref(size), ctypes.byref(extern))
            self._library.function("wasmtime_component_extern_type", None, _P, _P)(extern, ctypes.byref(item))
            found[_text(name, size)] = self._item(item)
        return found

    def _item(self, item: _Item) -> Any:
        if item.kind == _INSTANCE:
            return self._items("instance_type_export", item.of or 0)
        if item.kind == _FUNC:
            return self._function(item.of or 0)
        return "resource" if item.kind == _RESOURCE else "other"

    def _function(self, of: int) -> Function:
        params = []
        nth = self._library.function(
            "wasmtime_component_func_type_param_nth", ctypes.c_bool, _P, ctypes.c_size_t, _P, _P, _P
        )
        for number in range(self._call("func_type_param_count", ctypes.c_size_t, of)):
            name, size, kind = _P(), ctypes.c_size_t(), _ValType()
            nth(of, number, ctypes.byref(name), ctypes.byref(size), ctypes.byref(kind))
            params.append(self._type(kind))
        return tuple(params), self._optional("func_type_result", of)

    def _optional(self, name: str, of: int) -> Type | None:
        kind = _ValType()
        found = self._library.function(f"wasmtime_component_{name}", ctypes.c_bool, _P, _P)(of, ctypes.byref(kind))
        return self._type(kind) if found else None

    def _inner(self, name: str, of: int) -> Type:
        kind = _ValType()
        self._library.function(f"wasmtime_component_{name}", None, _P, _P)(of, ctypes.byref(kind))
        return self._type(kind)

    def _type(self, kind: _ValType) -> Type:
        word = _KINDS[kind.kind] if kind.kind < len(_KINDS) else "unknown"
        of = kind.of or 0
        if word == "list":
            return (word, self._inner("list_type_element", of))
        if word == "option":
            return (word, self._inner("option_type_ty", of))
        if word == "result":
            return (word, self._optional("result_type_ok", of), self._optional("result_type_err", of))
        if word == "variant":
            return (word, self._cases(of))
        if word in _COUNTED:
            return (word, self._members(word, of))
        return (word, "") if word in ("own", "borrow") else (word,)

    def _members(self, word: str, of: int) -> tuple[Any, ...]:
        count, nth = (f"wasmtime_component_{word}_type_{part}" for part in _COUNTED[word])
        found: list[Any] = []
        for number in range(self._library.function(count, ctypes.c_size_t, _P)(of)):
            name, size, kind = _P(), ctypes.c_size_t(), _ValType()
            named = () if word == "tuple" else (ctypes.byref(name), ctypes.byref(size))
            typed = () if word in ("enum", "flags") else (ctypes.byref(kind),)
            into = (*named, *typed)
            self._library.function(nth, ctypes.c_bool, _P, ctypes.c_size_t, *[_P] * len(into))(of, number, *into)
            if word == "tuple":
                found.append(self._type(kind))
            else:
                found.append((_text(name, size), self._type(kind)) if typed else _text(name, size))
        return tuple(found)

    def _cases(self, of: int) -> tuple[tuple[str, Type | None], ...]:
        name = "wasmtime_component_variant_type_case"
        nth = self._library.function(f"{name}_nth", ctypes.c_bool, _P, ctypes.c_size_t, _P, _P, _P, _P)
        found = []
        for number in range(self._library.function(f"{name}_count", ctypes.c_size_t, _P)(of)):
            text, size, has, kind = _P(), ctypes.c_size_t(), ctypes.c_bool(), _ValType()
            nth(of, number, *(ctypes.byref(into) for into in (text, size, has, kind)))
            found.append((_text(text, size), self._type(kind) if has.value else None))
        return tuple(found)


def _text(name: ctypes.c_void_p, size: ctypes.c_size_t) -> str:
    return ctypes.string_at(name.value or 0, size.value).decode("utf-8", "replace")


def plan(imports: Mapping[str, Any], offered: Mapping[str, Interface], name: str) -> dict[str, Any]:
    """What of the host a component gets: per imported instance the resources by name, and the functions with the host's
    types. ``imports`` is what `Types.imports` found. InvalidArgument names the first import that can't be had."""
    found = {}
    for imported, items in imports.items():
        interface = offered.get(imported.partition("@")[0])
        if interface is None or not isinstance(items, dict):
            if items == {} or items == "other":
                continue  # nothing but types
            raise InvalidArgument(f"{name} imports {imported}, which no host here provides")
        resources, functions = {}, {}
        for item, kind in items.items():
            if kind == "resource" and item in interface.resources:
                resources[item] = interface.resources[item]
            elif isinstance(kind, tuple):
                functions[item] = _function(interface, kind, f"{name} imports {item} of {imported}", item)
            elif kind == "resource":
                raise InvalidArgument(f"{name} imports {item} of {imported}, which no host here provides")
        found[imported] = (interface_name(imported), resources, functions)
    return found


def interface_name(imported: str) -> str:
    """An import's name without its version."""
    return imported.partition("@")[0]


def _function(interface: Interface, kind: Any, what: str, item: str) -> Function:
    function = interface.functions.get(item)
    if function is None:
        raise InvalidArgument(f"{what}, which no host here provides")
    if anonymous(function) != kind:
        wrong, right = signature(kind), signature(function)
        detail = f" as {wrong}, but it is {right}" if wrong != right else " with other types than the specification's"
        raise InvalidArgument(f"{what}{detail}")
    return function
