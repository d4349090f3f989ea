"""Detached mounts: a tree is copied from where it lies, changed, and attached elsewhere, by descriptor all the way.

So a source is named before the root changes and a target after it, and neither path can be led astray in between.
Source: https://man7.org/linux/man-pages/man2/mount_setattr.2.html, open_tree(2), move_mount(2)
"""

import ctypes
import os

from wherry.linux.syscalls import syscall

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
_MS_PRIVATE = 0x40000

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4


class _MountAttr(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


def open_tree(path: str, *, recursive: bool) -> int:
    """A detached copy of what is mounted at ``path`` (a folder or a file), as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    name = ctypes.c_char_p(os.fsencode(path))
    return syscall("open_tree", ctypes.c_int(_AT_FDCWD), name, ctypes.c_uint(flags), what=path)


def set_attributes(fd: int, attributes: int, *, recursive: bool) -> None:
    """Add MOUNT_ATTR_* to the mount that ``fd`` is the root of, and part it from its peers: what is mounted below those
    later would come without the attributes."""
    attr = _MountAttr(attr_set=attributes, propagation=_MS_PRIVATE)
    flags = ctypes.c_uint(_AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0))
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    syscall("mount_setattr", ctypes.c_int(fd), ctypes.c_char_p(b""), flags, ctypes.byref(attr), size)


def attach(fd: int, target: str) -> None:
    """Mount the tree ``fd`` on ``target``."""
    name = ctypes.c_char_p(os.fsencode(target))
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    syscall("move_mount", ctypes.c_int(fd), ctypes.c_char_p(b""), ctypes.c_int(_AT_FDCWD), name, flags, what=target)
