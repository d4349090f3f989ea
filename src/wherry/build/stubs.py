"""Places that a runtime makes in a root to mount something on: they are no part of a RUN's layer. Blocks."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from wherry.build.tree import Entry, Tree, join
from wherry.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

USUAL: Final = ("/proc", "/dev", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""What every Linux container has something mounted on."""

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Stubs:
    """Normal paths, outer ones first: ``made`` are not there before the mounts are; ``above`` are folders that are, and
    that an overlay copies up when something is made in them."""

    made: tuple[str, ...]
    above: tuple[tuple[str, Entry], ...]


def stubs(tree: Tree, targets: Iterable[str]) -> Stubs:
    """What mounts at ``targets`` leave behind. InvalidArgument: a loop of links."""
    made: dict[str, None] = {}
    above: dict[str, Entry] = {}
    for target in targets:
        path, before = "", dict[str, Entry]()
        for part in tree.resolve(target).split("/"):
            path = join(path, part)
            entry = tree.get(path) if path else None
            if entry is not None:
                before[path] = entry
            elif path:
                made[path] = None
                above |= before
    return Stubs(tuple(made), tuple(above.items()))


def clear(layers: Sequence[str], stubs: Stubs) -> None:
    """Take away from the topmost of ``layers``, the host's folders of a root, what is still as the runtime made it.

    What ran in there may have put links in the way: none is followed.
    """
    top = os.open(layers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in reversed(stubs.made):
            _try(top, path, _remove_empty)
        # Without layers below, this is the folder itself, and not a copy of it.
        for path, entry in reversed(stubs.above if len(layers) > 1 else ()):
            _try(top, path, partial(_remove_copy, entry))
    finally:
        os.close(top)


def _try(top: int, path: str, remove: Callable[[int, str], None]) -> None:
    folder, _, name = path.rpartition("/")
    try:
        holder = openat2(folder or ".", _FOLDER, dir_fd=top, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    except OSError:
        return
    try:
        remove(holder, name)
    except OSError:
        # Not there, in use, or something else by now: then it is the RUN's own.
        return
    finally:
        os.close(holder)


def _remove_empty(holder: int, name: str) -> None:
    status = os.stat(name, dir_fd=holder, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        os.rmdir(name, dir_fd=holder)
    elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
        os.unlink(name, dir_fd=holder)


def _remove_copy(entry: Entry, holder: int, name: str) -> None:
    """A folder that is empty in this layer and the same as below."""
    place = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holder)
    try:
        status = os.fstat(place)
        same = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (entry.mode, entry.uid, entry.gid)
        marked = any(mark.endswith("overlay.opaque") for mark in os.listxattr(place))
    finally:
        os.close(place)
    if same and not marked:
        os.rmdir(name, dir_fd=holder)
