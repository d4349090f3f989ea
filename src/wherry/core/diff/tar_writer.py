"""Writing tar archives: entries and their data in, bytes out; equal entries make equal bytes. Always pax."""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping

from wherry.core.diff.entries import Entry, Kind
from wherry.errors import Conflict

_BLOCK = 512
_PIECE = 256 << 10
_FLAGS: Mapping[Kind, bytes] = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def header(entry: Entry) -> bytes:
    """The entry's header blocks."""
    info = tarfile.TarInfo(os.fsdecode(entry.path))
    info.type = _FLAGS[entry.kind]
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    info.size = entry.size if entry.kind == "file" else 0
    info.linkname = os.fsdecode(entry.link)
    info.devmajor, info.devminor = entry.device
    seconds, nanoseconds = divmod(entry.mtime_ns, 10**9)
    info.mtime = seconds
    pax = {f"SCHILY.xattr.{name}": os.fsdecode(value) for name, value in sorted(entry.xattrs.items())}
    if nanoseconds or seconds < 0:
        sign, (seconds, nanoseconds) = (
            ("-", divmod(-entry.mtime_ns, 10**9)) if seconds < 0 else ("", (seconds, nanoseconds))
        )
        pax["mtime"] = f"{sign}{seconds}.{nanoseconds:09}"
    info.pax_headers = pax
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


class TarWriter:
    """Writes into ``sink``: `add` each entry, then `finish`."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink

    def add(self, entry: Entry, data: Iterable[bytes] = ()) -> None:
        """Conflict: ``data`` has not the size that the entry says."""
        for piece in self.pieces(entry, data):
            self._sink(piece)

    def pieces(self, entry: Entry, data: Iterable[bytes] = ()) -> Iterator[bytes]:
        """What `add` writes."""
        yield header(entry)
        if entry.kind != "file":
            return
        left = entry.size
        for chunk in data:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            raise Conflict(f"{entry.shown} changed while it was read: stop what writes to it and try again")
        if padding := -entry.size % _BLOCK:
            yield bytes(padding)

    def finish(self) -> None:
        self._sink(bytes(2 * _BLOCK))


def archived(entries: Iterable[tuple[Entry, Iterable[bytes]]]) -> Iterator[bytes]:
    """The archive of ``entries`` with their data, in pieces of some 256 KiB. Errors as `TarWriter.add`."""
    waiting: list[bytes] = []
    writer = TarWriter(waiting.append)
    size = 0
    for entry, data in entries:
        for piece in writer.pieces(entry, data):
            waiting.append(piece)
            size += len(piece)
            if size >= _PIECE:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
    writer.finish()
    yield b"".join(waiting)
