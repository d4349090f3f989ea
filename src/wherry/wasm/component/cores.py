"""A component's core modules, loaded, and their instances put together as the plan says (linking.py)."""

from __future__ import annotations

import ctypes
import os

from wherry.errors import DataLoss, Internal, NotFound
from wherry.wasm.binding import Extern, Library
from wherry.wasm.binding import Instance as CoreInstance
from wherry.wasm.cache import open_trusted, part_path
from wherry.wasm.callbacks import function_type
from wherry.wasm.component.binding import EXTERN_SIZE, ITEM, Functions

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Ref = Sequence[Any]

_INSTANCE_SIZE = ctypes.sizeof(CoreInstance)


def load(library: Library, engine: int, compiled_path: str, count: int) -> list[int]:
    """The ``count`` modules of the component that was compiled to that path. DataLoss: one is not there, or not for
    this engine; PermissionDenied."""
    try:
        return [_load(library, engine, part_path(compiled_path, number)) for number in range(count)]
    except NotFound as error:
        raise DataLoss(f"compiled module {compiled_path} is not whole: {error}; compile it again") from None


def _load(library: Library, engine: int, path: str) -> int:
    handle = ctypes.c_void_p()
    fd = open_trusted(path)
    try:
        # The very file that was found trustworthy, not whatever has its name by now.
        error = library.module_deserialize_file(engine, f"/proc/self/fd/{fd}".encode(), ctypes.byref(handle))
    finally:
        os.close(fd)
    if error:
        message = " ".join(library.take_error(error).split())
        raise DataLoss(f"compiled module {path} can't be used: {message}; compile it again")
    assert handle.value is not None
    return handle.value


class Cores:
    """``entries`` are C functions for the plan's canonical ones; ``made`` is called with the number of a step when its
    instance is there."""

    def __init__(
        self,
        library: Library,
        functions: Functions,
        engine: int,
        plan: Mapping[str, Any],
        modules: Sequence[int],
        entries: Sequence[Any],
        made: Callable[[int], None],
    ) -> None:
        self._library = library
        self._functions = functions
        self._made = made
        self._kept = entries
        self._context = 0
        self._steps = plan["steps"]
        self._modules = modules
        types = [function_type(library, params, results) for _, params, results, *_ in plan["canons"]]
        self._canons = list(zip(types, entries, strict=True))
        self._bound = [self._bind(engine, *step) for step in self._steps]
        self._instances = (CoreInstance * max(len(self._steps), 1))()
        self._imports = [ctypes.create_string_buffer(EXTERN_SIZE * max(len(refs), 1)) for _, refs, _ in self._steps]
        self._recipes = [[] if bound else self._recipe(number) for number, bound in enumerate(self._bound)]

    def _bind(self, engine: int, module: int, refs: Sequence[Ref], names: Sequence[tuple[str, str]] | None) -> int:
        """The imports of a step bound once for all stores, where they are canonical functions; 0 where not."""
        if names is None:
            return 0
        library, linker = self._library, self._library.linker_new(engine)
        for ref, names_of in zip(refs, names, strict=True):
            first, second = (name.encode() for name in names_of)
            kind, entry = self._canons[ref[1]]
            define = library.linker_define_func_unchecked
            self._expect(define(linker, first, len(first), second, len(second), kind, entry, None, None))
        bound = ctypes.c_void_p()
        self._expect(library.linker_instantiate_pre(linker, self._modules[module], ctypes.byref(bound)))
        self._functions.linker_delete(linker)
        return bound.value or 0

    def _expect(self, error: int | None) -> None:
        if error:
            raise Internal(f"a component's core can't be linked: {self._library.take_error(error)}")

    def _recipe(self, number: int) -> list[tuple[Any, ...]]:
        """How each import of a step's is had."""
        base = ctypes.addressof(self._imports[number])
        found: list[tuple[Any, ...]] = []
        for place, ref in enumerate(self._steps[number][1]):
            at = base + EXTERN_SIZE * place
            if ref[0] == "canon":
                found.append((at + ITEM, *self._canons[ref[1]]))
            else:
                name = ref[2].encode()
                found.append((self._instance(ref[1]), name, len(name), at))
        return found

    def _instance(self, step: int) -> int:
        return ctypes.addressof(self._instances) + _INSTANCE_SIZE * step

    def instantiate(self, context: int) -> str:
        """Make all instances in the store ``context``. "", or how that failed."""
        self._context = context
        library, functions = self._library, self._functions
        trap = ctypes.c_void_p()
        for number, (module, refs, _) in enumerate(self._steps):
            into, failed = self._instance(number), ctypes.byref(trap)
            if self._bound[number]:
                error = library.instance_pre_instantiate(self._bound[number], context, into, failed)
            else:
                self._resolve(number)
                imports = self._imports[number]
                error = functions.instance_new(context, self._modules[module], imports, len(refs), into, failed)
            if error or trap.value:
                return library.take_failure(error, trap)
            self._made(number)
        return ""

    def _resolve(self, number: int) -> None:
        """Fill a step's imports."""
        new, export = self._functions.func_new_unchecked, self._library.instance_export_get
        for recipe in self._recipes[number]:
            if len(recipe) == 3:
                at, kind, entry = recipe
                new(self._context, kind, entry, None, None, at)
            else:
                instance, name, size, at = recipe
                export(self._context, instance, name, size, at)

    def export(self, ref: Ref) -> Extern:
        """What a core instance that is there exports; or a canonical function."""
        found = Extern()
        if ref[0] == "canon":
            self._functions.func_new_unchecked(self._context, *self._canons[ref[1]], None, None, found.item())
            return found
        name = ref[2].encode()
        self._library.instance_export_get(self._context, self._instance(ref[1]), name, len(name), ctypes.byref(found))
        return found
