"""libwasmtime's C API for components by ctypes: values, resources, linking, running. Reading types is types.py's.

https://docs.wasmtime.dev/c-api/ (component/*.h)
"""

from __future__ import annotations

import ctypes

from wherry.wasm.binding import Library

_P = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_U32 = ctypes.c_uint32
_TEXT = ctypes.c_char_p

# wasmtime_error_t *(void *env, context *, func_type *, val *args, size_t, val *results, size_t)
Callback = ctypes.CFUNCTYPE(_P, _P, _P, _P, _P, _SIZE, _P, _SIZE)
# wasmtime_error_t *(void *env, context *, uint32_t rep)
Destructor = ctypes.CFUNCTYPE(_P, _P, _P, _U32)

FUNC_SIZE = 32
"""Bytes of a ``wasmtime_component_func_t``."""


class Functions:
    """Each attribute is the C function of that name without ``wasmtime_component_``."""

    def __init__(self, library: Library) -> None:
        f = library.function
        name = "wasmtime_component_"
        self.new = f(f"{name}new", _P, _P, _TEXT, _SIZE, _P)
        self.serialize = f(f"{name}serialize", _P, _P, _P)
        self.deserialize_file = f(f"{name}deserialize_file", _P, _P, _TEXT, _P)
        self.delete = f(f"{name}delete", None, _P)
        self.get_export_index = f(f"{name}get_export_index", _P, _P, _P, _TEXT, _SIZE)
        self.linker_new = f(f"{name}linker_new", _P, _P)
        self.linker_root = f(f"{name}linker_root", _P, _P)
        self.linker_instantiate = f(f"{name}linker_instantiate", _P, _P, _P, _P, _P)
        self.linker_instance_add_instance = f(f"{name}linker_instance_add_instance", _P, _P, _TEXT, _SIZE, _P)
        self.linker_instance_add_func = f(
            f"{name}linker_instance_add_func", _P, _P, _TEXT, _SIZE, Callback, _P, _P
        )  # fmt: skip
        self.linker_instance_add_resource = f(
            f"{name}linker_instance_add_resource", _P, _P, _TEXT, _SIZE, _P, Destructor, _P, _P
        )
        self.linker_instance_delete = f(f"{name}linker_instance_delete", None, _P)
        self.resource_type_new_host = f(f"{name}resource_type_new_host", _P, _U32)
        self.instance_get_func = f(f"{name}instance_get_func", ctypes.c_bool, _P, _P, _P, _P)
        self.func_call = f(f"{name}func_call", _P, _P, _P, _P, _SIZE, _P, _SIZE)
        self.error_new = f("wasmtime_error_new", _P, _TEXT)
        self._bind_values(library)

    def _bind_values(self, library: Library) -> None:
        f = library.function
        name = "wasmtime_component_"
        self.val_delete = f(f"{name}val_delete", None, _P)
        self.val_new = f(f"{name}val_new", _P, _P)
        self.vallist_new_uninit = f(f"{name}vallist_new_uninit", None, _P, _SIZE)
        self.valtuple_new_uninit = f(f"{name}valtuple_new_uninit", None, _P, _SIZE)
        self.valrecord_new_uninit = f(f"{name}valrecord_new_uninit", None, _P, _SIZE)
        self.valflags_new_uninit = f(f"{name}valflags_new_uninit", None, _P, _SIZE)
        self.byte_vec_new = f("wasm_byte_vec_new", None, _P, _SIZE, _TEXT)
        self.resource_host_new = f(f"{name}resource_host_new", _P, ctypes.c_bool, _U32, _U32)
        self.resource_host_rep = f(f"{name}resource_host_rep", _U32, _P)
        self.resource_host_delete = f(f"{name}resource_host_delete", None, _P)
        self.resource_any_to_host = f(f"{name}resource_any_to_host", _P, _P, _P, _P)
        self.resource_host_to_any = f(f"{name}resource_host_to_any", _P, _P, _P, _P)
