"""The host's side of `cp`: local files as an archive, an archive as local files. No API here.

What comes out of a container may be hostile: its entries are unpacked one component at a time, through no link.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from wherry.errors import InvalidArgument, NotFound

_PIECE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def archive_of(path: str, name: str) -> Iterator[bytes]:
    """A tar of ``path`` and all in it, called ``name`` in there; owners are kept as numbers."""
    links: dict[tuple[int, int], str] = {}
    pending = [(path, name)]
    while pending:
        here, shown = pending.pop()
        status = os.lstat(here)
        entry = _entry(here, shown, status, links)
        if entry is None:
            continue
        yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if entry.isreg():
            yield from _data(here, entry.size)
        elif entry.isdir():
            below = sorted(os.listdir(here), reverse=True)
            pending += [(os.path.join(here, child), os.path.join(shown, child)) for child in below]
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(path: str, name: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    entry.uid, entry.gid = status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        return entry
    first = links.setdefault((status.st_dev, status.st_ino), name)
    if first != name and status.st_nlink > 1:
        entry.type, entry.linkname = tarfile.LNKTYPE, first
    elif stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISFIFO(status.st_mode):
        entry.type = tarfile.FIFOTYPE
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
    else:
        return None  # sockets and devices are not files to be copied
    return entry


def _data(path: str, size: int) -> Iterator[bytes]:
    left = size
    with open(path, "rb") as file:
        while left and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
    if left:
        raise InvalidArgument(f"{path} became shorter while it was read")
    yield bytes(-size % tarfile.BLOCKSIZE)


class Unpacker:
    """Puts an archive into folder ``folder``; its first component becomes ``name``, or is left out when that is "".
    ``owners``: keep them (it takes root)."""

    def __init__(self, folder: str, name: str, *, owners: bool = False) -> None:
        self._folder = folder
        self._name = name
        self._owners = owners
        self._left: list[tuple[list[str], tarfile.TarInfo]] = []
        self.size = 0

    def take(self, pieces: Iterable[bytes]) -> None:
        """InvalidArgument: it is no archive, or an entry that leaves the folder."""
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Reader(pieces)), mode="r|") as archive:
                for entry in archive:
                    self._take(archive, entry)
        except tarfile.TarError as error:
            raise InvalidArgument(f"what the container sent is no archive: {error}") from None
        for parts, entry in reversed(self._left):
            self._attributes(parts, entry)

    def _take(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        parts = self._parts(entry.name)
        if not parts:
            self._left.append((parts, entry))
            return
        parent = self._open(parts[:-1])
        try:
            self._make(archive, entry, parent, parts)
        finally:
            os.close(parent)

    def _parts(self, path: str) -> list[str]:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise InvalidArgument(f"what the container sent leaves the folder: {path[:200]!r}")
        if path.startswith(("/", "./")) or path == ".":  # it has no name of its own
            return ([self._name] if self._name else []) + parts
        return ([self._name] if self._name else []) + parts[1:]

    def _open(self, parts: list[str]) -> int:
        """The folder at ``parts``, made if need be."""
        here = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            try:
                below = os.open(part, _FOLDER, dir_fd=here)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=here)
                below = os.open(part, _FOLDER, dir_fd=here)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise InvalidArgument(f"{part!r} is no folder: nothing can be copied through it") from None
            finally:
                os.close(here)
            here = below
        return here

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, parts: list[str]) -> None:
        name = parts[-1]
        if entry.isdir():
            self._make_folder(parent, name)
            self._left.append((parts, entry))
            return
        self._make_room(parent, name)
        if entry.isreg():
            self._make_file(archive, entry, parent, name)
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
        elif entry.islnk():
            target = self._parts(entry.linkname)
            source = self._open(target[:-1])
            try:
                os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
        elif entry.isfifo():
            os.mkfifo(name, entry.mode, dir_fd=parent)
        elif entry.isdev() and os.geteuid() == 0:
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            os.mknod(name, kind | entry.mode, os.makedev(entry.devmajor, entry.devminor), dir_fd=parent)

    def _make_folder(self, parent: int, name: str) -> None:
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise InvalidArgument(f"cannot overwrite non-directory {name!r} with a directory") from None

    def _make_room(self, parent: int, name: str) -> None:
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            raise InvalidArgument(f"cannot overwrite directory {name!r} with a file") from None

    def _make_file(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        data = archive.extractfile(entry)
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
        with open(handle, "wb") as file:
            while data is not None and (piece := data.read(_PIECE)):
                file.write(piece)
                self.size += len(piece)
            file.flush()
            self._set(handle, entry)

    def _attributes(self, parts: list[str], entry: tarfile.TarInfo) -> None:
        """Of folders, the deepest last made first: writing into them changed their times."""
        handle = self._open(parts)
        try:
            self._set(handle, entry)
        finally:
            os.close(handle)

    def _set(self, handle: int, entry: tarfile.TarInfo) -> None:
        if self._owners and os.geteuid() == 0:
            os.fchown(handle, entry.uid, entry.gid)
        os.fchmod(handle, entry.mode & 0o7777)
        os.utime(handle, (entry.mtime, entry.mtime))


class _Reader:
    """Pieces as a file that can only be read on."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data


def landing(target: str, name: str, *, is_folder: bool, contents: bool) -> tuple[str, str]:
    """Where what comes out of a container goes, by docker's rules: the folder, and what it is called there ("": the
    folder itself is filled). NotFound, InvalidArgument: it can go nowhere."""
    if os.path.isdir(target):
        return (target, "") if is_folder and contents else (target, name)
    if os.path.lexists(target):
        if is_folder:
            raise InvalidArgument("cannot copy directory")
        return os.path.split(os.path.abspath(target))
    if target.endswith("/") and not is_folder:
        raise NotFound(f"no such directory: {target}")
    parent, base = os.path.split(os.path.abspath(target))
    if not os.path.isdir(parent):
        raise NotFound(f"no such directory: {parent}")
    return parent, base


def document_of(header: str) -> dict[str, Any]:
    """X-Docker-Container-Path-Stat, decoded. InvalidArgument."""
    import base64
    import json

    try:
        found = json.loads(base64.b64decode(header, validate=True))
    except ValueError:
        raise InvalidArgument("the engine's answer does not say what the path is") from None
    if not isinstance(found, dict):
        raise InvalidArgument("the engine's answer does not say what the path is")
    return found
