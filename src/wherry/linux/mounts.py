"""mount(2) and its kin, and the one translation of a `Mount` value into such calls. No namespaces are made here."""

from __future__ import annotations

import ctypes
import os

from wherry.linux import trees
from wherry.linux.assembly import AT_FDCWD, Call, Given, perform
from wherry.linux.syscalls import bound, check, libc

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.oci.mount import Mount

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MS_RELATIME = 0x200000
MNT_DETACH = 0x2
_PAGE = 4096

_FLAGS = {
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "relatime": MS_RELATIME,
}
_ATTRIBUTES = {
    MS_RDONLY: trees.MOUNT_ATTR_RDONLY,
    MS_NOSUID: trees.MOUNT_ATTR_NOSUID,
    MS_NODEV: trees.MOUNT_ATTR_NODEV,
    MS_NOEXEC: trees.MOUNT_ATTR_NOEXEC,
}
# Words of mount(8) and of OCI specs that ask for what is so anyway, or for propagation, which is private here always.
_NO_EFFECT = frozenset(
    "rw suid dev exec atime async defaults private rprivate shared rshared slave rslave unbindable runbindable "
    "norelatime strictatime nostrictatime rro".split()
)


_TEXT = ctypes.c_char_p
_mount = bound(libc, "mount", ctypes.c_int, _TEXT, _TEXT, _TEXT, ctypes.c_ulong, _TEXT)
_umount = bound(libc, "umount2", ctypes.c_int, _TEXT, ctypes.c_int)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); ``flags`` are MS_* bits. Source: https://man7.org/linux/man-pages/man2/mount.2.html"""
    words = os.fsencode(source), os.fsencode(target), os.fsencode(fstype) or None
    check(_mount(*words, flags, os.fsencode(data) or None), target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2); MNT_DETACH lets go of it even when it is busy."""
    check(_umount(os.fsencode(target), flags), target)


def parse_options(options: Iterable[str]) -> tuple[int, str]:
    """mount(8)'s words as (MS_* flags, the rest joined for the filesystem)."""
    flags, data = 0, []
    for option in options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option not in _NO_EFFECT:
            data.append(option)
    return flags, ",".join(data)


def apply(mounted: Mount, target: str) -> None:
    """Do one `Mount` on ``target``. OSError."""
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        perform(calls("mount", mounted.type, mounted.source, mounted.options, target))
    finally:
        os.fchdir(here)
        os.close(here)


def call(doing: str, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> Call:
    """mount(2)."""
    words = os.fsencode(source), os.fsencode(target), os.fsencode(fstype) or None
    return Call(doing, "mount", (*words, flags, os.fsencode(data) or None), what=target)


def calls(doing: str, kind: str, source: str, options: Iterable[str], target: str) -> tuple[Call, ...]:
    """A mount by mount(8)'s words. A read-only bind takes two calls, for the first ignores the flag."""
    flags, data = parse_options(options)
    fstype = "" if flags & MS_BIND or kind == "bind" else kind
    if not fstype:
        flags |= MS_BIND
    if kind == "overlay" and len(data) >= _PAGE:
        return _from_common_folder(doing, source, target, flags, data)
    mounted = call(doing, source, target, fstype, flags, data)
    # Added to those that it has from where it lies; a user namespace may not take any of those away.
    extra = sum(attribute for flag, attribute in _ATTRIBUTES.items() if flags & flag) if flags & MS_BIND else 0
    return (mounted, trees.set_attributes(doing, target, extra, recursive=False)) if extra else (mounted,)


def _from_common_folder(doing: str, source: str, target: str, flags: int, data: str) -> tuple[Call, ...]:
    """mount(2) takes a page of options: with many layers, name them from the folder they have in common. The working
    directory is another one when it fails."""
    words = [word.partition("=") for word in data.split(",")]
    lower = next((value for name, _, value in words if name == "lowerdir"), "").split(":")
    common = os.path.commonpath(lower)
    short = ":".join(os.path.relpath(folder, common) for folder in lower)
    rest = [f"{name}{equals}{short if name == 'lowerdir' else value}" for name, equals, value in words]
    here = f"the folder before {target}"
    return (
        Call(doing, "openat", (AT_FDCWD, b".", os.O_PATH | os.O_CLOEXEC, 0), gives=here),
        Call(doing, "chdir", (os.fsencode(common),), what=common),
        call(doing, source, target, "overlay", flags, ",".join(rest)),
        Call(doing, "fchdir", (Given(here),)),
        Call(doing, "close", (Given(here),)),
    )
