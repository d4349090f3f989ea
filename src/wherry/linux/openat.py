"""openat2(2): opening a path that must not leave a folder. Source: https://man7.org/linux/man-pages/man2/openat2.2.html"""

import ctypes
import os

from wherry.linux.syscalls import syscall

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(path: str | bytes, flags: int, mode: int = 0, *, dir_fd: int, resolve: int) -> int:
    """Open ``path`` below ``dir_fd`` as ``resolve`` allows; returns a close-on-exec descriptor.

    Raises OSError: EXDEV when the path leaves the folder under RESOLVE_BENEATH, ELOOP for a forbidden symlink.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return syscall(
        "openat2",
        ctypes.c_int(dir_fd),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
        what=os.fsdecode(path),
    )
