"""libwasmtime's C API as far as putting a component's core modules together takes more of it than a single module does.

https://docs.wasmtime.dev/c-api/ (func.h, instance.h)
"""

from __future__ import annotations

import ctypes

from wherry.wasm.binding import Callback, Library

_P = ctypes.c_void_p
_SIZE = ctypes.c_size_t

EXTERN_SIZE = 32
"""Bytes of a ``wasmtime_extern_t``."""
ITEM = 8
"""Where in it the function or memory lies."""


class Functions:
    """Each attribute is the C function of that name without ``wasmtime_``."""

    def __init__(self, library: Library) -> None:
        f = library.function
        self.func_new_unchecked = f("wasmtime_func_new_unchecked", None, _P, _P, Callback, _P, _P, _P)
        self.func_call_unchecked = f("wasmtime_func_call_unchecked", _P, _P, _P, _P, _SIZE, _P)
        self.instance_new = f("wasmtime_instance_new", _P, _P, _P, _P, _SIZE, _P, _P)
        self.linker_delete = f("wasmtime_linker_delete", None, _P)
