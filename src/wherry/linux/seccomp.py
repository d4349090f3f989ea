"""Installing a seccomp filter. Making one is bpf.py's.

Source: https://man7.org/linux/man-pages/man2/seccomp.2.html
"""

from struct import Struct

from wherry.linux import assembly
from wherry.linux.assembly import Block, Call

SET_MODE_FILTER = 1
_INSTRUCTION = 8
"""Bytes."""


_PROGRAM = Struct("=H6xQ")  # sock_fprog: how many, where


def call(program: bytes) -> Call:
    """What confines a process (one thread, no_new_privs set) to ``program`` for ever."""
    header = Block(_PROGRAM.pack(len(program) // _INSTRUCTION, 0), pointers=((8, program),))
    return Call("shut the sandbox", "seccomp", (SET_MODE_FILTER, 0, header))


def install(program: bytes) -> None:
    """Confine the calling process. OSError."""
    assembly.perform([call(program)])
