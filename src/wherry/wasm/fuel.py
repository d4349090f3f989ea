"""Fuel: a guest's bounded number of steps. Only for modules compiled for it, and imported only where one is run.

Each WebAssembly instruction takes about one unit, so that a program on the same input always ends at the same place:
https://docs.wasmtime.dev/api/wasmtime/struct.Store.html#method.set_fuel
"""

from __future__ import annotations

import ctypes

from wherry.wasm.imports import HostFunction
from wherry.wasm.meter import FUEL

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.binding import Library
    from wherry.wasm.wasi.host import Host


class Tank:
    """The fuel of the one guest of a process; ``words`` are the meter's. What is used is told there at each call."""

    def __init__(self, library: Library, words: memoryview) -> None:
        self._get, self._set = library.fuel_functions()
        self._words = words
        self._left = ctypes.c_uint64()
        self._context = 0
        self.limit = 0

    def fill(self, context: int, limit: int) -> None:
        """Give the store ``context`` that many units."""
        self._context, self.limit = context, limit
        self._set(context, limit)

    def look(self) -> int:
        """Tell the meter, and return what is left."""
        if not self._context:
            return 0
        self._get(self._context, ctypes.byref(self._left))
        left = self._left.value
        self._words[FUEL] = self.limit - left
        return left

    def watched(self, function: HostFunction) -> HostFunction:
        """``function``, which looks at the tank first."""
        call, look = function.call, self.look

        def looking(host: Host, *arguments: int) -> int:
            look()
            return call(host, *arguments)

        return HostFunction(function.name, function.params, function.results, looking)
