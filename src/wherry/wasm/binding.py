"""libwasmtime's C API by ctypes: the some forty functions used here, and its structures. No policy, no WASI.

https://docs.wasmtime.dev/c-api/. Why not the ``wasmtime`` package: importing it costs 77-140 ms and 11 MB in every
zygote. The package is what installs the library, nothing more.
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wherry.errors import FailedPrecondition
from wherry.record import Record

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EXTERN_FUNC = 0
EXTERN_MEMORY = 3

_P = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_BOOL = ctypes.c_bool
_TEXT = ctypes.c_char_p

# wasm_trap_t *(void *env, wasmtime_caller_t *, wasmtime_val_raw_t *args_and_results, size_t)
Callback = ctypes.CFUNCTYPE(_P, _P, _P, _P, _SIZE)


class ByteVec(ctypes.Structure):
    """``wasm_byte_vec_t``; also the layout of the other vectors."""

    _fields_ = (("size", _SIZE), ("data", _P))
    size: int
    data: int | None


class Extern(ctypes.Structure):
    """``wasmtime_extern_t``: a kind and a union that is used by its address only."""

    _fields_ = (("kind", ctypes.c_uint8), ("of", ctypes.c_uint64 * 3))
    kind: int
    of: ctypes.Array[ctypes.c_uint64]

    def item(self) -> int:
        """The address of the union: a ``wasmtime_func_t``, ``wasmtime_memory_t``, ..."""
        return ctypes.addressof(self) + 8


class Instance(ctypes.Structure):
    """``wasmtime_instance_t``."""

    _fields_ = (("store_id", ctypes.c_uint64), ("index", _SIZE))


class Room:
    """Memory for what the library tells of a guest, by addresses: one that lives as long as its program, since the
    structures that a child makes for a call, and looks into, make pages its own. ``memory`` and ``function`` are of an
    `Extern` each, and so the union's address is 8 more."""

    __slots__ = ("_kept", "answer", "function", "instance", "memory", "trap")

    def __init__(self) -> None:
        self._kept = ctypes.create_string_buffer(_ROOM)
        address = ctypes.addressof(self._kept)
        self.instance, self.trap, self.memory, self.function, self.answer = range(address, address + _ROOM, 32)


_ROOM = 5 * 32
UNION = 8
"""The offset of an `Extern`'s union."""
POINTER = Struct("=Q")
_VAL = Struct("=B7xi20x")  # wasmtime_val_t: kind, then a union of 24 bytes; read as an i32


def val_i32(space: memoryview, address: int) -> int:
    """The i32 in a ``wasmtime_val_t``; ``space`` is a view of all of the process's memory, by address."""
    value: int = _VAL.unpack_from(space, address)[1]
    return value


class SharedMemoryFunctions(Record):
    """``wasmtime_sharedmemory_*`` and what goes with them."""

    memorytype_new: Callable[..., Any]
    memorytype_delete: Callable[..., Any]
    new: Callable[..., Any]
    data: Callable[..., Any]
    data_size: Callable[..., Any]
    define: Callable[..., Any]


class Library:
    """The loaded library: each attribute is the C function of that name without ``wasmtime_``."""

    def __init__(self, path: str) -> None:
        """FailedPrecondition: there is none, or not the one this was written for."""
        try:
            # CDLL, not PyDLL: the interpreter is free while the guest runs.
            self._cdll = ctypes.CDLL(path)
            self._bind_config()
            self._bind_linking()
            self._bind_running()
        except (OSError, AttributeError) as error:
            raise FailedPrecondition(
                f"libwasmtime can't be used: {error}; pip install 'wasmtime>=50.0,<50.1'"
            ) from None

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """The C function ``name``, by its whole name, with those types. AttributeError: there is none."""
        function = getattr(self._cdll, name)
        function.restype = result
        function.argtypes = arguments
        return function  # type: ignore[no-any-return]  # ctypes gives its functions no type

    def _bind_config(self) -> None:
        f = self.function
        self.config_new = f("wasm_config_new", _P)
        self.config_flag: dict[str, Callable[..., Any]] = {
            name: f(f"wasmtime_config_{name}_set", None, _P, _BOOL)
            for name in (
                "parallel_compilation",
                "native_unwind_info",
                "wasm_stack_switching",
                "wasm_threads",
                "wasm_component_model",
                "wasm_component_model_async",
                "concurrency_support",
                "consume_fuel",
                "shared_memory",
            )
        }
        self.config_max_wasm_stack_set = f("wasmtime_config_max_wasm_stack_set", None, _P, _SIZE)
        self.config_memory_reservation_set = f("wasmtime_config_memory_reservation_set", None, _P, ctypes.c_uint64)
        self.engine_new = f("wasm_engine_new_with_config", _P, _P)
        self.error_message = f("wasmtime_error_message", None, _P, _P)
        self.error_delete = f("wasmtime_error_delete", None, _P)
        self.byte_vec_delete = f("wasm_byte_vec_delete", None, _P)
        self.wat2wasm = f("wasmtime_wat2wasm", _P, _TEXT, _SIZE, _P)

    def _bind_linking(self) -> None:
        f = self.function
        self.module_new = f("wasmtime_module_new", _P, _P, _TEXT, _SIZE, _P)
        self.module_serialize = f("wasmtime_module_serialize", _P, _P, _P)
        self.module_deserialize_file = f("wasmtime_module_deserialize_file", _P, _P, _TEXT, _P)
        self.module_delete = f("wasmtime_module_delete", None, _P)
        self.valtype_new = f("wasm_valtype_new", _P, ctypes.c_uint8)
        self.valtype_vec_new = f("wasm_valtype_vec_new", None, _P, _SIZE, _P)
        self.functype_new = f("wasm_functype_new", _P, _P, _P)
        self.functype_delete = f("wasm_functype_delete", None, _P)
        self.linker_new = f("wasmtime_linker_new", _P, _P)
        self.linker_define_func_unchecked = f(
            "wasmtime_linker_define_func_unchecked", _P, _P, _TEXT, _SIZE, _TEXT, _SIZE, _P, Callback, _P, _P
        )
        self.linker_instantiate_pre = f("wasmtime_linker_instantiate_pre", _P, _P, _P, _P)
        self.instance_pre_delete = f("wasmtime_instance_pre_delete", None, _P)

    def _bind_running(self) -> None:
        f = self.function
        self.store_new = f("wasmtime_store_new", _P, _P, _P, _P)
        self.store_context = f("wasmtime_store_context", _P, _P)
        self.store_limiter = f("wasmtime_store_limiter", None, _P, *[ctypes.c_int64] * 5)
        self.store_delete = f("wasmtime_store_delete", None, _P)
        self.instance_pre_instantiate = f("wasmtime_instance_pre_instantiate", _P, _P, _P, _P, _P)
        self.instance_export_get = f("wasmtime_instance_export_get", _BOOL, _P, _P, _TEXT, _SIZE, _P)
        self.caller_export_get = f("wasmtime_caller_export_get", _BOOL, _P, _TEXT, _SIZE, _P)
        self.memory_data = f("wasmtime_memory_data", _P, _P, _P)
        self.memory_data_size = f("wasmtime_memory_data_size", _SIZE, _P, _P)
        self.func_call = f("wasmtime_func_call", _P, _P, _P, _P, _SIZE, _P, _SIZE, _P)
        self.trap_new = f("wasmtime_trap_new", _P, _TEXT, _SIZE)
        self.trap_message = f("wasm_trap_message", None, _P, _P)
        self.trap_delete = f("wasm_trap_delete", None, _P)

    def fuel_functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """``wasmtime_context_get_fuel`` and ``_set_fuel``. Both can fail only for engines without fuel."""
        get = self.function("wasmtime_context_get_fuel", _P, _P, _P)
        return get, self.function("wasmtime_context_set_fuel", _P, _P, ctypes.c_uint64)

    def shared_memory_functions(self) -> SharedMemoryFunctions:
        """What shared memories take: few guests have one, so these are bound only for them."""
        f = self.function
        return SharedMemoryFunctions(
            memorytype_new=f(
                "wasmtime_memorytype_new", _P, ctypes.c_uint64, _BOOL, ctypes.c_uint64, _BOOL, _BOOL, ctypes.c_uint8, _P
            ),
            memorytype_delete=f("wasm_memorytype_delete", None, _P),
            new=f("wasmtime_sharedmemory_new", _P, _P, _P, _P),
            data=f("wasmtime_sharedmemory_data", _P, _P),
            data_size=f("wasmtime_sharedmemory_data_size", _SIZE, _P),
            define=f("wasmtime_linker_define", _P, _P, _P, _TEXT, _SIZE, _TEXT, _SIZE, _P),
        )

    def take_bytes(self, vec: ByteVec) -> bytes:
        """A vector's bytes; the vector is freed."""
        data = ctypes.string_at(vec.data, vec.size) if vec.data else b""
        self.byte_vec_delete(ctypes.byref(vec))
        return data

    def take_error(self, error: int) -> str:
        """An error's message; the error is freed."""
        vec = ByteVec()
        self.error_message(error, ctypes.byref(vec))
        self.error_delete(error)
        return self.take_bytes(vec).decode("utf-8", "replace")

    def take_failure(self, error: int | None, trap: ctypes.c_void_p) -> str:
        """The message of whichever of the two there is, which is freed; "" if there is neither."""
        if error:
            return self.take_error(error)
        return self.take_trap(trap.value) if trap.value else ""

    def take_trap(self, trap: int) -> str:
        """A trap's message with its backtrace; the trap is freed."""
        vec = ByteVec()
        self.trap_message(trap, ctypes.byref(vec))
        self.trap_delete(trap)
        return self.take_bytes(vec).rstrip(b"\0").decode("utf-8", "replace")
