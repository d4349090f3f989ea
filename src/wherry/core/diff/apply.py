"""Applying a layer: a tar stream, compressed or not, becomes files in a folder. So do archives that are no layers.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#applying-changesets
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from wherry.core.content.files import write_all
from wherry.core.diff.compression import decompressed, reading
from wherry.core.diff.entries import OPAQUE_WHITEOUT, WHITEOUT_PREFIX, Entry
from wherry.core.diff.limits import LIMITS, Bounds, Limits
from wherry.core.diff.plain import Plain
from wherry.core.diff.tar_reader import TarReader
from wherry.core.diff.target import Folder, Root, Target, below, is_whiteout
from wherry.core.faults import translated
from wherry.core.snapshots import trees
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.digest import Digest

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST_ID = 2**32 - 2
_ODD = (b"", b".", b"..")  # not names of anything

Place = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """``diff_id`` is the digest of the uncompressed stream, ``size`` its length in bytes."""

    diff_id: Digest
    size: int
    entries: int


def apply(
    stream: BinaryIO, target: Target, *, what: str = "layer", packed: int | None = None, limits: Limits = LIMITS
) -> Applied:
    """Unpack ``stream`` to its end into ``target``; ``what`` names it in messages, ``packed`` is its size in bytes.

    InvalidArgument: corrupt, over the limits, an entry that leaves the root, or a device without privilege;
    ResourceExhausted: the disk is full; whatever the stream raises. What was written by then stays: the caller removes
    the folder.
    """
    largest = limits.size if packed is None else limits.largest(packed)
    with reading(what), Plain(stream, what, largest) as source:
        reader = TarReader(source)
        with Root(target) as root:
            layer = _Layer(root, reader, what)
            bounds = Bounds(limits, what)
            for entry in reader:
                bounds.take(1, entry.size)
                layer.take(entry)
                bounds.take(*layer.take_alike(reader))
            layer.finish()
        while source.read():  # what follows the archive's end belongs to the digest
            pass
    return Applied(source.digester.digest(), source.digester.size, bounds.entries)


class Source(Protocol):
    """Where entries come from: `TarReader`, or files elsewhere."""

    def __iter__(self) -> Iterator[Entry]: ...

    def data(self) -> Iterable[bytes]:
        """The bytes of the entry that came last."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How entries are taken. ``at`` is the place that their paths begin from; as ``layer`` their whiteouts remove what
    lies below, and the root's own entry counts. ``keep_kinds``: no folder makes way for a file, and no file for a
    folder. ``owner`` (uid, gid) is whose everything becomes."""

    at: Place = ()
    layer: bool = True
    keep_kinds: bool = False
    owner: tuple[int, int] | None = None


_LAYER = Manner()


def extract(stream: BinaryIO, target: Target, manner: Manner, *, what: str = "archive") -> None:
    """Unpack an archive that is no layer, as tar does: see `Manner`. Errors as `apply`."""
    with reading(what):
        put(TarReader(decompressed(stream)), target, manner, what=what)


def put(source: Source, target: Target, manner: Manner, *, what: str) -> None:
    """Put the entries of ``source`` into ``target``. Errors as `apply`."""
    with Root(target) as root:
        work = _Layer(root, source, what, manner)
        for entry in source:
            work.take(entry)
        work.finish()


def split(path: bytes) -> Place:
    """The components of an entry's path. InvalidArgument: it is absolute, or has a ``..``."""
    if path.startswith(b"/") and path.strip(b"/"):
        raise InvalidArgument("its path is absolute")
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise InvalidArgument("its path leaves the root")
    return parts


@dataclass(frozen=True, slots=True)
class _Run:
    """Files that come one after another into one folder, with one mode and owner, which they have when they are made.
    ``head`` is the folder in their paths, ``handle`` the folder, which `Root` keeps open as long as no other is asked
    for."""

    head: bytes
    handle: int
    mode: int


class _Layer:
    """One layer on its way into a root: what its entries did so far, and what is left for the end."""

    def __init__(self, root: Root, reader: Source, what: str, manner: Manner = _LAYER) -> None:
        self._root = root
        self._reader = reader
        self._what = what
        self._manner = manner
        self._own = root.target.own
        self._marks = bool(root.target.lowers)
        self._folders: dict[Place, Entry] = {}
        self._last_head, self._last_parent = b"", manner.at
        self._run: _Run | None = None
        # Which names are this layer's own matters only where removals are real and there is something to remove.
        removes = manner.layer and not self._marks and bool(os.listdir(root.target.path))
        self._made: set[Place] | None = set() if removes else None

    def take(self, entry: Entry) -> None:
        """Do what one entry says."""
        self._run = None
        try:
            self._take(entry)
        except OSError as error:
            raise translated(error, f"unpack {self._what}, entry {entry.shown}") from error
        except (InvalidArgument, NotFound) as fault:
            raise InvalidArgument(f"{self._what}, entry {entry.shown}: {fault}") from fault

    def take_alike(self, reader: TarReader) -> tuple[int, int]:
        """Make the files that come next as far as they are of one run; how many, and their bytes."""
        run, count, size = self._run, 0, 0
        if run is None:
            return 0, 0
        for path, mtime, data in reader.alike():
            head, _, name = path.rpartition(b"/")
            if head != run.head or name in _ODD or name.startswith(WHITEOUT_PREFIX):
                break
            try:
                handle = os.open(name, _NEW, run.mode, dir_fd=run.handle)
                try:
                    _write(handle, data)
                    os.utime(handle, ns=(mtime, mtime))
                finally:
                    os.close(handle)
            except FileExistsError:  # that takes a closer look
                break
            except OSError as error:
                raise translated(error, f"unpack {self._what}, entry {Entry(path).shown}") from error
            count += 1
            size += len(data)
        return count, size

    def _take(self, entry: Entry) -> None:
        if entry.uid > _LARGEST_ID or entry.gid > _LARGEST_ID:
            raise InvalidArgument(f"its owner {max(entry.uid, entry.gid)} is no user or group id")
        manner = self._manner
        parent, name = self._place(entry.path)
        if manner.owner is not None:
            entry = entry._replace(uid=manner.owner[0], gid=manner.owner[1])
        if not name:
            self._take_root(entry)
        elif manner.layer and name.startswith(WHITEOUT_PREFIX):
            self._whiteout(parent, name)
        elif entry.kind == "hardlink":
            self._hard_link(parent, name, entry)
        else:
            _MAKERS[entry.kind](self, self._root.folder(parent), name, entry)

    def _take_root(self, entry: Entry) -> None:
        if entry.kind != "directory":
            raise InvalidArgument("the root must be a folder")
        if self._manner.layer:
            self._folders[self._manner.at] = entry

    def _place(self, path: bytes) -> tuple[Place, bytes]:
        """The folder that an entry is in and its name there, which is empty for the root. Most entries are in the same
        folder as the one before."""
        head, slash, name = path.rpartition(b"/")
        if name in _ODD or (slash and not head.strip(b"/")):
            parts = self._split(path)
            return (parts[:-1], parts[-1]) if parts != self._manner.at else (parts, b"")
        if head != self._last_head:
            self._last_parent = self._split(head) if head else self._manner.at
            self._last_head = head
        return self._last_parent, name

    def _split(self, path: bytes) -> Place:
        """Beside layers, an absolute path is meant from where the archive goes, as tar and docker have it."""
        return (*self._manner.at, *split(path if self._manner.layer else path.lstrip(b"/") or b"."))

    def _keep_kind(self, folder: Folder, name: bytes, *, is_folder: bool) -> None:
        """Docker's words, which its command line looks for."""
        status = folder.status(name) or below(folder.lowers, name)[1]
        if status is None or stat.S_ISDIR(status.st_mode) == is_folder or is_whiteout(status):
            return
        shown = os.fsdecode(b"/".join(folder.place))
        if is_folder:
            raise InvalidArgument(f'cannot overwrite non-directory "/{shown}" with directory "{os.fsdecode(name)}"')
        raise InvalidArgument(f'cannot overwrite directory "/{shown}" with non-directory "{os.fsdecode(name)}"')

    def _replace(self, folder: Folder, name: bytes) -> Place:
        """Make room for an entry that is no folder; returns its place."""
        if self._manner.keep_kinds:
            self._keep_kind(folder, name, is_folder=False)
        status = folder.status(name)
        place = (*folder.place, name)
        if status is not None:
            self._remove(folder, name, status)
        self._mark_made(place)
        return place

    def _remove(self, folder: Folder, name: bytes, status: os.stat_result) -> None:
        place = (*folder.place, name)
        if stat.S_ISDIR(status.st_mode):
            trees.remove_tree(f"/proc/self/fd/{folder.handle}/{os.fsdecode(name)}")
            for memory in (self._folders, self._root.closed):
                _forget_below(memory, place)
        else:
            os.unlink(name, dir_fd=folder.handle)
        self._root.new_links.discard(place)

    def _mark_made(self, place: Place) -> None:
        while self._made is not None and place and place not in self._made:
            self._made.add(place)
            place = place[:-1]

    def make_folder(self, folder: Folder, name: bytes, entry: Entry) -> None:
        """A folder that exists stays, with all in it; what is no folder makes way."""
        place = (*folder.place, name)
        if place in self._root.target.mounts:
            self._folders[place] = entry
            return
        if self._manner.keep_kinds:
            self._keep_kind(folder, name, is_folder=True)
        status = folder.status(name)
        if status is None or not stat.S_ISDIR(status.st_mode):
            if status is not None:
                self._remove(folder, name, status)
            os.mkdir(name, 0o755, dir_fd=folder.handle)
            if status is not None and folder.lowers:  # it hid what lies below, and still must
                handle = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.handle
                )
                try:
                    self._root.mark_opaque(handle)
                finally:
                    os.close(handle)
        self._mark_made(place)
        self._folders[place] = entry

    def make_file(self, folder: Folder, name: bytes, entry: Entry) -> None:
        handle = self._create(folder, name, entry.mode if entry.mode <= 0o777 else 0o600)
        try:
            if entry.sparse is None:
                for chunk in self._reader.data():
                    _write(handle, chunk)
            else:
                _write_sparse(handle, iter(self._reader.data()), entry)
            born = _is_born_so(handle, folder, entry, own=self._own)
            self._attributes(handle, entry, born=born)
        finally:
            os.close(handle)
        if born and self._manner.owner is None and not self._manner.keep_kinds and self._made is None:
            self._run = _Run(entry.path.rpartition(b"/")[0], folder.handle, entry.mode)

    def _create(self, folder: Folder, name: bytes, mode: int) -> int:
        """A new file, where most often there is nothing: then that is one system call."""
        if not self._manner.keep_kinds and self._made is None:
            try:
                return os.open(name, _NEW, mode, dir_fd=folder.handle)
            except FileExistsError:
                pass
        self._replace(folder, name)
        return os.open(name, _NEW, mode, dir_fd=folder.handle)

    def make_symlink(self, folder: Folder, name: bytes, entry: Entry) -> None:
        place = self._replace(folder, name)
        if not entry.link:
            raise InvalidArgument("the symbolic link has no target")
        os.symlink(entry.link, name, dir_fd=folder.handle)
        self._root.new_links.add(place)
        self._attributes_by_name(folder, name, entry)

    def make_node(self, folder: Folder, name: bytes, entry: Entry) -> None:
        """A FIFO, or with privilege a device."""
        kind = {"fifo": stat.S_IFIFO, "character": stat.S_IFCHR, "block": stat.S_IFBLK}[entry.kind]
        if entry.kind != "fifo" and not self._own:
            raise InvalidArgument("it is a device, which only root can make: run the engine as root for this image")
        if entry.kind == "character" and entry.device == (0, 0):
            raise InvalidArgument("device 0:0 is overlayfs's mark for a removed name")
        self._replace(folder, name)
        os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=folder.handle)
        self._attributes_by_name(folder, name, entry)

    def _hard_link(self, parent: Place, name: bytes, entry: Entry) -> None:
        target = self._split(entry.link)
        if target == self._manner.at:
            raise InvalidArgument("the hard link has no target")
        source = self._root.folder(target[:-1], create=False)
        status = source.status(target[-1]) or self._root.copy_up(source, target[-1])
        if status is None or (self._marks and is_whiteout(status)):
            raise NotFound(f"the hard link's target {entry.link[:200]!r} does not exist")
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgument("a hard link to a folder cannot be")
        origin = (*source.place, target[-1])
        handle = os.dup(source.handle)
        try:
            folder = self._root.folder(parent)
            if (*folder.place, name) != origin:
                self._replace(folder, name)
                os.link(target[-1], name, src_dir_fd=handle, dst_dir_fd=folder.handle, follow_symlinks=False)
        finally:
            os.close(handle)

    def _whiteout(self, parent: Place, mark: bytes) -> None:
        if mark != OPAQUE_WHITEOUT and mark.startswith(WHITEOUT_PREFIX * 2):
            return  # AUFS's own files
        name = mark.removeprefix(WHITEOUT_PREFIX)
        if mark != OPAQUE_WHITEOUT and name in (b"", b".", b".."):
            raise InvalidArgument("the whiteout names nothing")
        folder = self._root.folder(parent)
        if mark == OPAQUE_WHITEOUT:
            self._hide_below(folder)
        else:
            self._hide(folder, name)

    def _hide_below(self, folder: Folder) -> None:
        """Remove all in a folder that is not this layer's own."""
        if self._marks:
            self._root.mark_opaque(folder.handle)
            self._root.forget()
        else:
            self._remove_foreign(folder.place)

    def _hide(self, folder: Folder, name: bytes) -> None:
        status = folder.status(name)
        if self._marks and status is None:
            self._root.whiteout(folder, name)
        elif status is None:
            return
        elif self._marks or (*folder.place, name) in (self._made or ()):
            if stat.S_ISDIR(status.st_mode):
                self._hide_below(self._root.folder((*folder.place, name)))
        elif self._made is not None:
            self._remove(folder, name, status)
            self._root.forget()

    def _remove_foreign(self, place: Place) -> None:
        if self._made is None:  # all that is here is this layer's own
            return
        pending = [place]
        while pending:
            folder = self._root.exact(pending.pop())
            try:
                for name in os.listdir(folder.handle):
                    child = (*folder.place, os.fsencode(name))
                    status = folder.status(child[-1])
                    if status is not None and child not in self._made:
                        self._remove(folder, child[-1], status)
                    elif status is not None and stat.S_ISDIR(status.st_mode):
                        pending.append(child)
            finally:
                folder.close()
        self._root.forget()

    def _attributes(self, handle: int, entry: Entry, *, born: bool = False) -> None:
        """In this order: a change of owner clears set-id bits and capabilities; all but the last change the time.
        ``born``: it has its owner and mode already."""
        if self._own and not born:
            os.fchown(handle, entry.uid, entry.gid)
        if entry.xattrs:
            trees.set_xattrs(handle, _allowed(entry))
        if not born:
            os.fchmod(handle, entry.mode)
        os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))

    def _attributes_by_name(self, folder: Folder, name: bytes, entry: Entry) -> None:
        if self._own:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder.handle, follow_symlinks=False)
        trees.set_xattrs(b"/proc/self/fd/%d/" % folder.handle + name, _allowed(entry))
        if entry.kind != "symlink":
            os.chmod(name, entry.mode, dir_fd=folder.handle)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder.handle, follow_symlinks=False)

    def finish(self) -> None:
        """Give folders their attributes, the deepest first: writing into them changed their times and modes."""
        self._root.forget()
        left: dict[Place, Entry | int] = {**self._root.closed, **self._folders}
        for place in sorted(left, key=len, reverse=True):
            wanted = left[place]
            folder = self._root.exact(place)
            try:
                if isinstance(wanted, Entry):
                    self._attributes(folder.handle, wanted)
                else:
                    os.fchmod(folder.handle, wanted)
            except OSError as error:
                shown = b"/".join(place).decode("utf-8", "backslashreplace")
                raise translated(error, f"unpack {self._what}, folder {shown!r}") from error
            finally:
                folder.close()


def _forget_below(memory: dict[Place, Any], place: Place) -> None:
    for known in [known for known in memory if known[: len(place)] == place]:
        del memory[known]


def _is_born_so(handle: int, folder: Folder, entry: Entry, *, own: bool) -> bool:
    """Whether a new file of this folder has the entry's mode and owner from the start. It depends on the process (ids,
    umask) and the folder (set-group-ID, default ACLs): so the first one is looked at, and the others are like it."""
    wanted = (entry.mode, entry.uid, entry.gid)
    known = folder.born.get(wanted)
    if known is None:
        status = os.fstat(handle)
        found = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        known = folder.born[wanted] = found == wanted if own else found[0] == wanted[0]
    return known


def _allowed(entry: Entry) -> dict[str, bytes]:
    """A layer must not bring marks of overlayfs: they could show what lies elsewhere."""
    return {name: value for name, value in entry.xattrs.items() if ".overlay." not in name}


def _write(handle: int, data: bytes) -> None:
    written = os.write(handle, data)
    if written < len(data):
        write_all(handle, memoryview(data)[written:])


def _write_sparse(handle: int, chunks: Iterator[bytes], entry: Entry) -> None:
    ready = memoryview(b"")
    for offset, length in entry.sparse or ():
        os.lseek(handle, offset, os.SEEK_SET)
        left = length
        while left:
            ready = ready or memoryview(next(chunks))
            write_all(handle, ready[:left])
            ready, left = ready[left:], left - min(left, len(ready))
    os.ftruncate(handle, entry.size)


_MAKERS: dict[str, Callable[[_Layer, Folder, bytes, Entry], None]] = {
    "file": _Layer.make_file,
    "directory": _Layer.make_folder,
    "symlink": _Layer.make_symlink,
    "fifo": _Layer.make_node,
    "character": _Layer.make_node,
    "block": _Layer.make_node,
}
