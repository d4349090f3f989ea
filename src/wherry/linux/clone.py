"""clone3(2) of a single-threaded Python process, and what goes with it.

Source: https://man7.org/linux/man-pages/man2/clone.2.html
"""

from __future__ import annotations

import ctypes
import os
import sys
from struct import Struct

from wherry.linux import signals
from wherry.linux.assembly import AT_FDCWD, Call, Given
from wherry.linux.syscalls import NUMBERS, bound, check, libc, libc_with_gil

CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38


_SIG_SETMASK = 2


# All of it is found here and not when it is needed: a child that looks up a C function makes pages its own by that.
_clone3 = bound(libc_with_gil, "syscall", ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t)
_CLONE3 = NUMBERS.get("clone3", -1)
CLONE_ARGS = Struct("=Q24xQ40xQ")
"""flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup: of these the
flags, the signal, and the cgroup's descriptor for CLONE_INTO_CGROUP."""


def clone(flags: int) -> int:
    """Fork into new namespaces: the child's number, 0 in the child. The caller must have one thread only. OSError."""
    exit_signal = 0 if flags & CLONE_PARENT else signals.SIGCHLD
    arguments = ctypes.create_string_buffer(CLONE_ARGS.pack(flags, exit_signal, 0))
    return clone_with(ctypes.addressof(arguments))


def clone_with(arguments: int) -> int:
    """The same with the structure at that address: see `CLONE_ARGS`.

    The interpreter's own work around a fork is left out: it makes the locks anew that other threads may have held, and
    calls what was registered with os.register_at_fork: there is neither here.
    """
    pid: int = _clone3(_CLONE3, arguments, CLONE_ARGS.size)
    return pid if pid >= 0 else check(pid)


_setns = bound(libc, "setns", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_prctl = bound(libc, "prctl", ctypes.c_int, ctypes.c_int, *[ctypes.c_ulong] * 4)
_sigprocmask = bound(libc, "sigprocmask", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def setns(fd: int, flags: int) -> None:
    """Join namespaces: ``fd`` is a pidfd (kernel 5.8) or a namespace's own, ``flags`` CLONE_NEW* bits. OSError."""
    check(_setns(fd, flags))


def prctl(option: int, argument: int = 0) -> None:
    """prctl(2) with one number."""
    if _prctl(option, argument, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def set_name(name: str) -> None:
    """What `ps -o comm` shows of the calling process: the first 15 bytes of ``name``."""
    if libc.prctl(ctypes.c_int(PR_SET_NAME), ctypes.c_char_p(name.encode())) < 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_NAME")


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close every descriptor from ``first`` to ``last``."""
    if libc.close_range(ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_int(0)) < 0:
        raise OSError(ctypes.get_errno(), "close_range")


def exit_on(*signals: int) -> None:
    """Make each signal end the process by libc's _exit, its number the status.

    The first process of a pid namespace ignores every signal that has no handler, and a Python handler would not run
    while foreign code does.
    """
    exit_function = ctypes.cast(libc._exit, ctypes.c_void_p)  # noqa: SLF001 (libc's function is named so)
    for number in signals:
        libc.signal(ctypes.c_int(number), exit_function)


def block_only(*numbers: int) -> None:
    """Block these signals and no others. The signal module's own way makes an enum member of each."""
    mask = sum(1 << (number - 1) for number in numbers)
    if _sigprocmask(_SIG_SETMASK, mask.to_bytes(128, sys.byteorder), None) < 0:
        raise OSError(ctypes.get_errno(), "sigprocmask")


def map_calls(doing: str, uid: int, gid: int) -> tuple[Call, ...]:
    """What gives a process, just put into a new user namespace, root's ids there for its own outside."""
    texts = (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"))
    return tuple(call for name, text in texts for call in write_calls(doing, f"/proc/self/{name}", text.encode()))


def write_calls(doing: str, path: str, data: bytes) -> tuple[Call, ...]:
    """What writes ``data`` into a file of the kernel's, in one piece as those want it."""
    file = Given(path)
    return (
        Call(doing, "openat", (AT_FDCWD, os.fsencode(path), os.O_WRONLY | os.O_CLOEXEC, 0), what=path, gives=path),
        Call(doing, "write", (file, data, len(data)), what=path),
        Call(doing, "close", (file,)),
    )
