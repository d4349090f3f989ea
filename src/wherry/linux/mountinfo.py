"""What is mounted where the caller stands, and whether a folder looks different because of it. Mounting is mounts.py's.

Source: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

    Table = frozenset[tuple[str, str]]

_ESCAPED = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))


def table() -> Table:
    """Every mount's number and the path it lies at; nothing where there is no /proc."""
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            return frozenset((number, _path(point)) for number, _, _, _, point, *_ in map(str.split, file))
    except OSError:
        return frozenset()


def changed(before: Table, now: Table, folders: Iterable[str]) -> bool:
    """Whether any of the ``folders``, with all below them, is another since: mounted over, or bared, at or above or
    below it."""
    points = {point.rstrip("/") + "/" for _, point in before ^ now}
    return any(
        point.startswith(folder) or folder.startswith(point)
        for folder in (os.path.realpath(folder).rstrip("/") + "/" for folder in folders)
        for point in points
    )


def _path(word: str) -> str:
    for escape, plain in _ESCAPED:
        word = word.replace(escape, plain)
    return word
