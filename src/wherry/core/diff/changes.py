"""What a snapshot has changed, as a layer's entries: told by overlayfs's marks, or by comparing with the parent.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#representing-changes
"""

import os
import stat
from collections.abc import Iterator, Mapping

from wherry.core.diff.entries import OPAQUE_WHITEOUT, WHITEOUT_PREFIX, Entry, Kind
from wherry.core.diff.target import is_opaque, is_whiteout
from wherry.core.snapshots.trees import opened, xattrs
from wherry.errors import FailedPrecondition

KINDS: Mapping[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}
_REDIRECTS = ("trusted.overlay.redirect", "user.overlay.redirect")
_CHUNK = 256 << 10


def of_marks(upper: bytes) -> Iterator[Entry]:
    """The entries of an overlayfs upper folder, each folder before what is in it, names sorted."""
    walker = _Walker(upper)
    yield from walker.root()
    pending = [b""]
    while pending:
        place = pending.pop()
        folders = []
        for name in sorted(os.listdir(os.path.join(upper, place))):
            path = os.path.join(place, name)
            status = os.lstat(os.path.join(upper, path))
            if is_whiteout(status):
                yield _whiteout(place, name)
                continue
            yield from walker.entry(path, status)
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
                _refuse_redirect(os.path.join(upper, path), path)
                if is_opaque(os.path.join(upper, path)):
                    yield _whiteout(path, OPAQUE_WHITEOUT.removeprefix(WHITEOUT_PREFIX))
        pending += reversed(folders)


def of_comparison(upper: bytes, base: bytes) -> Iterator[Entry]:
    """The entries by which folder ``upper`` differs from folder ``base``; in the same order."""
    walker = _Walker(upper)
    if _differs(upper, base, os.lstat(upper)):
        yield from walker.root()
    pending = [b""]
    while pending:
        place = pending.pop()
        here, there = os.path.join(upper, place), os.path.join(base, place)
        names, old = set(os.listdir(here)), set(_listed(there))
        folders = []
        for name in sorted(names | old):
            path = os.path.join(place, name)
            if name not in names:
                yield _whiteout(place, name)
                continue
            status = os.lstat(os.path.join(upper, path))
            if name not in old or _differs(os.path.join(upper, path), os.path.join(base, path), status):
                yield from walker.entry(path, status)
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
        pending += reversed(folders)


def data_of(path: bytes) -> Iterator[bytes]:
    """A file's bytes."""
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class _Walker:
    """Makes entries of files; the second name of an inode becomes a hard link to the first."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._links: dict[tuple[int, int], bytes] = {}

    def root(self) -> Iterator[Entry]:
        yield self._of(b"./", os.lstat(self._root), "directory", self._root)

    def entry(self, path: bytes, status: os.stat_result) -> Iterator[Entry]:
        """None for a socket: it means nothing without its process."""
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        if status.st_nlink > 1 and kind != "directory":
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                yield self._of(path, status, "hardlink", b"")._replace(link=first, xattrs={})
                return
        host = os.path.join(self._root, path)
        yield self._of(path + b"/" if kind == "directory" else path, status, kind, host)

    def _of(self, path: bytes, status: os.stat_result, kind: Kind, host: bytes) -> Entry:
        link = os.readlink(host) if kind == "symlink" else b""
        return described(path, status, kind, link, xattrs(host) if host else {})


def described(path: bytes, status: os.stat_result, kind: Kind, link: bytes, attributes: Mapping[str, bytes]) -> Entry:
    """A file's entry, by its status."""
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == "file" else 0,
        mtime_ns=status.st_mtime_ns,
        link=link,
        device=_device(status) if kind in ("character", "block") else (0, 0),
        xattrs=attributes,
    )


def _device(status: os.stat_result) -> tuple[int, int]:
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def _whiteout(place: bytes, name: bytes) -> Entry:
    return Entry(os.path.join(place, WHITEOUT_PREFIX + name), "file", 0)


def _refuse_redirect(host: bytes, path: bytes) -> None:
    names = os.listxattr(host, follow_symlinks=False)
    if any(name in names for name in _REDIRECTS):
        raise FailedPrecondition(
            f"folder {os.fsdecode(path)!r} was renamed by overlayfs's redirect_dir, which layers cannot say: "
            "turn it off (/sys/module/overlay/parameters/redirect_dir)"
        )


def _listed(path: bytes) -> list[bytes]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _differs(path: bytes, base: bytes, status: os.stat_result) -> bool:
    old = os.lstat(base)
    if _facts(status) != _facts(old) or xattrs(path) != xattrs(base):
        return True
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path) != os.readlink(base)
    # A copy keeps times; a time without a fraction was set by hand and proves nothing.
    return stat.S_ISREG(status.st_mode) and status.st_mtime_ns % 10**9 == 0 and not _same_data(path, base)


def _facts(status: os.stat_result) -> tuple[int, ...]:
    """A folder's time and size only say that something in it changed, which has an entry of its own."""
    facts = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev)
    return facts if stat.S_ISDIR(status.st_mode) else (*facts, status.st_mtime_ns, status.st_size)


def _same_data(path: bytes, other: bytes) -> bool:
    return all(one == two for one, two in zip(data_of(path), data_of(other), strict=False))
