"""What is in the layers that builds begin with: read once, and remembered while the engine runs.

A base image's layers are large and do not change; most builds look up a few of their names and none of their contents.
So the names are kept, and an archive is uncompressed again only when somebody reads a file of it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from wherry.build.archive import Member, members
from wherry.oci.digest import Digest

_MOST_KEPT: Final = 30_000
"""Entries in all: some 20 MB."""


class LayerIndexes:
    """By the digest of the uncompressed archive; those that were used last. Blocks; thread-safe."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[Digest, Sequence[Member]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def members(self, diff_id: Digest, plain: Callable[[], str]) -> Iterator[Member]:
        """The layer's members. ``plain`` writes the archive to a file and returns its path: it is called now if the
        layer is not known, else when a content is read. Faults as `archive.members` has them."""
        with self._lock:
            known = self._kept.get(diff_id)
            if known is not None:
                self._kept.move_to_end(diff_id)
        if known is None:
            found = list(members(plain()))
            self._keep(diff_id, found)
            yield from found
            return
        archive = _Later(plain)
        for member in known:
            data = member.entry.data
            moved = replace(member.entry, data=replace(data, path=archive)) if data.size else member.entry
            yield replace(member, entry=moved)

    def _keep(self, diff_id: Digest, found: Sequence[Member]) -> None:
        with self._lock:
            if diff_id in self._kept or len(found) > self._most:
                return
            self._kept[diff_id] = found
            self._size += len(found)
            while self._size > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped)


class _Later:
    """A path of a file that is written when it is first asked for."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._path = ""
        self._lock = threading.Lock()

    def __fspath__(self) -> str:
        with self._lock:
            self._path = self._path or self._make()
            return self._path
