"""The few system calls that Python's os module lacks: openat2, utimensat with UTIME_OMIT, ppoll. They raise OSError."""

import ctypes
import os
from struct import Struct

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
AT_EMPTY_PATH = 0x1000
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2

_OPENAT2 = 437  # the same on every architecture: syscalls from 424 on are numbered alike
_HOW = Struct("=QQQ")  # struct open_how: flags, mode, resolve
_TIMES = Struct("=qqqq")
_TIMESPEC = Struct("=qq")
_NANO = 1_000_000_000
_RACES = 16

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_utimensat = _libc.utimensat
_utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_ppoll = _libc.ppoll
_ppoll.argtypes = (ctypes.c_void_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_void_p)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def openat2(folder: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open ``path`` below ``folder``; no ``..``, symlink or magic link gets out of it (EXDEV).

    https://man7.org/linux/man-pages/man2/openat2.2.html
    """
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    for _ in range(_RACES):
        fd: int = _syscall(_OPENAT2, folder, path, how, 24)
        if fd >= 0:
            return fd
        error = _error()
        # A rename in the tree at the same moment: the kernel could not tell whether ".." stayed below.
        if not isinstance(error, BlockingIOError) or flags & os.O_NONBLOCK:
            break
    raise error


def utimensat(folder: int, path: bytes, times: tuple[int, int, int, int], flags: int) -> None:
    """Set times: ``times`` is two timespecs, access and modification; an empty ``path`` is ``folder`` itself."""
    if _utimensat(folder, path, _TIMES.pack(*times), flags | (0 if path else AT_EMPTY_PATH)) < 0:
        raise _error()


def ppoll(buffer: bytearray, timeout: int | None) -> int:
    """Wait on an array of ``struct pollfd`` for ``timeout`` nanoseconds, for ever if None; how many are ready."""
    count = len(buffer) // 8
    at = ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if count else None
    spec = None if timeout is None else _TIMESPEC.pack(timeout // _NANO, timeout % _NANO)
    ready: int = _ppoll(at, count, spec, None)
    if ready < 0:
        raise _error()
    return ready
