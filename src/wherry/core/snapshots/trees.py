"""Whole folders: copying them with everything that makes up a file, removing them, measuring them.

Trees come from images and containers, so they may be deep, odd and unreadable; no link in them is ever followed.
"""

import errno
import fcntl
import io
import itertools
import os
import stat
from collections.abc import Iterator, Mapping

from wherry.core.content.files import write_all
from wherry.core.snapshots.snapshotter import Usage

_FICLONE = 0x40049409  # linux/fs.h
_CHUNK = 1 << 20
_REFUSED = frozenset({errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.EINVAL})


def copy_tree(source: str, target: str, *, own: bool) -> None:
    """Make ``target`` (which must not exist) a copy of folder ``source``: modes, times, xattrs, links, holes, devices.

    Owners are kept when ``own`` (it takes root). File data is shared where the filesystem can (reflink).
    """
    links: dict[tuple[int, int], str] = {}
    folders: list[tuple[str, str, os.stat_result]] = []
    pending = [(source, target)]
    while pending:
        here, there = pending.pop()
        status = os.lstat(here)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(there, 0o700)
            folders.append((here, there, status))
            pending += [(f"{here}/{name}", f"{there}/{name}") for name in listed(here)]
            continue
        first = links.setdefault((status.st_dev, status.st_ino), there) if status.st_nlink > 1 else there
        if first != there:
            os.link(first, there, follow_symlinks=False)
            continue
        _copy_node(here, there, status)
        copy_attributes(here, there, status, own=own)
    for here, there, status in reversed(folders):
        copy_attributes(here, there, status, own=own)


def _copy_node(source: str, target: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(status.st_mode):
        with opened(source) as reader, open(target, "xb", buffering=0) as writer:
            copy_data(reader.fileno(), writer.fileno(), status.st_size)
    elif not stat.S_ISSOCK(status.st_mode):
        os.mknod(target, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
    else:
        os.mknod(target, stat.S_IFSOCK | 0o600)


def opened(path: str | bytes) -> io.FileIO:
    """Open a file of ours to read, whatever its mode: images have files that not even their owner may read."""
    return io.FileIO(_open_own(path, os.O_RDONLY), "rb")


def listed(path: str | bytes) -> list[str]:
    """The names in a folder of ours, whatever its mode."""
    handle = _open_own(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.listdir(handle)
    finally:
        os.close(handle)


def _open_own(path: str | bytes, flags: int) -> int:
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        os.chmod(path, mode | 0o500)
        try:
            return os.open(path, flags)
        finally:
            os.chmod(path, mode)


def copy_data(source: int, target: int, size: int) -> None:
    """Copy an open file's ``size`` bytes: a reflink where the filesystem can, else its data without its holes."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        for start, end in _extents(source, size):
            os.lseek(source, start, os.SEEK_SET)
            os.lseek(target, start, os.SEEK_SET)
            while start < end:
                data = os.read(source, min(_CHUNK, end - start))
                if not data:
                    break
                start += len(data)
                write_all(target, data)
        os.ftruncate(target, size)


def _extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are no holes, as (start, end)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def copy_attributes(source: str, target: str, status: os.stat_result, *, own: bool) -> None:
    """Owner, xattrs, mode and times, in the order in which none undoes another."""
    if own:
        os.lchown(target, status.st_uid, status.st_gid)
    set_xattrs(target, xattrs(source))
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def copy_to_open(source: str | bytes, target: int, status: os.stat_result, *, own: bool) -> None:
    """Like `copy_attributes`, onto an open file or folder."""
    if own:
        os.fchown(target, status.st_uid, status.st_gid)
    set_xattrs(target, xattrs(source))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def set_xattrs(target: int | str | bytes, values: Mapping[str, bytes]) -> None:
    """Set what this user may set there, on an open file or on a path (whose last link is not followed)."""
    for name, value in values.items():
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise


def xattrs(path: str | bytes, *, follow: bool = False) -> dict[str, bytes]:
    """The xattrs of a file (of what it links to only with ``follow``), by name; overlayfs's own marks are no part of a
    file."""
    try:
        names = sorted(os.listxattr(path, follow_symlinks=follow))
        return {name: os.getxattr(path, name, follow_symlinks=follow) for name in names if ".overlay." not in name}
    except OSError:  # the filesystem has none
        return {}


def remove_tree(path: str) -> None:
    """Remove folder ``path`` and all in it; quietly if it is not there.

    However deep it is, it takes two descriptors: a folder that is not empty is moved up to the top and emptied there.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except PermissionError:
        os.chmod(path, 0o700)
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(top, 0o700)
        names = (f".moved.{number}" for number in itertools.count())
        pending = _empty(top, top, names)
        while pending:
            name = pending.pop()
            _make_accessible(name, top)
            handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
            try:
                pending += _empty(handle, top, names)
            finally:
                os.close(handle)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _empty(folder: int, top: int, names: Iterator[str]) -> list[str]:
    """Unlink all in ``folder``; its folders that are not empty go to ``top`` under the next of ``names``."""
    kept = []
    for name in os.listdir(folder):
        try:
            os.unlink(name, dir_fd=folder)
        except IsADirectoryError:
            try:
                os.rmdir(name, dir_fd=folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                    raise
                kept.append(_lift(name, folder, top, names))
    return kept


def _lift(name: str, folder: int, top: int, names: Iterator[str]) -> str:
    if folder == top:
        return name
    _make_accessible(name, folder)
    for lifted in names:
        try:
            os.rename(name, lifted, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody's own folder may have that name
                raise
        else:
            return lifted
    raise AssertionError("the names never end")


def _make_accessible(name: str, folder: int) -> None:
    """Moving or listing a folder takes its owner's permission bits; only folders of our own come here."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o700 != 0o700:
        os.chmod(name, 0o700, dir_fd=folder)


def usage(path: str) -> Usage:
    """Disk used by what lies in folder ``path``, hard links counted once. What vanishes meanwhile is not counted."""
    size = inodes = 0
    seen: set[tuple[int, int]] = set()
    pending = [path]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            size += status.st_blocks * 512
            inodes += 1
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)
    return Usage(size, inodes)
