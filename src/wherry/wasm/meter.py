"""What is counted of a guest: words of 64 bits in one page, which its process shares with whoever made it.

The page lies at the same address in the zygote and all its children, so that the host's functions, made before any
guest is known, find their words there. Until a file is mapped over it, it is memory of this process alone.
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wherry.record import Record

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 4096
"""Bytes of the page."""
MEMORY, FUEL, BASE = range(3)
"""Words: the most linear memory there was, in bytes, as far as the host noticed; units of fuel used; where the linear
memory lies in the process."""
FUNCTIONS = 8
"""The first word of the functions' calls: one for each of imports.HOST, in its order, then of sock_list.SOCKETS."""
_WORDS = Struct(f"={SIZE // 8}Q")

READ_WRITE, SHARED_FIXED = 3, 0x11
"""How a process maps its file over the page, for mmap(2): from then on its maker sees what is counted."""
_MAP_PRIVATE, _MAP_ANONYMOUS = 0x02, 0x20
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)


class Meter:
    """The page, as an array of words."""

    def __init__(self, space: memoryview, address: int | None = None) -> None:
        """``space`` is a view of all of the process's memory, by address; ``address`` a page of it that is to be the
        meter's, else one is made."""
        if address is None:
            address = _map()
        self.words = space[address : address + SIZE].cast("Q")


def _map() -> int:
    found: int = _mmap(None, SIZE, READ_WRITE, _MAP_PRIVATE | _MAP_ANONYMOUS, -1, 0)
    if found == _FAILED:
        raise OSError(ctypes.get_errno(), "cannot map the page of counters")
    return found


class Counted(Record):
    """What a page tells: ``memory`` in bytes, ``fuel`` in units, ``base`` an address, or 0, ``calls`` by function, in
    the words' order."""

    memory: int
    fuel: int
    base: int
    calls: tuple[int, ...]


def read(page: bytes, functions: int) -> Counted:
    """The page of a process whose host has that many ``functions``. A page that is too short counts as empty."""
    words: Sequence[int] = _WORDS.unpack(page) if len(page) == SIZE else (0,) * (SIZE // 8)
    return Counted(words[MEMORY], words[FUEL], words[BASE], tuple(words[FUNCTIONS : FUNCTIONS + functions]))
