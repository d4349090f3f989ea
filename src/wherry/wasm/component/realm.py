"""Where a canonical function finds what it lifts and puts what it lowers: an instance's memory, its allocator, its
resources. Every pointer of the guest's is checked here: a wrong one is a trap with words.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wherry.wasm.component.binding import Functions
from wherry.wasm.component.handles import Handle, Handles
from wherry.wasm.guest import trap_message
from wherry.wasm.wasi.errno import Trap
from wherry.wasm.wasi.memory import Memory

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.wasm.binding import Library

_RAW = 16
"""Bytes of a ``wasmtime_val_raw_t``."""
_REALLOC = Struct("<I12xI12xI12xI12x")
_ANSWER = Struct("<I")
_MOST_TEXT = (1 << 31) - 1
_MOST = (1 << 32) - 1
_WIDE = 1 << 31
"""Of a text's length in latin1+utf16: it is UTF-16."""
_FORMATS = {"i": "I12x", "I": "Q8x", "f": "f12x", "F": "d8x"}


def slots(letters: str) -> Struct:
    """The layout of raw values of these types, one after the other."""
    return Struct("<" + "".join(_FORMATS[letter] for letter in letters))


def cause(failure: str) -> str:
    """libwasmtime's account of a trap on one line, without the backtrace."""
    return trap_message(failure).partition("\n")[0].removeprefix("wasm trap: ")


class Instance:
    """A component instance. It may not be entered while it is being called, nor left while it allocates."""

    __slots__ = ("handles", "may_enter", "may_leave")

    def __init__(self) -> None:
        self.handles = Handles()
        self.may_enter = True
        self.may_leave = True

    def reset(self) -> None:
        """It belongs to another guest from now on."""
        self.handles.clear()
        self.may_enter = self.may_leave = True


class Caller:
    """Calls core functions, in the store of the guest that there is. ``space`` is a view of all memory, by address."""

    def __init__(self, library: Library, functions: Functions, space: memoryview) -> None:
        self.library = library
        self.space = space
        self.context = 0
        self._call = functions.func_call_unchecked
        self._trap = ctypes.c_void_p()
        self._trap_at = ctypes.byref(self._trap)

    def call(self, function: int, values: int, count: int) -> str:
        """Call ``function``, the address of one, with raw values at an address, where its results are after that. "",
        or how it failed."""
        error = self._call(self.context, function, values, count, self._trap_at)
        if error or self._trap.value:
            trap = ctypes.c_void_p(self._trap.value)
            self._trap.value = None
            return self.library.take_failure(error, trap)
        return ""


class Realm:
    """One set of canonical options. ``memory_item`` and ``realloc_item`` are the addresses of the guest's memory and
    function, 0 before they are known; ``noted`` is told how large a memory is whenever that is looked at. ``lent`` are
    the handles that a call between components has lent."""

    def __init__(self, caller: Caller, instance: Instance, encoding: str, noted: Callable[[int], None]) -> None:
        self.instance = instance
        self.handles = instance.handles
        self.memory = Memory(self._locate)
        self.memory_item = 0
        self.realloc_item = 0
        self.lent: list[Handle] = []
        self._caller = caller
        self._encoding = encoding
        self._noted = noted
        self._values = ctypes.create_string_buffer(4 * _RAW)
        self._at = ctypes.addressof(self._values)

    def forget(self) -> None:
        """The guest is gone."""
        self.memory_item = self.realloc_item = 0
        self.memory.view = memoryview(b"")
        self.lent = []

    def _locate(self) -> memoryview:
        if not self.memory_item:
            return memoryview(b"")
        library, context = self._caller.library, self._caller.context
        base: int = library.memory_data(context, self.memory_item) or 0
        size: int = library.memory_data_size(context, self.memory_item)
        self._noted(size)
        return self._caller.space[base : base + size]

    def check(self, pointer: int, size: int, alignment: int) -> None:
        """Trap: the guest has no such place."""
        if pointer % alignment:
            raise Trap(f"pointer {pointer:#x} is not aligned to {alignment}")
        if pointer + size > len(self.memory.view):
            self.memory.reach(pointer, size)

    def allocate(self, size: int, alignment: int) -> int:
        """A new place in the guest's memory, checked. Trap: it gives none, or a wrong one."""
        if size > _MOST:
            raise Trap(f"{size} bytes don't fit into its memory")
        if not self.realloc_item:
            raise Trap("it has no function to allocate memory yet")
        caller, instance = self._caller, self.instance
        _REALLOC.pack_into(caller.space, self._at, 0, 0, alignment, size)
        instance.may_leave = False
        failure = caller.call(self.realloc_item, self._at, 4)
        instance.may_leave = True
        if failure:
            raise Trap(f"its allocator failed: {cause(failure)}")
        pointer: int = _ANSWER.unpack_from(caller.space, self._at)[0]
        self.check(pointer, size, alignment)
        return pointer

    def bytes_at(self, pointer: int, size: int) -> bytes:
        """Trap: they are not all there."""
        return bytes(self.memory.slice(pointer, size))

    def put_bytes(self, data: bytes) -> int:
        """Where they are now."""
        pointer = self.allocate(len(data), 1)
        self.memory.view[pointer : pointer + len(data)] = data
        return pointer

    def text_at(self, pointer: int, units: int) -> str:
        """Trap: it lies outside, or is no text."""
        codec, alignment, size = "utf-8", 1, units
        if self._encoding == "utf16":
            codec, alignment, size = "utf-16-le", 2, 2 * units
        elif self._encoding != "utf8":
            wide = units >= _WIDE
            codec, alignment, size = ("utf-16-le", 2, 2 * (units - _WIDE)) if wide else ("latin-1", 2, units)
        if size > _MOST_TEXT:
            raise Trap(f"a text of {size} bytes is too long")
        self.check(pointer, size, alignment)
        try:
            return str(self.memory.slice(pointer, size), codec)
        except UnicodeDecodeError:
            raise Trap(f"the text at {pointer:#x} is not {codec.upper()}") from None

    def put_text(self, text: str) -> tuple[int, int]:
        """Where it is now, and its length in the encoding's units."""
        if self._encoding == "utf8":
            data = text.encode("utf-8", "replace")
            return self.put_bytes(data), len(data)
        wide = 0
        if self._encoding == "utf16":
            data = text.encode("utf-16-le", "replace")
        else:
            try:
                data = text.encode("latin-1")
            except UnicodeEncodeError:
                data, wide = text.encode("utf-16-le", "replace"), _WIDE
        pointer = self.allocate(len(data), 2)
        self.memory.view[pointer : pointer + len(data)] = data
        return pointer, wide + len(data) // 2 if wide or self._encoding == "utf16" else len(data)
