"""Places that a runtime makes in a root to mount something on: they are no part of a RUN's layer. Blocks."""

import os
import stat
from collections.abc import Iterable, Sequence
from typing import Final

from wherry.build.tree import Tree, join
from wherry.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

USUAL: Final = ("/proc", "/dev", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""What every Linux container has something mounted on."""


def missing(tree: Tree, targets: Iterable[str]) -> list[str]:
    """The normal paths that are to be made for mounts at ``targets``; outer ones first. InvalidArgument: a loop."""
    found: dict[str, None] = {}
    for target in targets:
        path = ""
        for part in tree.resolve(target).split("/"):
            path = join(path, part)
            if path and tree.get(path) is None:
                found[path] = None
    return list(found)


def clear(root: str, stubs: Sequence[str]) -> None:
    """Take away those of ``stubs`` below the host's folder ``root`` that are still empty.

    What ran in there may have put links in the way: none is followed.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in reversed(stubs):
            try:
                _remove(top, path)
            except OSError:
                # Not there, in use, or something else by now: then it is the RUN's own.
                continue
    finally:
        os.close(top)


def _remove(top: int, path: str) -> None:
    folder, _, name = path.rpartition("/")
    holder = openat2(
        folder or ".", os.O_PATH | os.O_DIRECTORY, dir_fd=top, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    )
    try:
        status = os.stat(name, dir_fd=holder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=holder)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(name, dir_fd=holder)
    finally:
        os.close(holder)
