"""Landlock: what files, ports and processes the calling process may touch from now on.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os

from wherry.linux.clone import PR_SET_NO_NEW_PRIVS, prctl
from wherry.linux.syscalls import NUMBERS, bound, libc, syscall
from wherry.record import Record

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2

EXECUTE = 1 << 0
MAKE_CHAR = 1 << 6
MAKE_BLOCK = 1 << 11
# Every right of the ABI versions 1 to 5, by how many bits each version knows.
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
_FS_BITS_NOW = 16
_NET_BIND = 0b01
_NET_CONNECT = 0b10
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


_create_ruleset = bound(libc, "syscall", ctypes.c_long)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class TcpRules(Record):
    """``bind`` are the ports a TCP socket may be bound to, 0 for one that the kernel chooses; None is any."""

    bind: tuple[int, ...] | None
    connect: bool


class _NetPortAttr(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    if "landlock_create_ruleset" not in NUMBERS:
        return 0
    number = ctypes.c_long(NUMBERS["landlock_create_ruleset"])
    version: int = _create_ruleset(number, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(version, 0)


def confine(root: str, *, tcp: TcpRules) -> int:
    """Allow files below ``root`` only, nothing executed and no device made; of TCP what ``tcp`` says, if the kernel
    can (ABI 4); no signal or abstract socket outside. Returns the ABI version used, 0 when the kernel has none.

    Also sets no_new_privs, which Landlock asks for.
    """
    version = abi_version()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if not version:
        return 0
    handled = (1 << _FS_BITS.get(version, _FS_BITS_NOW)) - 1
    attr = _RulesetAttr(
        handled_access_fs=handled,
        handled_access_net=_handled(tcp) if version >= 4 else 0,
        scoped=_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    size = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(version, 24)
    ruleset = syscall("landlock_create_ruleset", ctypes.byref(attr), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        _allow_beneath(ruleset, root, handled & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK))
        for port in (tcp.bind or ()) if version >= 4 else ():
            _allow_bind(ruleset, port)
        syscall("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version


def _handled(tcp: TcpRules) -> int:
    return (0 if tcp.bind is None else _NET_BIND) | (0 if tcp.connect else _NET_CONNECT)


def _allow_bind(ruleset: int, port: int) -> None:
    rule = _NetPortAttr(_NET_BIND, port)
    kind = ctypes.c_int(_RULE_NET_PORT)
    syscall("landlock_add_rule", ctypes.c_int(ruleset), kind, ctypes.byref(rule), ctypes.c_uint32(0))


def _allow_beneath(ruleset: int, path: str, access: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneathAttr(access, folder)
        kind = ctypes.c_int(_RULE_PATH_BENEATH)
        syscall("landlock_add_rule", ctypes.c_int(ruleset), kind, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(folder)
