"""The settings of wasmtime's engine, the same wherever modules are compiled or run; and making such an engine.

What is compiled under other settings is refused by wasmtime; so all of them are part of the cache's key.
"""

from __future__ import annotations

from wherry.wasm.binding import Library

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

# Guests' stacks are the process's own: 8 MiB by default. 512 KiB is wasmtime's default, too little for interpreters.
MAX_WASM_STACK = 2 << 20
# All a 32-bit memory can ever have: so it never moves, and a bounds check costs nothing.
MEMORY_RESERVATION = 4 << 30

_FLAGS = {
    # Backtraces walk frame pointers: without unwind tables files are smaller, and loading one registers nothing.
    "native_unwind_info": False,
    # Enabled, it makes wasmtime abort the process.
    "wasm_stack_switching": False,
    # For wasi-threads; other modules are compiled to the same code as without.
    "wasm_threads": True,
    "shared_memory": True,
    "wasm_component_model": True,
    # WASI 0.3's way of running components. With it, a host function that takes two borrowed resources traps: wasmtime
    # 50.0 looks for the call's context where it was before the first of them was lifted.
    "wasm_component_model_async": False,
    "concurrency_support": False,
}


def settings(*, fuel: bool = False) -> str:
    """All that a compiled module depends on, for the cache's key. With ``fuel`` it counts its steps."""
    flags = ",".join(f"{name}={int(value)}" for name, value in _flags(fuel).items())
    return f"{flags},reservation={MEMORY_RESERVATION:x}"


def _flags(fuel: bool) -> dict[str, bool]:
    return {**_FLAGS, "consume_fuel": True} if fuel else _FLAGS


def new_engine(
    library: Library, *, compiling: bool, fuel: bool = False, tune: Callable[[Library, int], None] | None = None
) -> int:
    """A ``wasm_engine_t`` with those settings. One that is ``compiling`` starts threads: never fork then. ``tune`` gets
    the configuration, for settings that compiled code does not depend on."""
    config = library.config_new()
    for name, value in _flags(fuel).items():
        library.config_flag[name](config, value)
    library.config_flag["parallel_compilation"](config, compiling)
    library.config_max_wasm_stack_set(config, MAX_WASM_STACK)
    library.config_memory_reservation_set(config, MEMORY_RESERVATION)
    if tune is not None:
        tune(library, config)
    engine: int = library.engine_new(config)
    return engine
