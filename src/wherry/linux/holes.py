"""Giving room in the middle of a file back to its file system."""

import ctypes
from typing import Final

from wherry.linux.syscalls import bound, check, libc

_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_fallocate = bound(libc, "fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(fd: int, start: int, end: int) -> None:
    """Give the room of the bytes from ``start`` to ``end`` back; they read as zeros. OSError: no such thing here.

    Source: fallocate(2), FALLOC_FL_PUNCH_HOLE.
    """
    check(_fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, end - start))
