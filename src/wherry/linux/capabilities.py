"""Capabilities and keys of the calling process.

Sources: https://man7.org/linux/man-pages/man7/capabilities.7.html and session-keyring.7.html
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wherry.linux.assembly import Block, Call, perform
from wherry.linux.syscalls import bound, libc, syscall

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
NUMBERS = {"CAP_" + name: number for number, name in enumerate(NAMES)}

_HEADER = Struct("=Ii")  # version, pid
_SETS = Struct("=6I")  # effective, permitted, inheritable: low halves, then the high ones
_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1


_prctl = bound(libc, "prctl", ctypes.c_int, ctypes.c_int, *[ctypes.c_ulong] * 4)


def drop_bounding(kept: Iterable[str]) -> None:
    """Take every capability but ``kept`` (``CAP_*``) out of the bounding and ambient sets, for ever.

    Needs CAP_SETPCAP, so it comes before the change of ids; what can't be dropped without it, stays.
    """
    numbers = {NUMBERS[name] for name in kept if name in NUMBERS}
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        if _prctl(_PR_CAPBSET_READ, number, 0, 0, 0) < 0:
            break
        if number not in numbers:
            _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def bounding_calls(kept: Iterable[str]) -> tuple[Call, ...]:
    """The same as a list, for a process in a user namespace of its own, which comes with all that there are."""
    numbers = {NUMBERS[name] for name in kept if name in NUMBERS}
    last = next((number for number in range(64) if _prctl(_PR_CAPBSET_READ, number, 0, 0, 0) < 0), 64)
    dropped = [(_PR_CAPBSET_DROP, number, 0, 0, 0) for number in range(last) if number not in numbers]
    clear = (_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    return tuple(Call("shut the sandbox", "prctl", args) for args in (clear, *dropped))


def effective_call(names: Iterable[str]) -> Call:
    """What makes ``names`` the effective and permitted sets; the inheritable one becomes empty."""
    mask = sum(1 << NUMBERS[name] for name in names if name in NUMBERS)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    sets = Block(_SETS.pack(low, low, 0, high, high, 0))
    return Call("shut the sandbox", "capset", (Block(_HEADER.pack(_VERSION_3, 0)), sets))


def set_effective(names: Iterable[str]) -> None:
    """Do so to the calling process. OSError."""
    perform([effective_call(names)])


def leave_session_keyring() -> None:
    """Take a new, empty session keyring instead of the one inherited, where the kernel has keys and a quota for it."""
    try:
        syscall("keyctl", ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None)
    except OSError:
        return
