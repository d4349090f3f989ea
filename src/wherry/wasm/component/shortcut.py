"""Shorter plans for the same component. The compiler's.

A core's imports need its memory, which is there only after them. So tools put a module before it whose functions do no
more than call what stands in a table, and one behind it that fills the table. Here the host's functions find the memory
whenever it is there: such a core can import them themselves, and the two modules and the way through the table are left
out where nothing else needs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wherry.wasm import binary
from wherry.wasm.binary import SECTIONS, FuncType, Import
from wherry.wasm.component.linking import Plan, Ref
from wherry.wasm.imports import signature
from wherry.wasm.reader import Reader, sections

_GET, _CONST, _CALL_INDIRECT, _END = 0x20, 0x41, 0x11, 0x0B


@dataclass(slots=True)
class _Shape:
    """As much of a core module as tells whether it is one of the two. ``places`` are exports by kind and index;
    ``slots`` has for each of its functions the table's element that it calls, None if it does anything else;
    ``elements`` the functions that it fills a table with; ``others`` the sections that such modules have not."""

    imports: list[Import] = field(default_factory=list)
    functions: list[FuncType | None] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    slots: list[int | None] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    others: set[str] = field(default_factory=set)


def shorten(plan: Plan, data: bytes) -> Plan:
    """The same plan without what can be left out."""
    shapes = [_shape(data, place) for place in plan.modules]
    for step in range(len(plan.steps)):
        filling = _filling(plan, shapes, step)
        if filling is not None:
            _bypass(plan, shapes, step, filling)
    return _without_unused(plan, shapes)


def _filling(plan: Plan, shapes: list[_Shape], step: int) -> int | None:
    """The step that fills the table that the functions of ``step`` call through, None if it is not like that."""
    module, refs = plan.steps[step]
    shape = shapes[module]
    if refs or shape.others - {"table"} or shape.elements or not shape.slots or None in shape.slots:
        return None
    tables = {name for name, (kind, _) in shape.places.items() if kind == 1}
    users = [
        number for number, (_, used) in enumerate(plan.steps)
        if any(ref[0] == "step" and ref[1] == step and ref[2] in tables for ref in used)
    ]  # fmt: skip
    if len(users) != 1 or not _is_filler(shapes[plan.steps[users[0]][0]]):
        return None
    return users[0]


def _is_filler(shape: _Shape) -> bool:
    return bool(shape.elements) and not (shape.others or shape.slots or shape.places)


def _bypass(plan: Plan, shapes: list[_Shape], step: int, filling: int) -> None:
    """Have whoever imports the functions of ``step`` import what they call, where that is the host's."""
    shape = shapes[plan.steps[step][0]]
    module, given = plan.steps[filling]
    functions = [ref for ref, item in zip(given, shapes[module].imports, strict=True) if item.kind == "func"]
    filled = [functions[index] for index in shapes[module].elements]
    for number, (own, refs) in enumerate(plan.steps):
        if number != filling:
            imports = shapes[own].imports
            found = [_direct(plan, shape, step, filled, *pair) for pair in zip(refs, imports, strict=True)]
            plan.steps[number] = own, tuple(found)


def _direct(plan: Plan, shape: _Shape, step: int, filled: list[Ref], ref: Ref, item: Import) -> Ref:
    if ref[:2] != ("step", step) or item.kind != "func":
        return ref
    slot = shape.slots[shape.places[ref[2]][1]]
    target = filled[slot] if slot is not None and slot < len(filled) else ref
    if target[0] != "canon":
        return ref
    params, results = plan.canons[target[1]][1:3]
    return target if item.type == FuncType(signature(params), signature(results)) else ref


def _without_unused(plan: Plan, shapes: list[_Shape]) -> Plan:
    """Without the pairs of which nobody uses the first any more, and with other numbers for the rest."""
    unused: set[int] = set()
    for step in range(len(plan.steps)):
        filling = _filling(plan, shapes, step)
        if filling is not None and not any(ref[:2] == ("step", step) for ref in _refs(plan, filling)):
            unused |= {step, filling}
    kept = [number for number in range(len(plan.steps)) if number not in unused]
    modules = sorted({plan.steps[number][0] for number in kept})

    def moved(ref: Any) -> Any:
        return ref if ref is None or ref[0] != "step" else ("step", kept.index(ref[1]), ref[2])

    steps = [(modules.index(plan.steps[number][0]), tuple(map(moved, plan.steps[number][1]))) for number in kept]
    return Plan(
        [plan.modules[number] for number in modules],
        steps,
        plan.canons,
        [(owner, moved(memory), moved(realloc), encoding) for owner, memory, realloc, encoding in plan.options],
        [(moved(function), owner, option, moved(after), *rest) for function, owner, option, after, *rest in plan.lifts],
        [(owner, moved(destructor)) for owner, destructor in plan.resources],
        plan.instances,
    )


def _refs(plan: Plan, without: int) -> list[Ref]:
    """All that is referred to, but for the imports of one step."""
    found = [ref for number, (_, refs) in enumerate(plan.steps) if number != without for ref in refs]
    more = [ref for _, memory, realloc, _ in plan.options for ref in (memory, realloc)]
    more += [ref for function, _, _, after, *_ in plan.lifts for ref in (function, after)]
    more += [destructor for _, destructor in plan.resources]
    return found + [ref for ref in more if ref is not None]


def _shape(data: bytes, place: tuple[int, int]) -> _Shape:
    start, end = place
    core = binary.parse(data[start:end])
    shape = _Shape(core.imports, core.functions)
    for number, reader in sections(data, start + 8, tuple(SECTIONS), end):
        name = SECTIONS[number]
        if name == "export":
            _exports(shape, reader)
        elif name == "code" and not core.imports:
            shape.slots = [_slot(reader) for _ in range(reader.count())]
        elif name == "element":
            shape.elements = _elements(reader)
            if not shape.elements:
                shape.others.add(name)
        elif name not in ("custom", "type", "import", "function"):
            shape.others.add(name)
    return shape


def _exports(shape: _Shape, reader: Reader) -> None:
    for _ in range(reader.count()):
        name = reader.name()
        shape.places[name] = reader.byte(), reader.u32()


def _slot(reader: Reader) -> int | None:
    """The element that a function calls with its own parameters, if that is all it does."""
    size = reader.u32()
    body = Reader(reader.data, reader.position, reader.position + size, "code")
    reader.take(size)
    if body.u32():
        return None
    taken = 0
    while body.peek() == _GET:
        body.byte()
        if body.u32() != taken:
            return None
        taken += 1
    if body.byte() != _CONST:
        return None
    slot = body.s33()
    if body.byte() != _CALL_INDIRECT:
        return None
    body.u32()
    is_plain = body.u32() == 0 and body.byte() == _END and body.done()
    return slot if is_plain and slot >= 0 else None


def _elements(reader: Reader) -> list[int]:
    """The functions that the one segment there is puts at the start of table 0; none if it is another kind."""
    if reader.count() != 1 or reader.u32() != 0:
        return []
    if (reader.byte(), reader.s33(), reader.byte()) != (_CONST, 0, _END):
        return []
    return [reader.u32() for _ in range(reader.count())]
