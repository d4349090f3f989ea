"""Reading tar archives that somebody sent: entries into a tree, contents left where they lie.

Nothing is ever unpacked to disk, so no name, link or device in an archive can do harm. Headers are read by
core/diff/tar_reader; what a layer's whiteouts mean is here (OCI image-spec layer.md). Blocks.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from wherry.build.tree import Data, Entry, Kind, Tree, climbs, join, normal
from wherry.core.diff.entries import Entry as Header
from wherry.core.diff.entries import Kind as HeaderKind
from wherry.core.diff.tar_reader import TarReader
from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument

_LONGEST_PART: Final = 255
_MOST_ENTRIES: Final = 500_000
"""Each takes some 700 bytes of memory for as long as the build runs."""
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"

_KINDS: Final[Mapping[HeaderKind, Kind]] = {
    "file": "file",
    "directory": "folder",
    "symlink": "symlink",
    "fifo": "fifo",
    "character": "char",
    "block": "block",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive by its normal path. ``hard_link`` names the member that it is another name of."""

    path: str
    entry: Entry
    hard_link: str | None = None


class _Unfinished(TarReader):
    """Takes archives that stop right after their last file's data: docker's CLI, when it puts a Dockerfile of another
    place into the context, leaves out the padding and the end."""

    def skip(self) -> None:
        for _ in self._chunks():
            pass
        self._read(self._padding)
        self._padding = 0


def members(path: str, reader: type[TarReader] = TarReader) -> Iterator[Member]:
    """The entries of the uncompressed archive in the file at ``path``, in its order.

    InvalidArgument: not a tar archive, cut off, a name that leaves it or that no file system takes.
    """
    with open(path, "rb") as file:
        headers = reader(file)
        for count, header in enumerate(headers):
            if count >= _MOST_ENTRIES:
                raise InvalidArgument(f"an archive may have at most {_MOST_ENTRIES} entries")
            yield _member(header, Data(path, headers.offset, header.size, sparse=header.sparse))


def _member(header: Header, data: Data) -> Member:
    path = _checked(header.path)
    if header.kind == "hardlink":
        return Member(path, Entry("file", header.mode), _checked(header.link))
    entry = Entry(
        _KINDS[header.kind],
        header.mode,
        header.uid,
        header.gid,
        _text(header.link) if header.kind == "symlink" else "",
        data if header.kind == "file" else Data(),
        header.device,
        tuple(sorted((name, _text(value)) for name, value in header.xattrs.items())),
    )
    return Member(path, entry)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _checked(name: bytes) -> str:
    """The normal form of a member's name. InvalidArgument: it leaves the archive, or no file system would take it."""
    text = _text(name)
    if climbs(text):
        raise InvalidArgument(f"the archive's entry {one_line(text)} leads out of it")
    if any(len(part) > _LONGEST_PART for part in name.split(b"/")):
        raise InvalidArgument(f"the archive's entry {one_line(text)} has a name of more than {_LONGEST_PART} bytes")
    return normal(text)


def tree_of(path: str) -> Tree:
    """The archive at ``path`` as a tree: later members replace earlier ones. Faults as `members` has them."""
    tree = Tree()
    for member in members(path, _Unfinished):
        tree.put(member.path, _target(tree, member))
    return tree


def apply_layer(tree: Tree, layer: Iterable[Member]) -> None:
    """Lay an image layer, by its `members`, over ``tree``. InvalidArgument: a link that names nothing."""
    fresh: set[str] = set()
    for member in layer:
        folder, name = posixpath.split(member.path)
        folder = tree.resolve(folder)
        if name == _OPAQUE:
            for inner in tree.names(folder):
                if join(folder, inner) not in fresh:
                    tree.remove(join(folder, inner))
        elif name.startswith(_WHITEOUT):
            tree.remove(join(folder, name.removeprefix(_WHITEOUT)))
        else:
            place = join(folder, name)
            tree.put(place, _target(tree, member))
            while place and place not in fresh:
                fresh.add(place)
                place = posixpath.dirname(place)


def _target(tree: Tree, member: Member) -> Entry:
    """The member's entry; for a hard link, that of the file it is a name of."""
    if member.hard_link is None:
        return member.entry
    entry = tree.get(tree.resolve(member.hard_link, follow_last=False))
    if entry is None or entry.kind == "folder":
        raise InvalidArgument(f"the archive's link {one_line(member.path)} names no file of it")
    return entry
