"""Detached mounts, as calls: a tree is copied from where it lies, changed, and attached elsewhere, by descriptor.

So a source is named before the root changes and a target after it, and neither path can be led astray in between.
Source: https://man7.org/linux/man-pages/man2/mount_setattr.2.html, open_tree(2), move_mount(2)
"""

from __future__ import annotations

import os
from struct import Struct

from wherry.linux.assembly import AT_FDCWD, Block, Call, Given

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
_MS_PRIVATE = 0x40000

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4

_ATTRIBUTES = Struct("=QQQQ")  # attr_set, attr_clr, propagation, userns_fd


def open_tree(doing: str, path: str, *, recursive: bool, gives: str) -> Call:
    """A detached copy of what is mounted at ``path`` (a folder or a file), as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return Call(doing, "open_tree", (AT_FDCWD, os.fsencode(path), flags), what=path, gives=gives)


def set_attributes(doing: str, mount: Given | str, attributes: int, *, recursive: bool) -> Call:
    """Add MOUNT_ATTR_* to a mount, by its root's descriptor or path, and part it from its peers: what is mounted below
    those later would come without the attributes."""
    changed = Block(_ATTRIBUTES.pack(attributes, 0, _MS_PRIVATE, 0))
    flags = _AT_RECURSIVE if recursive else 0
    if isinstance(mount, str):
        return Call(
            doing, "mount_setattr", (AT_FDCWD, os.fsencode(mount), flags, changed, _ATTRIBUTES.size), what=mount
        )
    return Call(doing, "mount_setattr", (mount, b"", flags | _AT_EMPTY_PATH, changed, _ATTRIBUTES.size))


def attach(doing: str, tree: Given, target: str) -> Call:
    """Mount the tree on ``target``."""
    args = (tree, b"", AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    return Call(doing, "move_mount", args, what=target)
