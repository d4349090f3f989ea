"""The guest's linear memory as WASI functions see it: every access is checked against its exact size.

A pointer outside it ends the guest with a trap, as the specification asks; it never reaches the host's memory:
https://github.com/WebAssembly/WASI/blob/main/legacy/tools/witx-docs.md#pointers
"""

from __future__ import annotations

from wherry.wasm.wasi import errno
from wherry.wasm.wasi.abi import IOVEC, U32, U64

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

# writev(2) takes no more at once; WASI lets a call do less than was asked.
IOV_MAX = 1024
PATH_MAX = 4096

_NOTHING = memoryview(bytearray())
_pack_u32 = U32.pack_into
_pack_u64 = U64.pack_into
_unpack_iovec = IOVEC.unpack_from


class Memory:
    """``view`` is the memory as it was when last looked at; `locate` looks again, since the guest may have grown it.

    It never moves (its whole 4 GiB are reserved) nor shrinks: an old view is only ever too short.
    """

    __slots__ = ("_locate", "view")

    def __init__(self, locate: Callable[[], memoryview]) -> None:
        self.begin(locate)

    def begin(self, locate: Callable[[], memoryview]) -> None:
        """Be another guest's."""
        self._locate = locate
        self.view = _NOTHING

    def reach(self, pointer: int, size: int) -> memoryview:
        """Look at the memory again and return it; Trap if it still does not hold that range."""
        self.view = view = self._locate()
        if pointer + size > len(view):
            raise errno.Trap(f"pointer out of bounds: {size} bytes at {pointer:#x} of a memory of {len(view):#x}")
        return view

    def slice(self, pointer: int, size: int) -> memoryview:
        """That very range, to read from or write into."""
        part = self.view[pointer : pointer + size]
        if len(part) != size:
            part = self.reach(pointer, size)[pointer : pointer + size]
        return part

    def put_u32(self, pointer: int, value: int) -> None:
        if pointer + 4 > len(self.view):
            self.reach(pointer, 4)
        _pack_u32(self.view, pointer, value)

    def put_u64(self, pointer: int, value: int) -> None:
        if pointer + 8 > len(self.view):
            self.reach(pointer, 8)
        _pack_u64(self.view, pointer, value)

    def write(self, pointer: int, data: bytes) -> None:
        self.slice(pointer, len(data))[:] = data

    def iovecs(self, pointer: int, count: int) -> list[memoryview]:
        """The buffers that ``count`` iovecs name, without the empty ones, `IOV_MAX` of them at most."""
        if count == 1:
            if pointer + 8 > len(self.view):
                self.reach(pointer, 8)
            return [self.slice(*_unpack_iovec(self.view, pointer))]
        buffers: list[memoryview] = []
        for at, size in IOVEC.iter_unpack(self.slice(pointer, 8 * count)):
            if size:
                buffers.append(self.slice(at, size))
                if len(buffers) == IOV_MAX:
                    break
        return buffers

    def path(self, pointer: int, size: int) -> bytes:
        """A path, not always UTF-8. INVAL: there is a NUL in it; NAMETOOLONG; NOENT: it is empty."""
        if size >= PATH_MAX:
            self.slice(pointer, size)
            raise errno.WasiError(errno.NAMETOOLONG)
        text = bytes(self.slice(pointer, size))
        if b"\0" in text:
            raise errno.WasiError(errno.INVAL)
        if not text:
            raise errno.WasiError(errno.NOENT)
        return text
