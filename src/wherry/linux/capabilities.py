"""Capabilities and keys of the calling process.

Sources: https://man7.org/linux/man-pages/man7/capabilities.7.html and session-keyring.7.html
"""

from __future__ import annotations

import ctypes

from wherry.linux.syscalls import libc, syscall

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

_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_bounding(kept: Iterable[str]) -> None:
    """Take every capability but ``kept`` (``CAP_*``) out of the bounding and ambient sets, for ever.

    Needs CAP_SETPCAP, so it comes before the change of ids.
    """
    numbers = {NUMBERS[name] for name in kept if name in NUMBERS}
    zero = ctypes.c_ulong(0)
    libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), zero, zero, zero)
    for number in range(64):
        if libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(number), zero, zero, zero) < 0:
            break
        if number not in numbers:
            libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), zero, zero, zero)


def set_effective(names: Iterable[str]) -> None:
    """Make ``names`` the effective and permitted sets; the inheritable one becomes empty."""
    mask = sum(1 << NUMBERS[name] for name in names if name in NUMBERS)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    syscall("capset", ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(data))


def leave_session_keyring() -> None:
    """Take a new, empty session keyring instead of the one inherited, where the kernel has keys and a quota for it."""
    try:
        syscall("keyctl", ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None)
    except OSError:
        return
