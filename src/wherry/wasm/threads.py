"""A guest's shared memory and its threads (wasi-threads). Imported only where a module has shared memory.

Each thread is one of Python's, with a store and an instance of its own; they share the memory and the host's state, so
also the descriptors. The interpreter's lock is free while WebAssembly runs. A trap in any of them ends the process, and
so does the end of the first: https://github.com/WebAssembly/wasi-threads#process
"""

from __future__ import annotations

import _thread
import ctypes
from itertools import count
from struct import Struct

from wherry.errors import ResourceExhausted
from wherry.wasm.binding import EXTERN_FUNC, Extern, Instance
from wherry.wasm.wasi.errno import NUMBERS

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from wherry.wasm.binding import Library

MOST_THREADS = 1024
"""Beside the first, at a time. `--pids-limit` can make it fewer."""
_STACK = 4 << 20
"""Bytes: a guest's own stack (engine.MAX_WASM_STACK) and what the host's functions need on top."""
_EXTERN_SHAREDMEMORY = 4
_PAGE = 65536
_I32 = Struct("=B7xI20x")  # a wasmtime_val_t
_ENTRY = b"wasi_thread_start"


class Shared:
    """The shared memory of a program in this process, and the threads that run in it."""

    def __init__(
        self,
        library: Library,
        engine: int,
        space: memoryview,
        info: Mapping[str, Any],
        linker: int,
        bind: Callable[[], int],
    ) -> None:
        """``bind`` binds the program's imports once the memory it may import is defined in ``linker``, and returns its
        ``wasmtime_instance_pre_t``. The rest as in `Program`."""
        self._library = library
        self._engine = engine
        self._space = space
        self._info = info
        self._linker = linker
        self._bind = bind
        self._instance_pre = 0
        self._functions = library.shared_memory_functions()
        self._memory = 0
        self._ids = count(1)
        self._live = 0
        self._counting = _thread.allocate_lock()  # any thread may spawn, or end
        self._fail: Callable[[str], NoReturn] = _no_guest

    def prepare(self, context: int, limit: int | None, name: str, fail: Callable[[str], NoReturn]) -> None:
        """Make the memory, of ``limit`` bytes at most, if the module imports it. ``fail`` ends the process for what
        went wrong in a thread. ResourceExhausted: the module, called ``name``, wants more from the start."""
        self._fail = fail
        for item in self._info["imports"]:
            if item["kind"] == "memory":
                self._memory = self._new_memory(item["memory"], limit, name)
                self._define(context, item["module"].encode(), item["name"].encode())
        self._instance_pre = self._bind()

    def _new_memory(self, wanted: dict[str, int], limit: int | None, name: str) -> int:
        most = wanted["max"] if limit is None else min(wanted["max"], limit // _PAGE)
        if most < wanted["min"]:
            raise ResourceExhausted(
                f"{name} does not fit into its memory limit: it starts with {wanted['min'] * _PAGE} bytes"
            )
        memory_type, memory = ctypes.c_void_p(), ctypes.c_void_p()
        functions = self._functions
        self._check(functions.memorytype_new(wanted["min"], True, most, False, True, 16, ctypes.byref(memory_type)))
        self._check(functions.new(self._engine, memory_type, ctypes.byref(memory)))
        functions.memorytype_delete(memory_type)
        return memory.value or 0

    def _define(self, context: int, module: bytes, name: bytes) -> None:
        item = Extern()
        item.kind = _EXTERN_SHAREDMEMORY
        item.of[0] = self._memory
        define = self._functions.define
        self._check(define(self._linker, context, module, len(module), name, len(name), ctypes.byref(item)))

    def _check(self, error: int | None) -> None:
        if error:
            raise ResourceExhausted(f"shared memory can't be made: {self._library.take_error(error)}")

    def adopt(self, item: Extern | None) -> None:
        """Take an exported memory for the guest's, if it is a shared one and none was imported."""
        if item is not None and not self._memory and item.kind == _EXTERN_SHAREDMEMORY:
            self._memory = item.of[0]

    def size(self) -> int:
        """Bytes of the memory as it is now."""
        return int(self._functions.data_size(self._memory)) if self._memory else 0

    def view(self) -> memoryview:
        """The memory as it is now."""
        base = self.base()
        return self._space[base : base + self.size()]

    def base(self) -> int:
        """Where it lies, 0 if there is none yet."""
        return int(self._functions.data(self._memory) or 0) if self._memory else 0

    def spawn(self, start_arg: int) -> int:
        """Start a thread that calls ``wasi_thread_start`` with its id and ``start_arg``. Returns the id, or minus
        WASI's AGAIN."""
        with self._counting:
            if self._live >= MOST_THREADS:
                return -NUMBERS["AGAIN"]
            self._live += 1
        number = next(self._ids)
        # Of this process's threads only these need more than the first one's stack is.
        _thread.stack_size(_STACK)
        try:
            _thread.start_new_thread(self._run, (number, start_arg))
        except RuntimeError:  # the kernel refuses: the container's limit of processes, or the machine's
            self._count_out()
            return -NUMBERS["AGAIN"]
        return number

    def _run(self, number: int, start_arg: int) -> None:
        library = self._library
        try:
            store = library.store_new(self._engine, None, None)
            failure = self._call(library.store_context(store), number, start_arg)
        # A thread that Python ends by itself would leave the others waiting for it.
        except BaseException as error:  # noqa: BLE001
            failure = f"fault of the host: {type(error).__name__}: {error}"
        if failure:
            self._fail(failure)
        library.store_delete(store)
        self._count_out()

    def _count_out(self) -> None:
        with self._counting:
            self._live -= 1

    def _call(self, context: int, number: int, start_arg: int) -> str:
        """Instantiate in ``context`` and run the thread in it; what went wrong, or ""."""
        library, instance, trap = self._library, Instance(), ctypes.c_void_p()
        error = library.instance_pre_instantiate(
            self._instance_pre, context, ctypes.byref(instance), ctypes.byref(trap)
        )
        if not error and not trap.value:
            entry = Extern()
            library.instance_export_get(context, ctypes.byref(instance), _ENTRY, len(_ENTRY), ctypes.byref(entry))
            assert entry.kind == EXTERN_FUNC
            arguments = ctypes.create_string_buffer(_I32.pack(0, number) + _I32.pack(0, start_arg))
            error = library.func_call(context, entry.item(), arguments, 2, None, 0, ctypes.byref(trap))
        return library.take_failure(error, trap)


def _no_guest(failure: str) -> NoReturn:
    raise AssertionError(f"a thread failed before there was a guest: {failure}")
