"""Reading tar archives: bytes in, entries and their data out. Nothing is written here, no path is judged.

ustar, pax (POSIX.1-2001) and GNU archives, long names and sparse files in all their forms. Input is hostile: every
size is bounded before memory is taken for it, every fault is an InvalidArgument.
Sources: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (pax and ustar interchange formats);
https://www.gnu.org/software/tar/manual/html_node/Standard.html and Sparse-Formats.html
"""

import functools
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from wherry.core.diff import sparse
from wherry.core.diff.entries import PATH_LIMIT, Entry, Kind
from wherry.errors import InvalidArgument

BLOCK = 512
_EXTENSION_LIMIT = 1 << 20  # bytes of one pax header or long name; xattrs may have 64 KiB each
_CHUNK = 1 << 20
_ZEROS = bytes(BLOCK)
_OCTAL = b"01234567"
_SLASH = ord("/")
_FILE = (b"0", b"\0")
_FIELDS = struct.Struct("100s 24s 12s 12s 8s c 100x 255s")
"""A header as its name; mode, owner and group; size; time; checksum; kind; and what follows the link."""

_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "character",
    b"4": "block",
    b"5": "directory",
    b"D": "directory",
    b"6": "fifo",
}
_PAX_XATTR = "SCHILY.xattr."
_REPEATED = ("GNU.sparse.offset", "GNU.sparse.numbytes")


class Stream(Protocol):
    """What an archive is read from: ``read(n)`` gives up to n bytes, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Common(NamedTuple):
    """What is alike in header after header, with the bytes that it was read from."""

    ids: bytes
    rest: bytes
    mode: int
    uid: int
    gid: int
    prefix: bytes


_NOTHING = _Common(b"", b"", 0, 0, 0, b"")


class TarReader:
    """Iterate over it for the entries; read each one's data (`data`) before the next is asked for, or not at all."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._piece = b""  # of the stream; up to `_at` it was used
        self._at = 0
        self._before = 0  # bytes of the stream before the piece
        self._left = 0  # bytes of the present entry's data that were not read yet
        self._padding = 0
        self._globals: dict[str, bytes] = {}
        self._common = _NOTHING

    @property
    def offset(self) -> int:
        """How many bytes of the archive were used; after an entry came, that is where its data begins."""
        return self._before + self._at

    def __iter__(self) -> Iterator[Entry]:
        """InvalidArgument at the first thing that is wrong."""
        extended: dict[str, bytes] = {}
        while (block := self._next_header()) is not None:
            kind = block[156:157]
            if kind in _FILE and not extended and not self._globals and (entry := self._plain_file(block)):
                yield entry
                continue
            self._common = _NOTHING
            size = _number(block, 124, 12, "size")
            if kind in b"xXgLK":
                self._extend(extended, kind, self._extension(size))
                continue
            if kind == b"V":  # a volume's label
                self._begin(size)
                continue
            yield self._entry(block, kind, size, {**self._globals, **extended})
            extended = {}

    def _next_header(self) -> bytes | None:
        start = self._at + self._left + self._padding
        end = start + BLOCK
        block: bytes | None
        if end <= len(self._piece):
            block = self._piece[start:end]
            self._at, self._left, self._padding = end, 0, 0
        else:
            self.skip()
            block = self._block()
            if block is None:
                return None
        if block == _ZEROS:
            if self._block() in (None, _ZEROS):
                return None
            raise InvalidArgument("the archive is corrupt: data after its end")
        if not _sums_up(block, block[148:156]):
            _check_sum(block)
        return block

    def _block(self) -> bytes | None:
        block = self._read(BLOCK)
        if block and len(block) < BLOCK:
            raise InvalidArgument("the archive is truncated: it ends within a header")
        return block or None

    def _read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end of the stream."""
        start, end = self._at, self._at + size
        if end <= len(self._piece):
            self._at = end
            return self._piece[start:end]
        parts = []
        while size and (data := self._some(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        """Up to ``size`` bytes, none only at the end of the stream."""
        if self._at == len(self._piece):
            self._before += self._at
            self._piece, self._at = self._stream.read(_CHUNK), 0
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        return data

    def _begin(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _extension(self, size: int) -> bytes:
        if size > _EXTENSION_LIMIT:
            raise InvalidArgument(
                f"the archive has an extended header of {size} bytes, at most {_EXTENSION_LIMIT} are read"
            )
        self._begin(size)
        return b"".join(self._chunks())

    def _extend(self, extended: dict[str, bytes], kind: bytes, data: bytes) -> None:
        if kind == b"g":
            self._globals |= _pax_records(data)
        elif kind == b"L":
            extended["path"] = data.rstrip(b"\0")
        elif kind == b"K":
            extended["linkpath"] = data.rstrip(b"\0")
        else:
            extended |= _pax_records(data)
        if len(self._globals) + len(extended) > 1000:
            raise InvalidArgument("the archive has too many extended header records")

    def _plain_file(self, block: bytes) -> Entry | None:
        """What most headers are, read quickly; None if this one wants a closer look."""
        name, ids, digits, time, _, _, rest = _FIELDS.unpack(block)
        known = self._common
        if ids != known.ids or rest != known.rest:
            known = self._common = _in_common(ids, rest)
        path = known.prefix + name.partition(b"\0")[0]
        if not path or path[-1] == _SLASH:
            return None
        size = self._left = _size(digits)
        self._padding = -size % BLOCK
        return Entry(path, "file", known.mode, known.uid, known.gid, size, _header_time(time))

    def alike(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Files that come next, as far as they have the mode and owner of the last one and were read already: path,
        time and data. One counts as taken when the next is asked for; where this ends or is left, iteration goes on."""
        known, piece = self._common, self._piece
        start = self._at + self._left + self._padding
        while not self._globals:
            begin = start + BLOCK
            name, ids, digits, time, checksum, kind, rest = _FIELDS.unpack(piece[start:begin].ljust(BLOCK, b"\0"))
            if kind != b"0" or ids != known.ids or rest != known.rest:
                return
            size = _size(digits)
            end = begin + size
            path = known.prefix + name.partition(b"\0")[0]
            if end > len(piece) or not _sums_up(piece[start:begin], checksum) or not path or path[-1] == _SLASH:
                return
            yield path, _header_time(time), piece[begin:end]
            self._at, self._left, self._padding = end, 0, -size % BLOCK
            start = end + self._padding

    def _entry(self, block: bytes, flag: bytes, size: int, pax: Mapping[str, bytes]) -> Entry:
        path = pax.get("GNU.sparse.name") or pax.get("path") or _path(block)
        link = pax.get("linkpath", _text(block, 157, 100))
        if len(path) > PATH_LIMIT or len(link) > PATH_LIMIT:
            raise InvalidArgument(f"the archive has a path of more than {PATH_LIMIT} bytes: {path[:40]!r}...")
        if not path or b"\0" in path or b"\0" in link:
            raise InvalidArgument(f"the archive has an invalid path: {path[:80]!r}")
        kind = _KINDS.get(flag)
        if kind is None:
            raise InvalidArgument(f"entry {path[:80]!r} is of a kind that layers cannot have: {flag!r}")
        if kind == "file" and path.endswith(b"/"):  # as before POSIX
            kind = "directory"
        stored = _pax_number(pax, "size", size)
        self._begin(stored if kind == "file" or (kind == "directory" and flag != b"5") else 0)
        stretches, real = self._sparse_map(block, flag, pax, stored) if kind == "file" else (None, 0)
        return Entry(
            path=path,
            kind=kind,
            mode=_number(block, 100, 8, "mode") & 0o7777,
            uid=_pax_number(pax, "uid", None) if "uid" in pax else _number(block, 108, 8, "uid"),
            gid=_pax_number(pax, "gid", None) if "gid" in pax else _number(block, 116, 8, "gid"),
            size=real,
            mtime_ns=_pax_time(pax["mtime"]) if "mtime" in pax else _header_time(block[136:148]),
            link=link,
            device=_device(block) if kind in ("character", "block") else (0, 0),
            xattrs=_xattrs(pax),
            sparse=stretches,
        )

    def _sparse_map(
        self, block: bytes, flag: bytes, pax: Mapping[str, bytes], stored: int
    ) -> tuple[tuple[tuple[int, int], ...] | None, int]:
        """The stretches that have data (None: no sparse file) and the file's real size."""
        found: list[tuple[int, int]]
        if flag == b"S":
            found = sparse.old_gnu(block, self._read)
            real = _number(block, 483, 12, "real size")
        elif pax.get("GNU.sparse.major") == b"1":
            before = self._left
            found = sparse.in_data(self._take)
            stored -= before - self._left
            real = _pax_number(pax, "GNU.sparse.realsize", None)
        elif "GNU.sparse.map" in pax:
            found = sparse.in_header(pax["GNU.sparse.map"])
            real = _pax_number(pax, "GNU.sparse.size", None)
        elif "GNU.sparse.size" in pax and "GNU.sparse.numblocks" in pax:
            found = sparse.in_records(*(pax.get(key, b"") for key in _REPEATED))
            real = _pax_number(pax, "GNU.sparse.size", None)
        else:
            return None, stored
        return sparse.checked(found, stored=stored, real=real), real

    def _take(self, size: int) -> bytes:
        """``size`` bytes of the entry's data."""
        data = self._read(min(size, self._left))
        if len(data) < size:
            raise InvalidArgument("the archive is truncated: it ends within a file")
        self._left -= size
        return data

    def _chunks(self) -> Iterator[bytes]:
        while self._left:
            data = self._some(self._left)
            if not data:
                raise InvalidArgument("the archive is truncated: it ends within a file")
            self._left -= len(data)
            yield data

    def data(self) -> Iterable[bytes]:
        """The present entry's stored bytes; of a sparse file, its stretches one after another."""
        start, end = self._at, self._at + self._left
        if end > len(self._piece):
            return self._chunks()
        self._at, self._left = end, 0
        return (self._piece[start:end],) if end > start else ()

    def skip(self) -> None:
        """Go to the end of the present entry."""
        end = self._at + self._left + self._padding
        if end <= len(self._piece):
            self._at = end
        else:
            for _ in self._chunks():
                pass
            if len(self._read(self._padding)) < self._padding:
                raise InvalidArgument("the archive is truncated: it ends within a file")
        self._left = self._padding = 0


def _text(block: bytes, start: int, length: int) -> bytes:
    return block[start : start + length].partition(b"\0")[0]


def _path(block: bytes) -> bytes:
    name = _text(block, 0, 100)
    prefix = _text(block, 345, 155) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _sums_up(block: bytes, checksum: bytes) -> bool:
    """Adler-32 has the sum of all bytes, modulo 65521 and one more: Python has no quicker way to add them up."""
    return (zlib.adler32(block) - 1) & 0xFFFF == _whole_sum(checksum)


def _check_sum(block: bytes) -> None:
    """InvalidArgument: a header's checksum is wrong."""
    stored = _number(block, 148, 8, "checksum")
    found = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stored not in (found, found - 256 * sum(byte > 127 for byte in block)):  # old tars took signed bytes
        raise InvalidArgument("the archive is corrupt, or no tar archive: a header's checksum is wrong")


@functools.lru_cache(maxsize=1024)
def _whole_sum(field: bytes) -> int:
    """What all bytes of a header with this checksum add up to; the checksum takes its own for spaces."""
    return _parsed(field) - 8 * 0x20 + sum(field)


def _in_common(ids: bytes, rest: bytes) -> _Common:
    """``ids`` and ``rest`` as in `_FIELDS`. InvalidArgument."""
    mode, uid, gid = (_number(ids, start, 8, what) for start, what in ((0, "mode"), (8, "uid"), (16, "gid")))
    prefix = _text(rest, 345 - 257, 155) if rest[:6] == b"ustar\0" else b""
    return _Common(ids, rest, mode & 0o7777, uid, gid, prefix + b"/" if prefix else b"")


@functools.lru_cache(maxsize=1024)
def _size(digits: bytes) -> int:
    return _number(digits, 0, 12, "size")


@functools.lru_cache(maxsize=64)
def _header_time(field: bytes) -> int:
    return _bounded(_parsed(field)) * 10**9


def _number(block: bytes, start: int, length: int, what: str) -> int:
    value = _parsed(block[start : start + length])
    if value < 0:
        raise InvalidArgument(f"the archive is corrupt: a header's {what} is negative")
    return value


@functools.lru_cache(maxsize=1024)  # modes, owners and times are the same in header after header
def _parsed(field: bytes) -> int:
    """Octal digits, or GNU's base 256 (first bit set, two's complement)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        value = value - (1 << bits) if field[0] == 0xFF else value & ~(1 << (bits - 1))
        if not -(2**63) <= value < 2**63:
            raise InvalidArgument("the archive is corrupt: a header's number is too large")
        return value
    digits = field.replace(b"\0", b" ").strip()
    if not digits:
        return 0
    if digits.strip(_OCTAL):
        raise InvalidArgument("the archive is corrupt, or no tar archive: a header's number is not octal")
    return int(digits, 8)


def _device(block: bytes) -> tuple[int, int]:
    major, minor = _number(block, 329, 8, "device"), _number(block, 337, 8, "device")
    if major > 0xFFF or minor > 0xFFFFF:
        raise InvalidArgument(f"the archive has an impossible device number: {major}:{minor}")
    return major, minor


def _pax_records(data: bytes) -> dict[str, bytes]:
    """``LENGTH KEY=VALUE\\n`` each, the length counting the whole record. An empty value takes a key away."""
    records: dict[str, bytes] = {}
    repeated: dict[str, list[bytes]] = {key: [] for key in _REPEATED}
    position = 0
    while position < len(data) and data[position] != 0:
        end, keyword, value = _pax_record(data, position)
        position = end
        if keyword in repeated:
            repeated[keyword].append(value)
        else:
            records[keyword] = value
    joined = {key: b",".join(values) for key, values in repeated.items() if values}
    return records | joined


def _pax_record(data: bytes, start: int) -> tuple[int, str, bytes]:
    space = data.find(b" ", start, start + 8)
    digits = data[start:space] if space > 0 else b""
    end = start + int(digits) if digits.isdigit() else 0
    equals = data.find(b"=", space, end) if space > 0 else -1
    if equals < 0 or end > len(data) or data[end - 1 : end] != b"\n":
        raise InvalidArgument("the archive is corrupt: a pax record is malformed")
    return end, data[space + 1 : equals].decode("utf-8", "backslashreplace"), data[equals + 1 : end - 1]


def _pax_number(pax: Mapping[str, bytes], key: str, default: int | None) -> int:
    text = pax.get(key)
    if not text and default is not None:
        return default
    if not text or len(text) > 19 or not text.isdigit():
        raise InvalidArgument(f"the archive is corrupt: pax {key} is not a number")
    return int(text)


def _xattrs(pax: Mapping[str, bytes]) -> dict[str, bytes]:
    if not pax:
        return {}
    found = {key.removeprefix(_PAX_XATTR): value for key, value in pax.items() if key.startswith(_PAX_XATTR)}
    for name in found:
        if not name.isprintable() or len(name.encode("utf-8", "replace")) > 255:
            raise InvalidArgument(f"the archive has an invalid xattr name: {name[:80]!r}")
    return found


def _bounded(seconds: int) -> int:
    """Times that no filesystem can hold become the nearest that a 64-bit nanosecond count can."""
    return max(-(2**63) // 10**9, min(seconds, 2**63 // 10**9 - 1))


def _pax_time(text: bytes) -> int:
    """Seconds with a fraction, as nanoseconds; no float is precise enough."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    whole = whole.removeprefix(b"-")
    if not whole.isdigit() or len(whole) > 11 or (fraction and not fraction.isdigit()):
        raise InvalidArgument("the archive is corrupt: pax mtime is not a time")
    value = _bounded(int(whole)) * 10**9 + int(fraction[:9].ljust(9, b"0"))
    return -value if negative else value
