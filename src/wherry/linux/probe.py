"""What the kernel lets this user do: which layers of the sandbox are there, and what stands in the way of the rest."""

import ctypes
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wherry.linux import cgroups, clone, landlock
from wherry.linux.syscalls import NUMBERS, bound, libc

_STACK: Final = 64 << 10
"""Bytes, for a child that calls one function."""
_clone = bound(libc, "clone", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the sandbox; ``reason`` says why it is missing, "" when it is there."""

    name: str
    reason: str = ""


def sandbox_layers() -> tuple[Layer, ...]:
    """Every layer by name, in the order in which a container is wrapped in them. Takes a few milliseconds."""
    tries: tuple[tuple[str, Callable[[], str]], ...] = (
        ("namespaces", _namespaces),
        ("cgroups", _cgroups),
        ("overlay", _overlay),
        ("landlock", _landlock),
        ("seccomp", _seccomp),
    )
    reasons = [(name, attempt()) for name, attempt in tries]
    return tuple(Layer(name, reason) for name, reason in reasons)


def _namespaces() -> str:
    if "clone3" not in NUMBERS:
        return f"wherry does not know the system calls of {os.uname().machine}"
    user = 0 if os.geteuid() == 0 else clone.CLONE_NEWUSER
    wanted = user | clone.CLONE_NEWNS | clone.CLONE_NEWPID | clone.CLONE_NEWIPC | clone.CLONE_NEWUTS
    error = can_clone(wanted | clone.CLONE_NEWNET)
    return f"new namespaces are refused: {error.strerror}" if error else ""


def _cgroups() -> str:
    found = cgroups.discover()
    if not found.unified and not found.v1:
        return "no cgroup filesystem is mounted"
    writable = [path for path in (found.unified, *found.v1.values()) if path and os.access(path, os.W_OK)]
    return "" if writable else "no cgroup is writable for this user: limits, pause of whole containers are not kept"


def _overlay() -> str:
    with open("/proc/filesystems") as file:
        return "" if any(line.split()[-1:] == ["overlay"] for line in file) else "the kernel has no overlay filesystem"


def _landlock() -> str:
    version = landlock.abi_version()
    return "" if version else "the kernel has no Landlock, or it is not enabled (lsm=landlock,...)"


def _seccomp() -> str:
    try:
        with open("/proc/self/status") as file:
            return "" if "Seccomp:" in file.read() else "the kernel has no seccomp filters"
    except OSError as error:
        return f"/proc is not readable: {error.strerror}"


def can_clone(flags: int) -> OSError | None:
    """Try to clone a child with ``flags`` that ends at once; the error, if the kernel refused.

    The child is libc's _exit and nothing else. Were it Python's for one instruction, the interpreter might hand its
    lock to a thread that the child does not have, and wait until that one takes it; `docker info` hung with it.
    """
    stack = ctypes.create_string_buffer(_STACK)
    top = (ctypes.addressof(stack) + _STACK) & ~0xF
    leave = ctypes.cast(libc._exit, ctypes.c_void_p)  # noqa: SLF001 - libc's name
    pid = _clone(leave, top, flags | signal.SIGCHLD, None)
    if pid < 0:
        number = ctypes.get_errno()
        return OSError(number, os.strerror(number))
    os.waitpid(pid, 0)
    return None
