"""Landlock: what files, ports and processes the calling process may touch from now on.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
from struct import Struct

from wherry.linux import assembly
from wherry.linux.assembly import AT_FDCWD, Block, Call, Given
from wherry.linux.clone import PR_SET_NO_NEW_PRIVS
from wherry.linux.syscalls import NUMBERS, bound, libc
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


_RULESET = Struct("=QQQ")  # handled_access_fs, handled_access_net, scoped
_PATH = Struct("=Qi")  # allowed_access, parent_fd
_PORT = Struct("=QQ")  # allowed_access, port

_create_ruleset = bound(libc, "syscall", ctypes.c_long)


class TcpRules(Record):
    """``bind`` are the ports a TCP socket may be bound to, 0 for one that the kernel chooses; None is any."""

    bind: tuple[int, ...] | None
    connect: bool


def abi_version() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    if "landlock_create_ruleset" not in NUMBERS:
        return 0
    number = ctypes.c_long(NUMBERS["landlock_create_ruleset"])
    version: int = _create_ruleset(number, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(version, 0)


def calls(root: str, tcp: TcpRules, version: int) -> tuple[Call, ...]:
    """What allows files below ``root`` only, nothing executed and no device made; of TCP what ``tcp`` says, if the
    kernel can (ABI 4); no signal or abstract socket outside. ``version`` is the kernel's ABI; without one, 0, what
    remains is no_new_privs, which Landlock asks for.
    """
    privileges = _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not version:
        return (privileges,)
    handled = (1 << _FS_BITS.get(version, _FS_BITS_NOW)) - 1
    network = _handled(tcp) if version >= 4 else 0
    scoped = _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
    size = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(version, _RULESET.size)
    ports = (tcp.bind or ()) if version >= 4 else ()
    allowed = handled & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK)
    rules = Given("ruleset")
    return (
        privileges,
        _call("landlock_create_ruleset", Block(_RULESET.pack(handled, network, scoped)), size, 0, gives="ruleset"),
        _call("openat", AT_FDCWD, os.fsencode(root), os.O_PATH | os.O_CLOEXEC, 0, gives="folder", what=root),
        _call("landlock_add_rule", rules, _RULE_PATH_BENEATH, Block(_PATH.pack(allowed, 0), given=((8, "folder"),)), 0),
        _call("close", Given("folder")),
        *(_call("landlock_add_rule", rules, _RULE_NET_PORT, Block(_PORT.pack(_NET_BIND, port)), 0) for port in ports),
        _call("landlock_restrict_self", rules, 0),
        _call("close", rules),
    )


def _call(name: str, *args: int | bytes | Block | Given, gives: str = "", what: str = "") -> Call:
    return Call("shut the sandbox", name, args, what=what, gives=gives)


def confine(root: str, *, tcp: TcpRules) -> int:
    """Do so to the calling process, which has one thread. Returns the ABI version used, 0 when the kernel has none."""
    version = abi_version()
    assembly.perform(calls(root, tcp, version))
    return version


def _handled(tcp: TcpRules) -> int:
    return (0 if tcp.bind is None else _NET_BIND) | (0 if tcp.connect else _NET_CONNECT)
