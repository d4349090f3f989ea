"""The guest's file descriptors: numbers, what each stands for, and the rights it carries. No function of WASI."""

from __future__ import annotations

import heapq
import os
from itertools import count

from wherry.record import Record
from wherry.wasm.wasi import abi, errno

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence


class WorkingDirectory(Record):
    """The root's descriptor, and the working directory's path from there."""

    root: int
    path: bytes


class Entry:
    """What one guest descriptor stands for.

    All rights that fit the way it was opened are granted from the start, whatever the guest asked for (as wasmtime
    does: programs in the wild ask for too few); they can only be dropped. ``preopen`` is the name of a preopened
    folder; ``cwd`` is there if it is the working directory: see resolve.py. ``listing`` holds a folder's packed entries
    since it was last read from its start.
    """

    __slots__ = ("cwd", "fd", "flags", "inheriting", "kind", "listing", "preopen", "readonly", "rights")

    def __init__(
        self,
        fd: int,
        rights: int,
        inheriting: int = 0,
        *,
        kind: int | None = None,
        flags: int = 0,
        readonly: bool = False,
        preopen: bytes | None = None,
        cwd: WorkingDirectory | None = None,
    ) -> None:
        self.fd = fd
        self.rights = rights
        self.inheriting = inheriting
        self.kind = kind
        self.flags = flags
        self.readonly = readonly
        self.preopen = preopen
        self.cwd = cwd
        self.listing: list[bytes] | None = None

    def another(self) -> Entry:
        """The same for another guest, which finds it as nobody has used it yet: to be asked of one that nobody has."""
        return Entry(
            self.fd,
            self.rights,
            self.inheriting,
            kind=self.kind,
            flags=self.flags,
            readonly=self.readonly,
            preopen=self.preopen,
            cwd=self.cwd,
        )

    def filetype(self) -> int:
        """Its WASI file type; asked of the kernel once, and only when somebody needs it."""
        kind = self.kind
        if kind is None:
            self.kind = kind = abi.filetype(os.fstat(self.fd)[0])  # st_mode: by its name it takes two pages
            self.rights &= abi.RIGHTS_FOLDER if kind == abi.DIRECTORY else abi.RIGHTS_FILE
            # wasi-libc's isatty(3): a character device without the right to seek.
            if kind == abi.UNKNOWN or (kind == abi.CHARACTER_DEVICE and os.isatty(self.fd)):  # unknown: a FIFO
                self.rights &= ~abi.RIGHTS_SEEKING
        return kind

    def need(self, right: int) -> None:
        """Raise ROFS in a read-only folder, NOTCAPABLE where the right was dropped."""
        if not self.rights & right:
            raise errno.WasiError(errno.ROFS if self.readonly and right & abi.RIGHTS_CHANGING else errno.NOTCAPABLE)


class FdTable:
    """Entries by number; a new one takes the lowest free number, as in POSIX. A guest's threads share it: each change
    is one step of the interpreter's. ``first`` are those of the numbers from 0 on."""

    __slots__ = ("_free", "_fresh", "entries")

    def __init__(self, first: Sequence[Entry] = ()) -> None:
        self.begin(first)

    def begin(self, first: Sequence[Entry]) -> None:
        """Be another guest's, who finds ``first`` open."""
        self.entries: dict[int, Entry] = {}
        self._free: list[int] = []
        for entry in first:
            self.entries[len(self.entries)] = entry
        self._fresh = count(len(first))

    def get(self, fd: int) -> Entry:
        """The entry; BADF if there is none."""
        entry = self.entries.get(fd)
        if entry is None:
            raise errno.WasiError(errno.BADF)
        return entry

    def add(self, entry: Entry) -> int:
        try:
            number = heapq.heappop(self._free)
        except IndexError:
            number = next(self._fresh)
        self.entries[number] = entry
        return number

    def remove(self, fd: int) -> Entry:
        """Take the entry out (its descriptor stays open); BADF."""
        entry = self.entries.pop(fd, None)
        if entry is None:
            raise errno.WasiError(errno.BADF)
        heapq.heappush(self._free, fd)
        return entry

    def renumber(self, source: int, target: int) -> Entry | None:
        """Move an entry over another; returns the replaced one, None if both are the same. BADF if either is free."""
        entry, replaced = self.get(source), self.get(target)
        if source == target:
            return None
        self.remove(source)
        self.entries[target] = entry
        return replaced


def stdio(fd: int) -> Entry:
    """The entry of an inherited descriptor. A closed one is left to fail with BADF when it is used."""
    return Entry(fd, abi.RIGHTS_FILE)


def folder(fd: int, name: bytes, *, writable: bool, cwd: WorkingDirectory | None = None) -> Entry:
    """The entry of a preopened folder."""
    hidden = 0 if writable else abi.RIGHTS_CHANGING
    return Entry(
        fd,
        abi.RIGHTS_FOLDER & ~hidden,
        abi.RIGHTS_ALL & ~hidden,
        kind=abi.DIRECTORY,
        readonly=not writable,
        preopen=name,
        cwd=cwd,
    )
