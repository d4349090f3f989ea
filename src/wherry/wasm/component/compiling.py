"""A component made ready to run: looked at as a whole by libwasmtime, its imports and exports checked, its core modules
compiled each for itself, and the plan by which a child puts them together. The compiler's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import InvalidArgument
from wherry.wasm import binary, imports
from wherry.wasm.binary import FuncType
from wherry.wasm.binding import Library
from wherry.wasm.component import flat, shell, types
from wherry.wasm.component.declared import TooMuch
from wherry.wasm.component.linking import Plan, evaluate
from wherry.wasm.component.shortcut import shorten
from wherry.wasm.component.wit import Function, Interface, signature
from wherry.wasm.reader import Malformed

_P = ctypes.c_void_p
_HTTP = "wasi:http/types."
_ENTRIES: Final[Mapping[str, tuple[str, str, Function]]] = {
    "run": ("wasi:cli/run@0.2.", "run", ((), ("result", None, None))),
    "handler": (
        "wasi:http/incoming-handler@0.2.",
        "handle",
        ((("own", f"{_HTTP}incoming-request"), ("own", f"{_HTTP}response-outparam")), None),
    ),
}
"""What a component is run by: the interface, its function and the function's type."""


@dataclass(frozen=True, slots=True)
class Made:
    """``cores`` are core modules' bytes, ``plan`` what is to be done with them: see linking.Plan; with ``run`` and
    ``handler``, the numbers of its lifts, or None, and ``memories``, (step, export's name) of those there are."""

    cores: tuple[bytes, ...]
    plan: dict[str, Any]


def make(library: Library, engine: int, data: bytes, offered: Mapping[str, Interface], name: str) -> Made:
    """InvalidArgument: it is no component, or can't run here. ValueError: libwasmtime's words why it is none."""
    try:
        hollow = shell.hollow(data)
        _bound(data)
        compiled = ctypes.c_void_p()
        new = library.function("wasmtime_component_new", _P, _P, ctypes.c_char_p, ctypes.c_size_t, _P)
        error = new(engine, hollow, len(hollow), ctypes.byref(compiled))
        if error:
            raise ValueError(library.take_error(error))
        host = types.plan(types.Types(library, engine).imports(compiled.value or 0), offered, name)
        plan, exports = evaluate(data, host)
        entries = {key: _entry(plan, exports, key, name) for key in _ENTRIES}
        _check(plan, data)
        plan = shorten(plan, data)
        memories = _memories(plan, data)
    except Malformed as error:
        raise InvalidArgument(f"{name} {error}") from None
    except LookupError:  # valid, as libwasmtime has said: so it is of a kind that linking.py does not know
        raise InvalidArgument(f"{name} is put together in a way that is not supported") from None
    cores = tuple(data[start:end] for start, end in plan.modules)
    told = {
        "modules": len(cores),
        "steps": [(*step, _names(data, plan, step)) for step in plan.steps],
        "canons": plan.canons,
        "options": plan.options,
        "lifts": plan.lifts,
        "resources": plan.resources,
        "instances": plan.instances,
        "memories": memories,
        **entries,
    }
    return Made(cores, told)


def _bound(data: bytes) -> None:
    """TooMuch, before libwasmtime, which has no bound for that, makes of a few bytes what fills all memory."""
    try:
        evaluate(data, None)
    except TooMuch:
        raise
    except Exception:  # noqa: BLE001 - it may not even be valid: libwasmtime has the words for what is wrong
        return


def _check(plan: Plan, data: bytes) -> None:
    """The functions that are called with raw values have the types they are called by: libwasmtime, which does not look
    at that when they are called, has seen to it before. Malformed."""
    wanted = [(realloc, "iiii", "i") for _, _, realloc, _ in plan.options]
    wanted += [(destructor, "i", "") for _, destructor in plan.resources]
    for function, _, _, after, params, result in plan.lifts:
        taken, given = flat.signature(params, result, lowered=False)
        wanted += [(function, taken, given), (after, given, "")]
    steps = {ref[1] for ref, _, _ in wanted if ref is not None and ref[0] == "step"}
    known = {step: _exported(plan, data, step) for step in steps}
    for ref, taken, given in wanted:
        if ref is None:
            continue
        if ref[0] == "canon":
            is_right = plan.canons[ref[1]][1:3] == (taken, given)
        else:
            expected = FuncType(imports.signature(taken), imports.signature(given))
            is_right = known[ref[1]].get(ref[2]) == expected
        if not is_right:
            raise Malformed(f"is malformed: {ref[-1]} is called with other types than its own")


def _exported(plan: Plan, data: bytes, step: int) -> dict[str, Any]:
    start, end = plan.modules[plan.steps[step][0]]
    return {item.name: item.type for item in binary.parse(data[start:end]).exports}


def _entry(plan: Plan, exports: Mapping[str, Any], key: str, name: str) -> int | None:
    """The number of the lift that a component is run by. InvalidArgument: it has another type than it must have."""
    prefix, item, expected = _ENTRIES[key]
    exported = next((found for found in exports if found.startswith(prefix)), None)
    if exported is None:
        return None
    sort, instance = exports[exported]
    what = f"{name} exports {exported}"
    if sort != "instance" or item not in instance:
        raise InvalidArgument(f"{what} without the function {item}")
    sort, function = instance[item]
    if sort != "func" or function[0] != "lift":
        raise InvalidArgument(f"{what}, whose {item} is no function of its own")
    number: int = function[1]
    found: Function = plan.lifts[number][4:6]
    if found != expected:
        wrong, right = signature(found), signature(expected)
        detail = f"as {wrong}, but it is {right}" if wrong != right else "with other resources than the specification's"
        raise InvalidArgument(f"{name} exports {item} of {exported} {detail}")
    return number


def _names(data: bytes, plan: Plan, step: tuple[int, tuple[Any, ...]]) -> list[tuple[str, str]] | None:
    """The names of a step's imports, if all are canonical functions: then they can be bound before there is a guest."""
    module, refs = step
    if any(ref[0] != "canon" for ref in refs):
        return None
    start, end = plan.modules[module]
    return [(item.module, item.name) for item in binary.parse(data[start:end]).imports]


def _memories(plan: Plan, data: bytes) -> list[tuple[int, str]]:
    found = []
    for step, (module, _) in enumerate(plan.steps):
        start, end = plan.modules[module]
        exported = binary.parse(data[start:end]).exports
        found += [(step, item.name) for item in exported if item.kind == "memory"]
    return found
