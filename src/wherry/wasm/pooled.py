"""wasmtime's pooling allocator, for a process that makes one instance after the other: their memory is made once and
wiped in between, where a mapping and its removal would cost each of them some system calls and all its page faults.

Who starts one guest is slower with it. A module that does not fit into the bounds below can't be loaded then: see
`wagi/site.py`, which does without in that case. https://docs.wasmtime.dev/api/wasmtime/struct.PoolingAllocationConfig.html
"""

from __future__ import annotations

import ctypes

from wherry.wasm.engine import MEMORY_RESERVATION

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.binding import Library

_P = ctypes.c_void_p
_COUNTS = {
    "total_core_instances": 1,
    "total_memories": 2,
    "max_memories_per_module": 2,
    "total_tables": 4,
    "max_tables_per_module": 4,
}
_SIZES = {
    "max_core_instance_size": 4 << 20,
    "max_memory_size": MEMORY_RESERVATION,
    "table_elements": 100_000,
    # Wiped by hand, and not given back to the kernel. More takes longer than the page faults.
    "linear_memory_keep_resident": 64 << 10,
    "table_keep_resident": 64 << 10,
}


def tune(library: Library, config: int) -> None:
    """Have an engine of this configuration pool."""
    name = "wasmtime_pooling_allocation_config_"
    pool: int = library.function(f"{name}new", _P)()
    for kind, values in ((ctypes.c_uint32, _COUNTS), (ctypes.c_size_t, _SIZES)):
        for key, value in values.items():
            library.function(f"{name}{key}_set", None, _P, kind)(pool, value)
    library.function("wasmtime_pooling_allocation_strategy_set", None, _P, _P)(config, pool)
    library.function(f"{name}delete", None, _P)(pool)
