"""Reading a container's files as it would see them, without mounting anything: stacked folders, others mounted in them.

Everything is opened relative to a descriptor, one component at a time, and no link is ever followed by the kernel: what
a hostile container changes meanwhile leads nowhere but to other files of its own. Nothing is written here.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from wherry.core.diff.changes import KINDS, described
from wherry.core.diff.entries import Entry
from wherry.core.diff.target import is_opaque, is_whiteout
from wherry.core.snapshots.trees import xattrs
from wherry.errors import InvalidArgument, NotFound

Place = tuple[bytes, ...]
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS: Final = 40
_CHUNK: Final = 256 << 10
_REPLACED: Final = frozenset({errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at ``place``: its status, and the target if it is a symbolic link."""

    place: Place
    status: os.stat_result
    link: bytes = b""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class _Folder:
    """An open folder: a descriptor for each layer that has a part in it, topmost first."""

    def __init__(self, place: Place, handles: Sequence[int]) -> None:
        self.place = place
        self.handles = tuple(handles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            os.close(handle)


class View:
    """``layers`` are host folders, topmost first, with overlayfs's whiteouts if there are several; ``mounts`` are host
    folders or files, by the place at which they cover what the layers have. What is in the folders ``hollow`` is passed
    over by a walk that begins above them. A context manager. Blocks."""

    def __init__(
        self, layers: Sequence[str], mounts: Mapping[Place, str] | None = None, *, hollow: Collection[Place] = ()
    ) -> None:
        self._layers = layers
        self._hollow = hollow
        self._mounts = dict(mounts or {})
        self._top: list[int] = []

    def __enter__(self) -> Self:
        try:
            for layer in self._layers:
                self._top.append(os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except BaseException:  # the descriptors must not outlive this call
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._top:
            os.close(handle)
        self._top.clear()

    def mount(self, path: str, source: str) -> Place:
        """Cover ``path``, wherever its links lead, and tell where that is. NotFound: there is no such place."""
        place = self.find(os.fsencode(path), follow=True).place
        self._mounts[place] = source
        return place

    def has(self, place: Place) -> bool:
        """Whether there is something at exactly this place, no link followed."""
        try:
            return bool(self._top) and self._at(place) is not None
        except NotFound:
            return False

    def find(self, path: bytes, *, follow: bool) -> Found:
        """What ``path`` names; ``follow``: a link at its end too. NotFound; InvalidArgument: too many links."""
        pending = _parts(path)
        here = Found((), os.fstat(self._top[0]))
        links = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                here = self._at(here.place[:-1])
                continue
            if not here.is_folder:
                raise NotFound("not a directory")
            step = self._at((*here.place, name))
            if not step.link or (not pending and not follow):
                here = step
                continue
            links += 1
            if links > _MOST_LINKS:
                raise InvalidArgument("too many levels of symbolic links")
            here = self._at(() if step.link.startswith(b"/") else here.place)
            pending += _parts(step.link)
        return here

    def _at(self, place: Place) -> Found:
        """What lies at ``place``, none of whose components is a link but perhaps the last. NotFound."""
        if not place:
            return Found((), os.fstat(self._top[0]))
        source = self._mounts.get(place)
        if source is not None:
            return Found(place, _source_status(source))
        with self._folder(place[:-1]) as folder:
            found = self._child(folder, place[-1])
            if found is None:
                raise NotFound("no such file or directory")
            handle, status = found
            try:
                link = os.readlink(place[-1], dir_fd=handle) if stat.S_ISLNK(status.st_mode) else b""
            except OSError as error:
                raise _gone(error) from None
            return Found(place, status, link)

    def _folder(self, place: Place) -> _Folder:
        """Open exactly this folder. NotFound: it is none."""
        handles = [os.open(".", _FOLDER, dir_fd=handle) for handle in self._top]
        for depth, name in enumerate(place, start=1):
            here = _Folder(place[: depth - 1], handles)
            with here:
                handles = self._open_child(here, name)
        return _Folder(place, handles)

    def _open_child(self, folder: _Folder, name: bytes) -> list[int]:
        source = self._mounts.get((*folder.place, name))
        try:
            if source is not None:
                return [os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
            return self._merged(folder, name)
        except OSError as error:
            raise NotFound(f"no such directory: {error.strerror}") from None

    def _merged(self, folder: _Folder, name: bytes) -> list[int]:
        handles: list[int] = []
        try:
            for parent in folder.handles:
                status = _status(parent, name)
                if status is None:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    break  # a whiteout, or a file, which merges with nothing
                handles.append(os.open(name, _FOLDER, dir_fd=parent))
                if len(folder.handles) > 1 and is_opaque(handles[-1]):
                    break
        except BaseException:  # the descriptors must not outlive this call
            _Folder((), handles).__exit__()
            raise
        if not handles:
            raise NotFound("no such directory")
        return handles

    def _child(self, folder: _Folder, name: bytes) -> tuple[int, os.stat_result] | None:
        for handle in folder.handles:
            status = _status(handle, name)
            if status is not None:
                return None if self._is_mark(status) else (handle, status)
        return None

    def _is_mark(self, status: os.stat_result) -> bool:
        return len(self._layers) > 1 and is_whiteout(status)

    def walk(self, found: Found, name: bytes) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        """``found`` and all in it as archive entries below ``name``, a folder before what is in it; second names of a
        file as hard links. Sockets are left out. What vanishes meanwhile is left out too. A folder without a ``name``
        has no entry of its own."""
        links: dict[tuple[int, int], bytes] = {}
        if not found.is_folder:
            with self._folder(found.place[:-1]) as folder:
                yield from self._entry(folder, found.place[-1], name, links)
            return
        with self._folder(found.place) as folder:
            if name:
                yield _entry_of(_folder_name(name), os.fstat(folder.handles[0]), _Opened(folder.handles[0])), ()
        pending = [(found.place, name)]
        while pending:
            place, shown = pending.pop()
            try:
                folder = self._folder(place)
            except NotFound:
                continue
            below = []
            with folder:
                for child in self._names(folder):
                    path = os.path.join(shown, child)
                    for entry, data in self._entry(folder, child, path, links):
                        yield entry, data
                        if entry.kind == "directory" and (*place, child) not in self._hollow:
                            below.append(((*place, child), path))
            pending += reversed(below)

    def _names(self, folder: _Folder) -> list[bytes]:
        names = {os.fsencode(name) for handle in folder.handles for name in os.listdir(handle)}
        names |= {place[-1] for place in self._mounts if place[:-1] == folder.place}
        return sorted(names)

    def _entry(
        self, folder: _Folder, name: bytes, path: bytes, links: dict[tuple[int, int], bytes]
    ) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        """The entry of one name; none if there is nothing to tell."""
        source = self._mounts.get((*folder.place, name))
        if source is not None:
            yield from self._mounted(source, path, links)
            return
        found = self._child(folder, name)
        status = _status(found[0], name) if found is not None else None
        if found is not None and status is not None:
            yield from self._plain(_Named(found[0], name), status, path, links)

    def _mounted(
        self, source: str, path: bytes, links: dict[tuple[int, int], bytes]
    ) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        """What covers a name. It is opened once and read by that, for its path may lead elsewhere a moment later."""
        try:
            handle = os.open(source, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            _gone(error)
            return
        with _Folder((), [handle]):
            yield from self._plain(_Opened(handle), os.fstat(handle), path, links)

    def _plain(
        self, file: "_File", status: os.stat_result, path: bytes, links: dict[tuple[int, int], bytes]
    ) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        if stat.S_IFMT(status.st_mode) not in KINDS:
            return
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                yield Entry(path, "hardlink", stat.S_IMODE(status.st_mode), link=first), ()
                return
        shown = _folder_name(path) if stat.S_ISDIR(status.st_mode) else path
        try:
            entry = _entry_of(shown, status, file)
        except OSError as error:
            _gone(error)
            return
        yield entry, _contents(file, entry.size) if entry.kind == "file" else ()


def _source_status(source: str) -> os.stat_result:
    try:
        return os.stat(source)
    except OSError as error:
        raise NotFound(f"{source} on the host: {error.strerror}") from None


def _gone(error: OSError) -> NotFound:
    """It was removed, or replaced by something of another kind, since it was looked at. Other faults are raised."""
    if error.errno not in _REPLACED:
        raise error
    return NotFound("no such file or directory")


def _parts(path: bytes) -> list[bytes]:
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]


def _folder_name(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def _status(handle: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=handle, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _entry_of(path: bytes, status: os.stat_result, file: "_File") -> Entry:
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    return described(path, status, kind, file.link() if kind == "symlink" else b"", file.xattrs())


class _File(Protocol):
    """One file, however it was found. OSError, if it is no longer there."""

    def link(self) -> bytes: ...

    def open(self) -> int: ...

    def xattrs(self) -> dict[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class _Named:
    """``name`` in an open folder; no link is followed."""

    parent: int
    name: bytes

    def link(self) -> bytes:
        return os.readlink(self.name, dir_fd=self.parent)

    def open(self) -> int:
        return os.open(self.name, _FILE, dir_fd=self.parent)

    def xattrs(self) -> dict[str, bytes]:
        return xattrs(b"/proc/self/fd/%d/" % self.parent + self.name)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a descriptor, perhaps of O_PATH, stands for."""

    handle: int

    def link(self) -> bytes:
        return b""  # it was followed

    def open(self) -> int:
        return os.open(b"/proc/self/fd/%d" % self.handle, _FILE & ~os.O_NOFOLLOW)

    def xattrs(self) -> dict[str, bytes]:
        return xattrs(b"/proc/self/fd/%d" % self.handle, follow=True)


def _contents(file: _File, size: int) -> Iterator[bytes]:
    """``size`` bytes, whatever is written meanwhile: what has grown is cut, what has shrunk is filled with zeros."""
    left = size
    try:
        handle = file.open()
    except OSError as error:
        _gone(error)
        handle = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
        while left and is_file and (data := os.read(handle, min(left, _CHUNK))):
            left -= len(data)
            yield data
    finally:
        os.close(handle)
    while left:
        yield bytes(min(left, _CHUNK))
        left -= min(left, _CHUNK)
