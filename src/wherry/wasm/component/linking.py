"""What is to be done to make an instance of a component, found by carrying out its definitions on names instead of
instances: which core modules are instantiated in which order, and what each of their imports is. The compiler's.

Components within components are carried out too, so that of all their structure nothing is left but core instances and
canonical functions. The component is valid: libwasmtime has looked at it before (see shell.py).

https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.wasm import binary
from wherry.wasm.component import flat
from wherry.wasm.component.declared import (
    COMPONENT,
    CORE_MODULE,
    FUNC,
    INSTANCE,
    SORTS,
    TYPE,
    Budget,
    Declared,
    Resource,
    Signature,
    TypeScope,
    description,
    exports,
)
from wherry.wasm.component.names import SECTIONS, extern_name
from wherry.wasm.component.wit import Function
from wherry.wasm.reader import Reader, sections

Ref = tuple[Any, ...]
"""A core definition: ("step", number of the instantiation, export's name), or ("canon", number of the function)."""
Host = Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Function]]]
"""What is imported: see types.plan."""
_NOTHING: Final[tuple[str, Mapping[str, str], Mapping[str, Function]]] = ("", {}, {})

_CORE_SORTS: Final = {0: "func", 1: "table", 2: "memory", 3: "global", 4: "tag", 0x10: "type", 0x11: "module",
                      0x12: "instance"}  # fmt: skip
_ENCODINGS: Final = ("utf8", "utf16", "latin1+utf16")
_DEEPEST = 100


@dataclass(slots=True)
class Plan:
    """``modules`` are core modules' places in the file. The others are numbered: ``steps`` instantiate a module with
    a ref for each import; ``canons`` are the canonical functions that cores import, ``options`` their memories,
    ``lifts`` the functions that components offer, ``resources`` the guest's own types with their destructors, all with
    the number of the component instance they belong to, of which there are ``instances``."""

    modules: list[tuple[int, int]] = field(default_factory=list)
    steps: list[tuple[int, tuple[Ref, ...]]] = field(default_factory=list)
    canons: list[tuple[Any, ...]] = field(default_factory=list)
    options: list[tuple[int, Ref | None, Ref | None, str]] = field(default_factory=list)
    lifts: list[tuple[Any, ...]] = field(default_factory=list)
    resources: list[tuple[int, Ref | None]] = field(default_factory=list)
    instances: int = 0

    def module(self, place: tuple[int, int]) -> int:
        """The number of the core module there."""
        if place not in self.modules:
            self.modules.append(place)
        return self.modules.index(place)

    def option(self, found: tuple[int, Ref | None, Ref | None, str]) -> int:
        """The number of those options."""
        if found not in self.options:
            self.options.append(found)
        return self.options.index(found)

    def canon(self, *function: Any) -> Ref:
        """A new canonical function."""
        self.canons.append(function)
        return ("canon", len(self.canons) - 1)


@dataclass(frozen=True, slots=True)
class _Nested:
    """A component that is defined, and where."""

    start: int
    end: int
    scope: _Scope


def evaluate(data: bytes, host: Host | None) -> tuple[Plan, dict[str, tuple[str, Any]]]:
    """The plan for the component, and what it exports by name: sorts and definitions. A function is ("lift", number).
    Without a ``host`` it imports what it says. Malformed: it can't be carried out; TooMuch."""
    plan = Plan()
    scope = _Scope(Budget(), None, plan=plan, data=data, host=host)
    scope.run(8, len(data))
    return plan, scope.exports


@dataclass(slots=True)
class _Scope(TypeScope):
    """A component instance in the making: its index spaces. ``given`` is what it imports, for one within another."""

    plan: Plan = field(default_factory=Plan)
    data: bytes = b""
    host: Host | None = None
    given: Mapping[str, tuple[str, Any]] | None = None
    depth: int = 0
    number: int = 0
    core: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _CORE_SORTS.values()})
    funcs: list[Any] = field(default_factory=list)
    components: list[_Nested] = field(default_factory=list)
    exports: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def run(self, start: int, end: int) -> None:
        """Carry out the definitions there."""
        self.number = self.plan.instances
        self.plan.instances += 1
        for number, reader in sections(self.data, start, SECTIONS, end):
            section = SECTIONS[number]
            if section == "core module":
                self.core["module"].append(self.plan.module((reader.position, reader.end)))
            elif section == "component":
                self.components.append(_Nested(reader.position + 8, reader.end, self))
            elif section in _SECTIONS:
                for _ in range(reader.count()):
                    self.budget.spend(reader)
                    _SECTIONS[section](self, reader)
                reader.finish()
            elif section not in ("custom", "core type"):
                raise reader.fault("it is not supported")

    def space(self, sort: str) -> list[Any]:
        """The index space of a sort."""
        spaces: dict[str, list[Any]] = {
            FUNC: self.funcs, TYPE: self.types, COMPONENT: self.components, INSTANCE: self.instances,
            CORE_MODULE: self.core["module"],
        }  # fmt: skip
        return spaces[sort]

    def sorted_at(self, reader: Reader) -> tuple[str, Any]:
        """The definition whose sort and index come."""
        sort = _sort(reader)
        return sort, _at(self.space(sort), reader)

    def resource(self, reader: Reader) -> Resource:
        """A resource type of its own, with another identity in each instance."""
        reader.byte()
        destructor = _at(self.core["func"], reader) if reader.byte() else None
        self.plan.resources.append((self.number, destructor))
        return Resource(len(self.plan.resources) - 1)

    # Sections

    def core_instance(self, reader: Reader) -> None:
        if reader.byte():
            named = {}
            for _ in range(reader.count()):
                name, sort = reader.name(), _core_sort(reader)
                named[name] = _at(self.core[sort], reader)
            self.core["instance"].append(named)
            return
        module = _at(self.core["module"], reader)
        given = {}
        for _ in range(reader.count()):
            name = reader.name()
            reader.byte()
            given[name] = _at(self.core["instance"], reader)
        start, end = self.plan.modules[module]
        wanted = binary.parse(self.data[start:end]).imports
        refs = tuple(_exported(given[item.module], item.name) for item in wanted)
        self.plan.steps.append((module, refs))
        self.core["instance"].append(len(self.plan.steps) - 1)

    def instance(self, reader: Reader) -> None:
        if reader.byte():
            self.instances.append({extern_name(reader): self.sorted_at(reader) for _ in range(reader.count())})
            return
        nested: _Nested = _at(self.components, reader)
        given = {reader.name(): self.sorted_at(reader) for _ in range(reader.count())}
        if self.depth > _DEEPEST:
            raise reader.fault("components lie too deep in one another")
        made = _Scope(
            self.budget, nested.scope, plan=self.plan, data=self.data, given=given, depth=self.depth + 1
        )  # fmt: skip
        made.run(nested.start, nested.end)
        self.instances.append(made.exports)

    def alias(self, reader: Reader) -> None:
        sort = reader.byte()
        core = _CORE_SORTS[reader.byte()] if sort == 0 else ""
        target = reader.byte()
        if target == 0:
            instance, name = _at(self.instances, reader), reader.name()
            self.space(CORE_MODULE if core else SORTS[sort]).append(instance[name][1])
        elif target == 1:
            found = _at(self.core["instance"], reader)
            self.core[core].append(_exported(found, reader.name()))
        else:
            self._outer(core, sort, reader)

    def _outer(self, core: str, sort: int, reader: Reader) -> None:
        scope = self.outer(reader.u32())
        if core == "type":
            reader.u32()
            return
        kind = CORE_MODULE if core else SORTS[sort]
        assert isinstance(scope, _Scope)
        self.space(kind).append(_at(scope.space(kind), reader))

    def canon(self, reader: Reader) -> None:
        code = reader.byte()
        if code == 0:
            reader.byte()
            self._lift(reader)
        elif code == 1:
            reader.byte()
            self._lower(reader)
        elif code in _BUILTINS:
            word, params, results = _BUILTINS[code]
            identity = self.resource_at(reader)
            self.core["func"].append(self.plan.canon(word, params, results, self.number, identity))
        else:
            raise reader.fault(f"the canonical built-in {code:#x} is not supported")

    def _lift(self, reader: Reader) -> None:
        function = _at(self.core["func"], reader)
        option, after = self._options(reader)
        kind = _at(self.types, reader)
        if not isinstance(kind, Signature):
            raise reader.fault("a function of what is no function's type")
        params, result = kind.function
        self.plan.lifts.append((function, self.number, option, after, params, result))
        self.funcs.append(("lift", len(self.plan.lifts) - 1))

    def _lower(self, reader: Reader) -> None:
        found = _at(self.funcs, reader)
        option, _ = self._options(reader)
        if found[0] == "host":
            params, result = found[3]
        else:
            params, result = self.plan.lifts[found[1]][4:6]
        taken, given = flat.signature(params, result, lowered=True)
        self.core["func"].append(
            self.plan.canon(found[0], taken, given, self.number, option, *found[1:])
        )  # fmt: skip

    def _options(self, reader: Reader) -> tuple[int, Ref | None]:
        """The number of the options, and what is called after the function."""
        encoding, memory, realloc, after = "utf8", None, None, None
        for _ in range(reader.count()):
            code = reader.byte()
            if code < 3:
                encoding = _ENCODINGS[code]
            elif code == 3:
                memory = _at(self.core["memory"], reader)
            elif code in (4, 5):
                function = _at(self.core["func"], reader)
                realloc, after = (function, after) if code == 4 else (realloc, function)
            else:
                raise reader.fault(f"the canonical option {code:#x} is not supported")
        return self.plan.option((self.number, memory, realloc, encoding)), after

    def imported(self, reader: Reader) -> None:
        name = extern_name(reader)
        said = description(reader)
        kind = None if said.index is None or said.kind == CORE_MODULE else self.at(said.index, reader)
        if self.given is None:
            self._of_host(reader, name, said.kind, kind)
            return
        if name in self.given:
            sort, found = self.given[name]
        elif kind is not None:
            sort, found = said.kind, kind
        else:
            raise reader.fault(f"{name} is imported and not given")
        self.space(sort).append(found)

    def _of_host(self, reader: Reader, name: str, sort: str, kind: Any) -> None:
        if sort == TYPE and kind is not None:
            self.types.append(kind)
            return
        if sort != INSTANCE or not isinstance(kind, Declared):
            raise reader.fault(f"it imports {name}, a {sort}, which no host here provides")
        interface, resources, functions = _NOTHING if self.host is None else self.host.get(name, _NOTHING)
        told = exports(kind, lambda resource: resources.get(resource, f"{name}.{resource}"))
        if self.host is None:
            functions = {item: made.function for item, (_, made) in told.items() if isinstance(made, Signature)}
        made = {item: found for item, found in told.items() if found[0] != FUNC}
        for item, function in functions.items():
            made[item] = FUNC, ("host", interface, item, function)
        self.instances.append(made)

    def export(self, reader: Reader) -> None:
        name = extern_name(reader)
        sort, found = self.sorted_at(reader)
        if reader.byte():
            description(reader)
        self.exports[name] = sort, found
        self.space(sort).append(found)


_BUILTINS: Final = {2: ("new", "i", "i"), 3: ("drop", "i", ""), 4: ("rep", "i", "i")}
_SECTIONS: Final[Mapping[str, Callable[[_Scope, Reader], None]]] = {
    "core instance": _Scope.core_instance,
    "instance": _Scope.instance,
    "alias": _Scope.alias,
    "type": _Scope.read,
    "canon": _Scope.canon,
    "import": _Scope.imported,
    "export": _Scope.export,
}


def _core_sort(reader: Reader) -> str:
    code = reader.byte()
    if code not in _CORE_SORTS:
        raise reader.fault(f"unknown sort {code:#x}")
    return _CORE_SORTS[code]


def _sort(reader: Reader) -> str:
    code = reader.byte()
    if code == 0:
        reader.byte()
        return CORE_MODULE
    if code not in SORTS or code == 2:
        raise reader.fault(f"a thing of the sort {code:#x} is not supported")
    return SORTS[code]


def _at(space: list[Any], reader: Reader) -> Any:
    index = reader.u32()
    if index >= len(space):
        raise reader.fault(f"{index} is not there")
    return space[index]


def _exported(instance: int | Mapping[str, Any], name: str) -> Any:
    """What a core instance exports."""
    return ("step", instance, name) if isinstance(instance, int) else instance[name]
