"""The holes in this process's heaps, filled: libc's, and the interpreter's own for small objects.

What a forked child allocates goes where something was freed before, to dozens of pages, each of which it shared until
then. With no holes left it goes to a few fresh ones, side by side.
"""

from __future__ import annotations

import ctypes

from wherry.linux.syscalls import bound, libc

_pythons = ctypes.pythonapi
_malloc = bound(libc, "malloc", ctypes.c_void_p, ctypes.c_size_t)
_free = bound(libc, "free", None, ctypes.c_void_p)
_object_malloc = bound(_pythons, "PyObject_Malloc", ctypes.c_void_p, ctypes.c_size_t)

_ALIGNED = 16
_SMALL_OBJECT = 512
"""Bytes of the largest that the interpreter has pools for: one of 16 KiB for each size, with a header."""
_POOL, _POOL_HEADER = 1 << 14, 48
_MOST_PER_SIZE = 4 * _POOL
_ROOM = 100_000
"""Bytes: less than what libc maps by itself."""
_LARGEST_HOLE = 8192


def fill_holes() -> None:
    """Take all free room between what is in use, for good. How much that is the process has already, and so do those
    who share it."""
    for size in range(_ALIGNED, _SMALL_OBJECT + 1, _ALIGNED):
        _fill_pools(size)
    room = _malloc(_ROOM) or 0
    for size in range(_LARGEST_HOLE - 8, 0, -_ALIGNED):
        while below := _malloc(size):
            if below > room:
                _free(below)
                break
    _free(room)


def _fill_pools(size: int) -> None:
    """Until a pool is begun: its first piece tells. An interpreter that has none is not asked for ever."""
    for _ in range(_MOST_PER_SIZE // size):
        if (_object_malloc(size) or 0) % _POOL == _POOL_HEADER:
            return
