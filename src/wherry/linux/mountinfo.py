"""What is mounted where the caller stands, and whether a folder looks different because of it. Mounting is mounts.py's.

Source: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
"""

from __future__ import annotations

import os
import select

from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

    Table = frozenset[tuple[str, str]]

_READ = 64 << 10
_ESCAPED = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))


class Mounts:
    """The caller's, which the kernel writes down anew for whoever asks: they are read again only once one has come or
    gone. Holds a descriptor for as long as it lives."""

    def __init__(self) -> None:
        self._fd = -1
        self._changes = select.poll()
        self._table: Table = frozenset()
        with suppress(OSError):
            self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
            self._changes.register(self._fd, select.POLLPRI)
            self._table = self._read()

    def table(self) -> Table:
        """Every mount's number and the path it lies at; nothing where there is no /proc."""
        if self._changes.poll(0):  # what changes from here on, the next poll tells
            self._table = self._read()
        return self._table

    def _read(self) -> Table:
        lines = os.fsdecode(_whole(self._fd)).splitlines()
        return frozenset((number, _path(point)) for number, _, _, _, point, *_ in map(str.split, lines))


def changed(before: Table, now: Table, folders: Iterable[str]) -> bool:
    """Whether any of the ``folders``, with all below them, is another since: mounted over, or bared, at or above or
    below it."""
    points = {point.rstrip("/") + "/" for _, point in before ^ now}
    return any(
        point.startswith(folder) or folder.startswith(point)
        for folder in (os.path.realpath(folder).rstrip("/") + "/" for folder in folders)
        for point in points
    )


def _whole(fd: int) -> bytes:
    found = b""
    while more := os.pread(fd, _READ, len(found)):
        found += more
    return found


def _path(word: str) -> str:
    for escape, plain in _ESCAPED:
        word = word.replace(escape, plain)
    return word
