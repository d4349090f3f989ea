"""Where COPY and ADD put their sources: (a root, a target, sources) -> changes. Pure: the root is not touched."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wherry.build.selection import Picked
from wherry.build.tree import FOLDER, Entry, Tree, join
from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument

_WHITEOUT = ".wh."


@dataclass(frozen=True, slots=True)
class Attributes:
    """What ``--chown`` and ``--chmod`` set; None leaves an entry's own."""

    owner: tuple[int, int] | None = None
    mode: int | None = None

    def on(self, entry: Entry) -> Entry:
        """``entry`` with these attributes. A symbolic link has no mode of its own."""
        uid, gid = self.owner or (entry.uid, entry.gid)
        mode = entry.mode if self.mode is None or entry.kind == "symlink" else self.mode
        return replace(entry, uid=uid, gid=gid, mode=mode)


class Placement:
    """Collects the changes of one instruction against a root, which it only reads."""

    def __init__(self, root: Tree, attributes: Attributes = Attributes()) -> None:
        self.after = root.copy()
        self._attributes = attributes
        self._owner = Attributes(attributes.owner)
        self.changes: dict[str, Entry] = {}

    def put(self, target: str, picked: Sequence[Picked], *, several: bool) -> None:
        """Place sources at ``target``, an absolute path; a ``/`` at its end says that it is a folder.

        ``several``: the instruction names more than one source. InvalidArgument: what is there is in the way.
        """
        into = target.endswith(("/", "/.", "/.."))
        if (several or len(picked) > 1) and not into:
            raise InvalidArgument(
                "when using more than one source file, the destination must be a directory and end with a /"
            )
        place = self.after.resolve(target)
        for source in picked:
            here = join(place, source.kept)
            existing = self.after.get(here)
            if source.entry.kind == "folder":
                self._folder(here, source)
            elif into or source.kept or (existing is not None and existing.kind == "folder"):
                self._entry(join(here, source.name), self._attributes.on(source.entry))
            else:
                self._entry(here, self._attributes.on(source.entry))

    def _folder(self, place: str, source: Picked) -> None:
        existing = self.after.get(place)
        if existing is None or existing.kind != "folder":
            self._entry(place, self._attributes.on(source.entry))
        for path, entry in source.inner:
            self._entry(join(place, path), self._attributes.on(entry))

    def folder(self, path: str) -> None:
        """See to it that there is a folder at the absolute ``path``; those made belong to the owner given."""
        self._parents(join(self.after.resolve(path), "x"))

    def _entry(self, path: str, entry: Entry) -> None:
        self._parents(path)
        existing = self.after.get(path)
        if posixpath.basename(path).startswith(_WHITEOUT):
            raise InvalidArgument(f"cannot copy /{one_line(path)}: in a layer names with {_WHITEOUT} mark removals")
        if existing is not None and existing.kind == "folder" and entry.kind != "folder":
            raise InvalidArgument(f"cannot replace to directory /{one_line(path)} with file")
        if existing is not None and existing.kind != "folder" and entry.kind == "folder":
            raise InvalidArgument(f"cannot copy to non-directory: /{one_line(path)}")
        self._set(path, entry)

    def _parents(self, path: str) -> None:
        missing: list[str] = []
        folder = posixpath.dirname(path)
        while (existing := self.after.get(folder)) is None:
            missing.append(folder)
            folder = posixpath.dirname(folder)
        if existing.kind != "folder":
            raise InvalidArgument(f"cannot copy to non-directory: /{one_line(folder)}")
        for made in reversed(missing):
            self._set(made, self._owner.on(FOLDER))

    def _set(self, path: str, entry: Entry) -> None:
        self.after.put(path, entry)
        if path:
            self.changes[path] = entry


def owner_of(text: str, root: Tree) -> tuple[int, int] | None:
    """The ids that ``user[:group]`` stands for, names looked up in the root's own /etc/passwd and /etc/group.

    None if ``text`` is empty. InvalidArgument: an unknown name. Blocks.
    """
    if not text:
        return None
    user, _, group = text.partition(":")
    uid, gid = _numbers(user or "0", root, "etc/passwd", 3)
    return uid, _numbers(group, root, "etc/group", 2)[0] if group else gid


def _numbers(name: str, root: Tree, path: str, second: int) -> tuple[int, int]:
    """Fields 2 and ``second`` of the line for ``name``; a number stands for itself, twice."""
    if name.isascii() and name.isdigit():
        if len(name) > 10 or int(name) >= 2**32 - 1:
            raise InvalidArgument(f"invalid user or group {one_line(name)}: it must be below 4294967295")
        return int(name), int(name)
    entry = root.find(path)
    data = entry.data.head(1 << 20) if entry is not None and entry.kind == "file" else b""
    for line in data.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > second and _is_id(fields[2]) and _is_id(fields[second]):
            return int(fields[2]), int(fields[second])
    what = "user" if path.endswith("passwd") else "group"
    raise InvalidArgument(f"unable to find {what} {one_line(name)}: no matching entries in the image's /{path}")


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def mode_of(text: str) -> int | None:
    """The mode that ``--chmod`` gives in octal, None if it is not given. InvalidArgument."""
    if not text:
        return None
    if not all(char in "01234567" for char in text) or len(text) > 6 or int(text, 8) > 0o7777:
        raise InvalidArgument(
            f"invalid chmod parameter: '{one_line(text)}'. it should be octal string and between 0 and 07777"
        )
    return int(text, 8)
