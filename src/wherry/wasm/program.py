"""The runtime: wasmtime's engine, the host's functions, and compiled modules loaded and made ready to start.

A `Runtime` lives in the zygote: it never compiles and starts no thread, so that forking it is safe.
"""

from __future__ import annotations

import ctypes
import marshal
import os

from wherry.errors import DataLoss, InvalidArgument
from wherry.record import Record
from wherry.wasm import imports
from wherry.wasm.binding import Library
from wherry.wasm.cache import edition, info_path, open_trusted
from wherry.wasm.callbacks import address_space, define, new_linker
from wherry.wasm.engine import new_engine
from wherry.wasm.guest import Guest, GuestConfig, warm
from wherry.wasm.loaded import Program
from wherry.wasm.meter import FUNCTIONS, Meter
from wherry.wasm.wasi import preview1
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.memory import Memory

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from wherry.wasm.component.program import ComponentGuest
    from wherry.wasm.fuel import Tank
    from wherry.wasm.imports import HostFunction

    _Adapt = Callable[[HostFunction], HostFunction]

__all__ = ["Program", "Runtime", "Traits", "new_guest", "traits_of"]

MOST_PROGRAMS = 64
"""Compiled modules that stay loaded."""


class Runtime:
    """wasmtime's engine, the linker with wherry's WASI, and the programs loaded so far. One per zygote process."""

    def __init__(
        self,
        library: str,
        *,
        fuel: bool = False,
        around: Callable[[HostFunction], HostFunction] | None = None,
        tune: Callable[[Library, int], None] | None = None,
        page: int | None = None,
    ) -> None:
        """Load libwasmtime from the path ``library``. FailedPrecondition if it can't be loaded. With ``fuel``:
        for modules that were compiled with it, and no others. ``around`` may put something around each function;
        ``tune`` as `new_engine` has it; ``page`` is where the meter lies, else somewhere."""
        self._library = Library(library)
        self._engine = new_engine(self._library, compiling=False, fuel=fuel, tune=tune)
        self._space = address_space()
        self._host = Host(Memory(lambda: memoryview(bytearray())))
        self._meter = Meter(self._space, page)
        self._tank = _tank(self._library, self._meter) if fuel else None
        self._adapt = _both(self._tank.watched if self._tank else None, around)
        self._linker, self._callbacks = new_linker(
            self._library,
            self._engine,
            self._host,
            self._space,
            self._meter.words,
            self._adapt,
        )
        self.programs: dict[str, Program] = {}
        """Those that are loaded, by their files' `edition`."""

    def load(self, compiled_path: str) -> Program:
        """Map a compiled module and bind its imports, if all are such as every child shares; the last ones stay
        loaded, each for as long as its file is what it was.

        InvalidArgument names an import that no host here provides; DataLoss: this engine can't use the file, compile
        the module again; NotFound: no such file; PermissionDenied: others may have written it.
        """
        fd = open_trusted(compiled_path)
        try:
            key = edition(compiled_path, os.fstat(fd))
            program = self.programs.pop(key, None) or self._load(fd, compiled_path)
        finally:
            os.close(fd)
        self.programs[key] = program
        if len(self.programs) > MOST_PROGRAMS:
            del self.programs[next(iter(self.programs))]
        return program

    def _load(self, fd: int, compiled_path: str) -> Program:
        info = _read_info(compiled_path)
        if imports.is_component(info):  # loaded and linked by the child that runs it: see `complete`
            handles = self._library, self._engine, self._host, self._space, self._meter
            return Program(*handles, 0, 0, info, self._tank, compiled_path)
        module = ctypes.c_void_p()
        # The very file that was found trustworthy, not whatever has its name by now.
        path = f"/proc/self/fd/{fd}".encode()
        error = self._library.module_deserialize_file(self._engine, path, ctypes.byref(module))
        if error:
            message = " ".join(self._library.take_error(error).split())
            raise DataLoss(f"compiled module {compiled_path} can't be used: {message}; compile it again")
        assert module.value is not None
        handles = self._library, self._engine, self._host, self._space, self._meter
        program = Program(*handles, module.value, 0, info, self._tank)
        if program.is_whole:
            self._bind(program)
        return program

    def complete(self, program: Program) -> None:
        """In a child: load and bind what this module imports beyond what all share. Once; reads files of the package,
        so the root must still be the host's. InvalidArgument as in `load`."""
        if program.instance_pre or program.shared is not None or program.component is not None:
            return
        if program.path:
            from wherry.wasm.component.program import Component  # here: who is a module shall not carry it

            program.component = Component(program, program.path)
            return
        from wherry.wasm.wasi.sock_list import SOCKETS  # here: who has no sockets shall not carry their names

        first = FUNCTIONS + len(imports.HOST)
        extra = [
            (first + SOCKETS.index(function.name), preview1.MODULE, function)
            for function in imports.sockets(program.info)
        ]
        if program.spawns:
            extra.append((first + len(SOCKETS), *imports.thread_spawn()))
        handles = self._library, self._linker, self._host, self._space, self._meter.words
        self._callbacks += define(*handles, extra, self._adapt)
        if imports.has_shared_memory(program.info):
            self._share(program)
        else:
            self._bind(program)

    def _share(self, program: Program) -> None:
        """Its imports are bound when the guest is made, for one of them is the guest's memory."""
        from wherry.wasm.threads import Shared  # here: few modules have threads

        if self._tank is not None and program.spawns:
            raise InvalidArgument("fuel can't be metered for a module that starts threads")
        handles = self._library, self._engine, self._space
        program.shared = Shared(*handles, program.info, self._linker, lambda: self._bind(program))

    def _bind(self, program: Program) -> int:
        instance_pre = ctypes.c_void_p()
        error = self._library.linker_instantiate_pre(self._linker, program.module, ctypes.byref(instance_pre))
        if error:
            raise InvalidArgument(_import_message(self._library.take_error(error)))
        assert instance_pre.value is not None
        program.instance_pre = instance_pre.value
        return instance_pre.value

    def warm(self, compiled_path: str) -> None:
        """Run the built-in warm-up guest a few times against /dev/null, so that forked children find all paths warm
        and share the memory they live in. Freeze the garbage collector after it."""
        warm(self.load(compiled_path))


def _both(first: _Adapt | None, then: _Adapt | None) -> _Adapt | None:
    if first is None or then is None:
        return first or then
    return lambda function: then(first(function))


def new_guest(program: Program, config: GuestConfig, on_exit: Callable[[int], NoReturn]) -> Guest | ComponentGuest:
    """The guest of a complete program, module or component; its stdio are fds 0, 1 and 2."""
    if program.component is None:
        return Guest(program, config, on_exit)
    from wherry.wasm.component.program import ComponentGuest  # loaded with the program

    return ComponentGuest(program, config, on_exit)


def _tank(library: Library, meter: Meter) -> Tank:
    from wherry.wasm.fuel import Tank  # here, since few containers ask for it

    return Tank(library, meter.words)


class Traits(Record):
    """What whoever makes a sandbox has to know of a compiled module: whether it does sockets, can start threads, wants
    to find listeners among its descriptors, or answers HTTP and is no program."""

    imports_sockets: bool = False
    spawns: bool = False
    wants_listeners: bool = False
    answers_http: bool = False


def traits_of(compiled_path: str) -> Traits:
    """Those of a module, without loading it. DataLoss, NotFound, PermissionDenied as `Runtime.load` has them."""
    info = _read_info(compiled_path)
    return Traits(
        imports.imports_sockets(info), imports.spawns(info), imports.wants_listeners(info), imports.answers_http(info)
    )


def _read_info(compiled_path: str) -> Mapping[str, Any]:
    with open(open_trusted(info_path(compiled_path)), "rb") as file:
        try:
            info: Mapping[str, Any] = marshal.load(file)
        except (ValueError, EOFError, TypeError):
            raise DataLoss(f"{info_path(compiled_path)} is damaged: compile the module again") from None
        return info


def _import_message(message: str) -> str:
    """wasmtime names a missing import as ``unknown import: `module::name` has not been defined``."""
    _, found, rest = message.partition("unknown import: `")
    if not found:
        return "the module's imports can't be had here: " + " ".join(message.split())
    return f"the module imports {rest.partition('`')[0].replace('::', '.')}, which no host here provides"
