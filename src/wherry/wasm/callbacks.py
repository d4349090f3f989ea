"""The host's functions as libwasmtime calls them: raw arguments in, an errno or a trap out, and never an exception.

This is the hot path of every WASI call. Arguments are read straight from the call's array by a Struct over a view of
the whole address space: half the cost of a ctypes array per call.
"""

from __future__ import annotations

import ctypes
from struct import Struct, pack_into

from wherry.errors import Internal
from wherry.wasm.binding import Callback, Library
from wherry.wasm.imports import HOST, HostFunction
from wherry.wasm.meter import FUNCTIONS
from wherry.wasm.wasi.errno import NOTCAPABLE, Trap, WasiError, from_linux
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_SLOTS = {"i": "I12x", "I": "Q8x"}
_KINDS = {"i": 0, "I": 1, "f": 2, "F": 3}
_SPACE_SIZE = 1 << 47


def address_space() -> memoryview:
    """A view of all of the process's memory, by address. Only for addresses that libwasmtime just handed over."""
    return memoryview((ctypes.c_ubyte * _SPACE_SIZE).from_address(0)).cast("B")


def callback(
    library: Library, host: Host, function: HostFunction, space: memoryview, counts: memoryview, word: int
) -> Any:
    """``function`` as a C function that works on ``host`` and counts its calls in ``counts[word]``. Keep the result as
    long as it may be called."""
    arguments = Struct("<" + "".join(_SLOTS[letter] for letter in function.params)).unpack_from
    answer = Struct("<I").pack_into
    call = function.call

    def refuse() -> None:
        nonlocal call
        call = _no_thread if function.name == "thread-spawn" else _not_capable

    host.refusals.append((function.name, refuse))

    def run(_env: int, caller: int, values: int, _count: int) -> int | None:
        try:
            counts[word] += 1
            host.caller = caller
            answer(space, values, call(host, *arguments(space, values)))
        except WasiError as error:
            answer(space, values, error.errno)
        except OSError as error:
            answer(space, values, from_linux(error.errno))
        except Trap as trap:
            return new_trap(library, f"{function.name}: {trap}")
        except BaseException as error:  # noqa: BLE001 - anything that escapes would be taken for a trap's address
            return new_trap(library, f"{function.name}: fault of the host: {type(error).__name__}: {error}")
        return None

    return Callback(run)


def _not_capable(_host: Host, *_arguments: int) -> int:
    """What a function does that the guest is not granted."""
    return NOTCAPABLE


def _no_thread(_host: Host, *_arguments: int) -> int:
    """The same in the words of wasi-threads, where numbers above 0 are threads."""
    return -NOTCAPABLE & 0xFFFFFFFF


def new_trap(library: Library, message: str) -> int:
    """A ``wasm_trap_t`` with that message."""
    data = message.encode("utf-8", "replace")
    trap: int = library.trap_new(data, len(data))
    return trap


def new_linker(
    library: Library,
    engine: int,
    host: Host,
    space: memoryview,
    counts: memoryview,
    adapt: Callable[[HostFunction], HostFunction] | None = None,
) -> tuple[int, list[Any]]:
    """A linker with the functions every child shares, and what must be kept alive with it. ``counts``: a meter's
    words; ``adapt`` may put something around each function."""
    linker: int = library.linker_new(engine)
    functions = [(word, module, function) for word, ((module, _), function) in enumerate(HOST.items(), FUNCTIONS)]
    return linker, define(library, linker, host, space, counts, functions, adapt)


def define(
    library: Library,
    linker: int,
    host: Host,
    space: memoryview,
    counts: memoryview,
    functions: Iterable[tuple[int, str, HostFunction]],
    adapt: Callable[[HostFunction], HostFunction] | None = None,
) -> list[Any]:
    """Add host functions, each after the word its calls are counted in and the module it is in; returns what must be
    kept alive with the linker."""
    kept: list[Any] = []
    for word, module, function in functions:
        kind = function_type(library, function.params, function.results)
        entry = callback(library, host, adapt(function) if adapt else function, space, counts, word)
        names = module.encode(), function.name.encode()
        error = library.linker_define_func_unchecked(
            linker, names[0], len(names[0]), names[1], len(names[1]), kind, entry, None, None
        )
        library.functype_delete(kind)
        if error:
            raise Internal(f"{module}.{function.name} can't be defined: {library.take_error(error)}")
        kept.append(entry)
    return kept


def function_type(library: Library, params: str, results: str) -> int:
    """A ``wasm_functype_t`` of value types by their letters."""
    taken, given = _types(library, params), _types(library, results)
    kind: int = library.functype_new(ctypes.byref(taken), ctypes.byref(given))
    return kind


def _types(library: Library, letters: str) -> ctypes.Array[ctypes.c_char]:
    array = (ctypes.c_void_p * len(letters))(*(library.valtype_new(_KINDS[letter]) for letter in letters))
    vec = ctypes.create_string_buffer(16)
    pack_into("=QQ", vec, 0, 0, 0)
    library.valtype_vec_new(ctypes.byref(vec), len(letters), array)
    return vec
