"""The folder that a layer is applied to, seen together with the layers below it. No path here ever leaves the root.

Everything is opened relative to a descriptor, one component at a time, without following links; a link on the way is
followed by hand, within the root. What must be made on the way is made as the layers below have it.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.core.diff.entries import PATH_LIMIT
from wherry.core.snapshots.trees import copy_data, copy_to_open, opened
from wherry.errors import InvalidArgument, NotFound

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
_MARKS = ("trusted.overlay.opaque", "user.overlay.opaque")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a layer goes. ``lowers`` are the layers below, topmost first, when they are kept apart (overlayfs): then
    removals become overlayfs's marks, with ``opaque`` the xattr of a folder that hides those below it. Otherwise
    ``path`` has everything already, and removals are real. ``own``: keep owners and devices, which takes root.
    ``mounts`` are host folders by the place (path without links) where they cover what is in ``path``."""

    path: str
    lowers: tuple[str, ...] = ()
    opaque: str = "trusted.overlay.opaque"
    own: bool = True
    mounts: Mapping[tuple[bytes, ...], str] = field(default_factory=dict)


@dataclass(slots=True)
class Folder:
    """An open folder of the target. ``place`` is its path without links; ``lowers`` its host paths in lower layers."""

    handle: int
    place: tuple[bytes, ...]
    lowers: tuple[bytes, ...]
    born: dict[tuple[int, int, int], bool] = field(default_factory=dict)
    """Of which (mode, uid, gid) it is known whether a file made here with that mode has them all from the start."""

    def close(self) -> None:
        os.close(self.handle)

    def status(self, name: bytes) -> os.stat_result | None:
        """The target's own entry ``name``; None if it has none, whatever lies below."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None


def is_whiteout(status: os.stat_result) -> bool:
    """Whether it is overlayfs's mark for a removed name."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(handle_or_path: int | bytes) -> bool:
    """Whether overlayfs hides what lies below this folder."""
    for name in _MARKS:
        try:
            if os.getxattr(handle_or_path, name) == b"y":
                return True
        except OSError:
            continue
    return False


def below(lowers: tuple[bytes, ...], name: bytes) -> tuple[tuple[bytes, ...], os.stat_result | None]:
    """What the lower layers show as ``name``: its paths (several only for a folder) and the status of the topmost."""
    found: list[bytes] = []
    first: os.stat_result | None = None
    for lower in lowers:
        path = lower + b"/" + name
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status) or (first is not None and not stat.S_ISDIR(status.st_mode)):
            break
        found.append(path)
        first = first or status
        if not stat.S_ISDIR(status.st_mode) or is_opaque(path):
            break
    return tuple(found), first


class Root:
    """The open target; `parent` and `folder` lead to places in it. Close it, or use it as a context manager."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._lowers = tuple(os.fsencode(path) for path in target.lowers)
        self._handle = os.open(target.path, _FOLDER)
        self._cached: tuple[tuple[bytes, ...], Folder] | None = None
        self.new_links: set[tuple[bytes, ...]] = set()
        """Symlinks that this layer made, by place."""
        self.closed: dict[tuple[bytes, ...], int] = {}
        """Modes, by place, of folders that were opened up to write in them."""
        self._make_writable(self._handle, ())

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        os.close(self._handle)

    def forget(self) -> None:
        """Something was removed or replaced: paths may lead elsewhere now."""
        if self._cached is not None:
            self._cached[1].close()
            self._cached = None

    def folder(self, parts: tuple[bytes, ...], *, create: bool = True) -> Folder:
        """The folder at ``parts``, made if need be. It stays open until the next call; do not close it.

        InvalidArgument: the path leaves the root, or meets what is no folder. NotFound: it is absent, and not made.
        """
        if self._cached is not None and self._cached[0] == parts:
            return self._cached[1]
        found = self._walk(parts, create=create)
        self.forget()
        self._cached = (parts, found)
        return found

    def exact(self, place: tuple[bytes, ...]) -> Folder:
        """The folder at ``place``, reached through no link; close it. InvalidArgument, NotFound: it is not there."""
        return self._walk(place, create=False, most_links=0)

    def _walk(self, parts: tuple[bytes, ...], *, create: bool, most_links: int = _MOST_LINKS) -> Folder:
        here = self._top()
        pending = list(reversed(parts))
        links = 0
        try:
            while pending:
                name = pending.pop()
                step = self._up(here) if name == b".." else self._step(here, name, create)
                if isinstance(step, Folder):
                    here.close()
                    here = step
                    continue
                links += 1
                if links > most_links:
                    raise InvalidArgument("it meets too many symbolic links")
                if step.startswith(b"/"):
                    top = self._top()
                    here.close()
                    here = top
                pending += [part for part in reversed(step.split(b"/")) if part not in (b"", b".")]
        except BaseException:  # the descriptor must not outlive this call
            here.close()
            raise
        return here

    def _top(self) -> Folder:
        return Folder(os.open(".", _FOLDER, dir_fd=self._handle), (), self._lowers)

    def _up(self, here: Folder) -> Folder:
        """A link's ``..``: walked anew from the top, for the kernel's own ``..`` knows no layers."""
        if not here.place:
            raise InvalidArgument("it leaves the root through a symbolic link")
        return self._walk(here.place[:-1], create=False)

    def _step(self, here: Folder, name: bytes, create: bool) -> Folder | bytes:
        """One component down: the folder, or the target of the link found there."""
        place = (*here.place, name)
        if sum(map(len, place)) + len(place) > PATH_LIMIT - 1024:  # room for the host's path to the root
            raise InvalidArgument("its path is too long")
        mounted = self.target.mounts.get(place)
        if mounted is not None:
            handle = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._make_writable(handle, place)
            return Folder(handle, place, ())
        status = here.status(name)
        if status is None:
            return self._step_below(here, name, place, create)
        if stat.S_ISDIR(status.st_mode):
            handle = self._open(here, name, place)
            lowers = below(here.lowers, name)[0] if here.lowers and not is_opaque(handle) else ()
            return Folder(handle, place, _folders(lowers))
        if stat.S_ISLNK(status.st_mode):
            return self._link(os.readlink(name, dir_fd=here.handle), place)
        if is_whiteout(status) and here.lowers:
            if not create:
                raise NotFound("no such file or directory")
            return self._make_opaque(here, name, place)
        raise InvalidArgument(f"{_shown(place)} is not a folder")

    def _open(self, here: Folder, name: bytes, place: tuple[bytes, ...]) -> int:
        handle = os.open(name, _FOLDER, dir_fd=here.handle)
        self._make_writable(handle, place)
        return handle

    def _make_writable(self, handle: int, place: tuple[bytes, ...]) -> None:
        """Without privilege a folder's own mode (0555, say) keeps even its owner out: `closed` remembers it. The
        descriptor does not outlive a failure."""
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if self.target.own or mode & 0o300 == 0o300:
            return
        try:
            os.fchmod(handle, mode | 0o700)
        except OSError:  # somebody else's
            os.close(handle)
            raise
        self.closed.setdefault(place, mode)

    def _link(self, target: bytes, place: tuple[bytes, ...]) -> bytes:
        """Images have paths through links of lower layers (lib -> /usr/lib). A layer that goes through a link which it
        planted itself is believed as long as the link is relative: an absolute one is a trick, or a mistake."""
        if target.startswith(b"/") and place in self.new_links:
            raise InvalidArgument(f"it leaves the root through the symbolic link {_shown(place)}")
        return target

    def _step_below(self, here: Folder, name: bytes, place: tuple[bytes, ...], create: bool) -> Folder | bytes:
        lowers, status = below(here.lowers, name)
        if status is not None and stat.S_ISLNK(status.st_mode):
            return os.readlink(lowers[0])
        if status is not None and not stat.S_ISDIR(status.st_mode):
            raise InvalidArgument(f"{_shown(place)} is not a folder")
        if status is None and not create:
            raise NotFound("no such file or directory")
        os.mkdir(name, 0o755, dir_fd=here.handle)
        handle = os.open(name, _FOLDER, dir_fd=here.handle)
        if status is not None:  # overlayfs shows the topmost layer's attributes
            copy_to_open(lowers[0], handle, status, own=self.target.own)
        else:
            os.fchmod(handle, 0o755)
        self._make_writable(handle, place)
        return Folder(handle, place, lowers)

    def _make_opaque(self, here: Folder, name: bytes, place: tuple[bytes, ...]) -> Folder:
        os.unlink(name, dir_fd=here.handle)
        os.mkdir(name, 0o755, dir_fd=here.handle)
        handle = os.open(name, _FOLDER, dir_fd=here.handle)
        self.mark_opaque(handle)
        return Folder(handle, place, ())

    def mark_opaque(self, handle: int) -> None:
        """Hide what lies below an open folder."""
        os.setxattr(handle, self.target.opaque, b"y")

    def whiteout(self, here: Folder, name: bytes) -> None:
        """Hide what the lower layers show as ``name``, if they show anything."""
        if below(here.lowers, name)[1] is not None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=here.handle)

    def copy_up(self, here: Folder, name: bytes) -> os.stat_result | None:
        """Bring a file of a lower layer into the target, so that it can be linked to; None if none shows one."""
        lowers, status = below(here.lowers, name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        with opened(lowers[0]) as source:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(name, flags, 0o600, dir_fd=here.handle)
            try:
                copy_data(source.fileno(), handle, status.st_size)
                copy_to_open(lowers[0], handle, status, own=self.target.own)
            finally:
                os.close(handle)
        return status


def _folders(paths: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A folder merges with folders only."""
    return paths if paths and stat.S_ISDIR(os.lstat(paths[0]).st_mode) else ()


def _shown(place: tuple[bytes, ...]) -> str:
    return repr(b"/".join(place)[:200])[1:]
