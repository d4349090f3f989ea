"""A file system as a value: names and attributes in memory, contents wherever they already lie. Nothing is mounted.

The context, an unpacked archive and a stage's root are all such trees, so that building needs no privilege and no
entry can leave its root: links are followed within the tree only. Reading archives is in archive.py, writing layers in
layer.py.
"""

import hashlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument

Kind = Literal["file", "folder", "symlink", "fifo", "char", "block"]

_MOST_LINKS = 40
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Data:
    """A file's content: ``size`` bytes at ``offset`` of the file at ``path``.

    Of a sparse file only the stretches (offset in the content, length) are there, one after another. The file may be
    one that is written when its path is first asked for.
    """

    path: str | os.PathLike[str] = ""
    offset: int = 0
    size: int = 0
    sparse: tuple[tuple[int, int], ...] | None = None

    def chunks(self) -> Iterator[bytes]:
        """The content, at most a MiB at a time. Blocks."""
        if not self.size:
            return
        done = 0
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            for start, length in ((0, self.size),) if self.sparse is None else self.sparse:
                yield from _zeros(start - done)
                yield from _exactly(file, length)
                done = start + length
        yield from _zeros(self.size - done)

    def head(self, size: int) -> bytes:
        """At most the first ``size`` bytes. Blocks."""
        taken = b""
        for chunk in self.chunks():
            taken += chunk[: size - len(taken)]
            if len(taken) >= size:
                break
        return taken

    def sha256(self) -> str:
        """The content's digest in hex. Blocks."""
        hasher = hashlib.sha256()
        for chunk in self.chunks():
            hasher.update(chunk)
        return hasher.hexdigest()


def _zeros(size: int) -> Iterator[bytes]:
    for left in range(size, 0, -_CHUNK):
        yield bytes(min(left, _CHUNK))


def _exactly(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            raise InvalidArgument("an archive ends before its last file does")
        size -= len(chunk)
        yield chunk


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name stands for. ``mode`` holds the permission bits only (07777); times are not kept: layers have one."""

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    link: str = ""
    data: Data = Data()
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()


FOLDER = Entry("folder", 0o755)


def normal(path: str) -> str:
    """``/a//b/./c/`` -> ``a/b/c``; ``..`` goes up, at the top it stays there. The root is ""."""
    return posixpath.normpath("/" + path).strip("/")


def climbs(path: str) -> bool:
    """Whether ``path`` goes above where it starts."""
    depth = 0
    for part in path.split("/"):
        depth += (part not in ("", ".")) - 2 * (part == "..")
        if depth < 0:
            return True
    return False


def join(folder: str, name: str) -> str:
    """``name`` in ``folder``, both normal."""
    return f"{folder}/{name}" if folder and name else folder or name


class Tree:
    """Entries by their normal path. The root is always a folder."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {"": FOLDER}
        self._names: dict[str, set[str]] = {"": set()}

    def copy(self) -> "Tree":
        """A tree that can be changed without changing this one."""
        other = Tree()
        other._entries = dict(self._entries)
        other._names = {path: set(names) for path, names in self._names.items()}
        return other

    def get(self, path: str) -> Entry | None:
        """The entry at a normal path; no link is followed."""
        return self._entries.get(path)

    def names(self, path: str) -> list[str]:
        """The names in the folder at ``path``, sorted."""
        return sorted(self._names.get(path, ()))

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """Everything below the folder at ``path``, with paths relative to it; folders before what they hold."""
        pending = [join(path, name) for name in reversed(self.names(path))]
        skip = len(path) + 1 if path else 0
        while pending:
            here = pending.pop()
            yield here[skip:], self._entries[here]
            pending += [join(here, name) for name in reversed(self.names(here))]

    def put(self, path: str, entry: Entry) -> None:
        """Set the entry at a normal path; missing folders above are made. What was there goes, unless both are folders.

        InvalidArgument: something above it is no folder.
        """
        if path:
            self._hold(path)
        old = self._entries.get(path)
        if old is not None and (old.kind != "folder" or entry.kind != "folder"):
            if not path:
                raise InvalidArgument("the root of a file system can only be a folder")
            self.remove(path)
            self._hold(path)
        self._entries[path] = entry
        if entry.kind == "folder":
            self._names.setdefault(path, set())

    def _hold(self, path: str) -> None:
        """See to it that the folder of ``path`` is there and has its name."""
        missing = [path]
        while (folder := posixpath.dirname(missing[-1])) not in self._entries:
            missing.append(folder)
        if self._entries[folder].kind != "folder":
            raise InvalidArgument(f"/{one_line(folder)} is not a folder")
        for made in reversed(missing):
            folder, name = posixpath.split(made)
            self._names[folder].add(name)
            if made != path:
                self._entries[made] = FOLDER
                self._names[made] = set()

    def remove(self, path: str) -> None:
        """Take away the entry at a normal path and all below it; nothing happens if there is none."""
        if not path or path not in self._entries:
            return
        for below in [join(path, inner) for inner, _ in self.walk(path)]:
            self._entries.pop(below)
            self._names.pop(below, None)
        self._entries.pop(path)
        self._names.pop(path, None)
        folder, name = posixpath.split(path)
        self._names[folder].discard(name)

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """The normal path that ``path`` names once links are followed; parts that do not exist stay as they are.

        InvalidArgument: a loop of links.
        """
        pending = [part for part in reversed(path.split("/")) if part]
        done = ""
        links = 0
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = join(done, part)
            entry = self._entries.get(here)
            if entry is not None and entry.kind == "symlink" and (pending or follow_last):
                links += 1
                if links > _MOST_LINKS:
                    raise InvalidArgument(f"/{one_line(path)}: too many levels of symbolic links")
                done = "" if entry.link.startswith("/") else done
                pending += [piece for piece in reversed(entry.link.split("/")) if piece]
            else:
                done = here
        return done

    def find(self, path: str) -> Entry | None:
        """The entry that ``path`` names once links are followed, None if there is none."""
        return self._entries.get(self.resolve(path))
