"""Installing a seccomp filter. Making one is bpf.py's.

Source: https://man7.org/linux/man-pages/man2/seccomp.2.html
"""

import ctypes

from wherry.linux.syscalls import syscall

SET_MODE_FILTER = 1
_INSTRUCTION = 8
"""Bytes."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(program: bytes) -> None:
    """Confine the calling process (one thread, no_new_privs set) to ``program`` for ever."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // _INSTRUCTION, ctypes.addressof(buffer))
    syscall("seccomp", ctypes.c_uint(SET_MODE_FILTER), ctypes.c_uint(0), ctypes.byref(header))
