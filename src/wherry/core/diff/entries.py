"""One entry of a layer, however its archive wrote it down. Values only."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Kind = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]

PATH_LIMIT = 4096
"""Bytes that a path or link target may have (PATH_MAX)."""

WHITEOUT_PREFIX = b".wh."
OPAQUE_WHITEOUT = b".wh..wh..opq"
"""Marks in a layer for what it removes. Source: image-spec v1.1.0 layer.md#whiteouts"""

_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})


class Entry(NamedTuple):
    """A tuple, for a layer may have hundreds of thousands, and a frozen dataclass takes five times as long to make.

    ``size`` in bytes, holes included; ``sparse`` lists the stretches (offset, length) that have data, None: all.

    ``path`` is as in the archive, so it may be hostile. ``link`` is the target of a symlink or hard link.
    """

    path: bytes
    kind: Kind = "file"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = _NO_XATTRS
    sparse: tuple[tuple[int, int], ...] | None = None

    @property
    def shown(self) -> str:
        """The path as messages show it: one line, however odd it is."""
        text = self.path[:200].decode("utf-8", "backslashreplace")
        text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
        return text + ("..." if len(self.path) > 200 else "")
