"""Looking a path up in stacked folders, as overlayfs would show it, without mounting anything."""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import InvalidArgument, NotFound

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_LINKS = 40
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


def resolve(layers: Sequence[str], path: str) -> str:
    """The host path of the file that ``path`` names in ``layers`` (topmost first). Symlinks stay inside.

    Raises NotFound; InvalidArgument for a loop of links. The path is right as long as the layers do not change.
    """
    pending = [part for part in reversed(path.split("/")) if part]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        found = _find(layers, [*done, part])
        if found is None:
            raise NotFound(f"stat {path}: no such file or directory")
        if os.path.islink(found):
            links += 1
            if links > _MOST_LINKS:
                raise InvalidArgument(f"stat {path}: too many levels of symbolic links")
            target = os.readlink(found)
            done = [] if target.startswith("/") else done
            pending += [piece for piece in reversed(target.split("/")) if piece]
        else:
            done.append(part)
    return _find(layers, done) or layers[0]


def resolve_first(places: Sequence[tuple[Sequence[str], str]], name: str) -> str:
    """The host path of the first of ``places`` (layers, path) that is a regular file. NotFound names
    ``name``, as runc does."""
    for layers, path in places:
        try:
            found = resolve(layers, path)
        except NotFound:
            continue
        if os.path.isfile(found):
            return found
        if os.path.isdir(found):
            raise InvalidArgument(f'exec: "{name}": is a directory')
    if "/" in name:
        raise NotFound(f'exec: "{name}": stat {name}: no such file or directory')
    raise NotFound(f'exec: "{name}": executable file not found in $PATH')


def _find(layers: Sequence[str], parts: Sequence[str]) -> str | None:
    """The topmost layer's entry for ``parts``, none of which is a symlink but perhaps the last."""
    for layer in layers:
        here = layer
        for index, part in enumerate(parts):
            here = f"{here}/{part}"
            try:
                status = os.lstat(here)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                    break
                raise
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                return None
            if index == len(parts) - 1:
                return here
            if not stat.S_ISDIR(status.st_mode):
                return None
            if _hides_lower(here) and not os.path.lexists("/".join([here, *parts[index + 1 :]])):
                return None
    return None


def _hides_lower(folder: str) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(folder, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False
