"""`docker diff`: what a container changed in its rootfs. Blocks."""

import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from wherry.core.diff.changes import of_comparison, of_marks
from wherry.core.diff.entries import OPAQUE_WHITEOUT, WHITEOUT_PREFIX
from wherry.core.diff.view import View
from wherry.core.faults import translating
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.engine.networks.files import FILES

_CHANGED: Final = 0
_ADDED: Final = 1
_DELETED: Final = 2
_FOLDERS: Final = ("/dev", "/proc", "/sys")
MARK: Final = ".dockerenv"
"""An empty file that every Linux container has; it is no change, and no part of what is made of the container."""


def changes(snapshots: Snapshotter, key: str) -> list[dict[str, Any]]:
    """``{"Path", "Kind"}`` by path. NotFound: there is no such snapshot."""
    upper, *lowers = snapshots.layers(key)
    parent = snapshots.stat(key).parent
    if not lowers and parent:  # the driver keeps whole trees
        lowers = [snapshots.layers(parent)[0]]
        entries = of_comparison(os.fsencode(upper), os.fsencode(lowers[0]))
    else:
        entries = of_marks(os.fsencode(upper))
    with translating("tell what the container changed"), View(lowers) as below:
        found = dict(_told(below, (entry.path for entry in entries)))
    _forget_places(found, upper)
    return [{"Path": path, "Kind": found[path]} for path in sorted(found)]


def _forget_places(found: dict[str, int], upper: str) -> None:
    """The runtime makes an empty file or folder where it mounts something; docker shows none of these either.

    That the mode of such an ``/etc`` itself was changed is not told then.
    """
    for place in _FOLDERS:
        if found.get(place) == _ADDED and not any(path.startswith(f"{place}/") for path in found):
            del found[place]
    if found.get(f"/{MARK}") == _ADDED:
        del found[f"/{MARK}"]
    try:
        etc = os.open(f"{upper}/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in FILES:
            if found.get(f"/etc/{name}") == _ADDED and _is_empty(name, etc):
                del found[f"/etc/{name}"]
        if set(os.listdir(etc)) <= set(FILES) and not any(path.startswith("/etc/") for path in found):
            found.pop("/etc", None)
    finally:
        os.close(etc)


def _is_empty(name: str, folder: int) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _told(below: View, paths: Iterator[bytes]) -> Iterator[tuple[str, int]]:
    for path in paths:
        *folder, name = [part for part in path.split(b"/") if part not in (b"", b".")] or [b""]
        if not name or name == OPAQUE_WHITEOUT:
            continue
        if name.startswith(WHITEOUT_PREFIX):
            yield _shown((*folder, name.removeprefix(WHITEOUT_PREFIX))), _DELETED
        else:
            yield _shown((*folder, name)), _CHANGED if below.has((*folder, name)) else _ADDED


def _shown(place: tuple[bytes, ...]) -> str:
    return "/" + b"/".join(place).decode("utf-8", "replace")
