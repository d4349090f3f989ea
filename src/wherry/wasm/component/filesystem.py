"""wasi:filesystem: descriptors as preview 1's entries, with its rights, its resolution of paths and its read-only
folders. What is done to a file is wasi/path.py's and wasi/fs.py's; here are the other words for it.

https://github.com/WebAssembly/wasi-filesystem/blob/v0.2.0/imports.md
"""

from __future__ import annotations

import os
import stat
from struct import pack

from wherry.wasm.component.codes import file_code
from wherry.wasm.component.io import CHUNK, InputStream, OutputStream, input_of, output_of
from wherry.wasm.component.state import State, StreamError
from wherry.wasm.component.values import Failed
from wherry.wasm.sha256 import sha256
from wherry.wasm.wasi import abi, fs, path, syscalls
from wherry.wasm.wasi.errno import BADF, INVAL, NAMETOOLONG, NOENT, WasiError
from wherry.wasm.wasi.memory import PATH_MAX
from wherry.wasm.wasi.table import Entry

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from wherry.wasm.component.state import Table

    Flags = tuple[str, ...]
    Timestamp = tuple[str, Any]

_NANO = 1_000_000_000
_TYPES = {
    stat.S_IFBLK: "block-device",
    stat.S_IFCHR: "character-device",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFLNK: "symbolic-link",
    stat.S_IFREG: "regular-file",
    stat.S_IFSOCK: "socket",
}
_OFLAGS = {
    "create": abi.OFLAG_CREAT,
    "directory": abi.OFLAG_DIRECTORY,
    "exclusive": abi.OFLAG_EXCL,
    "truncate": abi.OFLAG_TRUNC,
}
_RIGHTS = {"read": abi.RIGHT_FD_READ, "write": abi.RIGHT_FD_WRITE}
_FDFLAGS = {
    "file-integrity-sync": abi.FDFLAG_SYNC,
    "data-integrity-sync": abi.FDFLAG_DSYNC,
    "requested-write-sync": abi.FDFLAG_RSYNC,
}
_ADVICE = ("normal", "sequential", "random", "will-need", "dont-need", "no-reuse")


class Descriptor:
    """An entry, whose descriptor is closed when neither the guest nor a stream of it refers to this any more."""

    __slots__ = ("entry", "preopened")

    def __init__(self, entry: Entry, *, preopened: bool = False) -> None:
        self.entry = entry
        self.preopened = preopened

    def __del__(self) -> None:
        if not self.preopened and self.entry.fd >= 0:
            os.close(self.entry.fd)


def _name(text: str) -> bytes:
    """INVAL: there is a NUL in it; NAMETOOLONG; NOENT: it is empty."""
    name = text.encode()
    if len(name) >= PATH_MAX:
        raise WasiError(NAMETOOLONG)
    if b"\0" in name:
        raise WasiError(INVAL)
    if not name:
        raise WasiError(NOENT)
    return name


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Failed("illegal-byte-sequence") from None


def _flags(words: Flags, table: dict[str, int]) -> int:
    return sum(table[word] for word in words if word in table)


def _need(descriptor: Descriptor, right: int) -> int:
    """The host's descriptor; BADF where it was opened without that right, ISDIR for a folder."""
    entry = descriptor.entry
    if entry.filetype() == abi.DIRECTORY:
        raise IsADirectoryError(21, "is a directory")
    if not entry.rights & right:
        raise WasiError(BADF)
    return entry.fd


def _directories(state: State) -> list[tuple[Descriptor, str]]:
    entries = (state.host.table.entries[number] for number in sorted(state.host.table.entries))
    return [
        (Descriptor(entry, preopened=True), os.fsdecode(entry.preopen))
        for entry in entries
        if entry.preopen is not None and entry.kind == abi.DIRECTORY
    ]


def _open(_state: State, at: Descriptor, follow: Flags, text: str, how: Flags, flags: Flags) -> Descriptor:
    opened = path.open_at(
        at.entry,
        _name(text),
        follow="symlink-follow" in follow,
        oflags=_flags(how, _OFLAGS),
        rights=_flags(flags, _RIGHTS),
        fdflags=_flags(flags, _FDFLAGS),
    )
    return Descriptor(opened)


def _read_stream(_state: State, file: Descriptor, offset: int) -> InputStream:
    _need(file, abi.RIGHT_FD_READ)
    return input_of(file.entry, fs.offset(offset), file)


def _write_stream(_state: State, file: Descriptor, offset: int) -> OutputStream:
    _need(file, abi.RIGHT_FD_WRITE)
    return output_of(file.entry, fs.offset(offset), file)


def _append_stream(_state: State, file: Descriptor) -> OutputStream:
    _need(file, abi.RIGHT_FD_WRITE)
    return output_of(file.entry, 0, file, append=True)


def _read(_state: State, file: Descriptor, size: int, offset: int) -> tuple[bytes, bool]:
    data = os.pread(_need(file, abi.RIGHT_FD_READ), min(size, CHUNK), fs.offset(offset))
    return data, not data and size > 0


def _write(_state: State, file: Descriptor, data: bytes, offset: int) -> int:
    return os.pwrite(_need(file, abi.RIGHT_FD_WRITE), data, fs.offset(offset))


def _advise(_state: State, file: Descriptor, start: int, size: int, advice: str) -> None:
    number = fs.ADVICE[_ADVICE.index(advice)]
    os.posix_fadvise(_need(file, abi.RIGHT_FD_ADVISE), fs.offset(start), fs.offset(size), number)


def _set_size(_state: State, file: Descriptor, size: int) -> None:
    os.ftruncate(_need(file, abi.RIGHT_FD_FILESTAT_SET_SIZE), fs.offset(size))


def _get_flags(_state: State, file: Descriptor) -> Flags:
    entry = file.entry
    words = [word for word, flag in _FDFLAGS.items() if entry.flags & flag == flag]
    if entry.filetype() == abi.DIRECTORY:
        return ("read", *words, *(() if entry.readonly else ("mutate-directory",)))
    return (*(word for word, right in _RIGHTS.items() if entry.rights & right), *words)


def _kind(mode: int) -> str:
    return _TYPES.get(stat.S_IFMT(mode), "unknown")


def _status(found: os.stat_result) -> tuple[Any, ...]:
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return (_kind(found.st_mode), found.st_nlink, found.st_size, *(_datetime(time) for time in times))


def _datetime(nanoseconds: int) -> tuple[int, int] | None:
    """Times before 1970 have no word."""
    return divmod(nanoseconds, _NANO) if nanoseconds >= 0 else None


def _timespec(stamp: Timestamp) -> tuple[int, int]:
    case, when = stamp
    if case == "timestamp":
        seconds, nanoseconds = when
        if seconds >= 1 << 62 or nanoseconds >= _NANO:
            raise WasiError(INVAL)
        return fs.timespec(seconds * _NANO + nanoseconds, given=1, now=0)
    return fs.timespec(0, given=0, now=case == "now")


def _set_times(_state: State, file: Descriptor, access: Timestamp, change: Timestamp) -> None:
    file.entry.need(abi.RIGHT_FD_FILESTAT_SET_TIMES)
    syscalls.utimensat(file.entry.fd, b"", (*_timespec(access), *_timespec(change)), 0)


def _set_times_at(
    _state: State, at: Descriptor, follow: Flags, text: str, access: Timestamp, change: Timestamp
) -> None:
    spec = (*_timespec(access), *_timespec(change))
    path.set_times(at.entry, _name(text), spec, follow="symlink-follow" in follow)


def _status_at(at: Descriptor, follow: Flags, text: str) -> os.stat_result:
    return path.status(at.entry, _name(text), follow="symlink-follow" in follow)


def _link(_state: State, old: Descriptor, follow: Flags, source: str, new: Descriptor, target: str) -> None:
    path.link(old.entry, _name(source), new.entry, _name(target), follow="symlink-follow" in follow)


def _list(_state: State, folder: Descriptor) -> Iterator[tuple[str, bytes]]:
    """The entries as they are now, without ``.`` and ``..``."""
    path.need_folder(folder.entry, abi.RIGHT_FD_READDIR)
    with os.scandir(folder.entry.fd) as found:
        return iter([(_kind_of(item), os.fsencode(item.name)) for item in found])


def _kind_of(item: os.DirEntry[str]) -> str:
    try:
        return _kind(item.stat(follow_symlinks=False).st_mode)
    except OSError:
        return "unknown"  # gone between the listing and the look


def _next(_state: State, listing: Iterator[tuple[str, bytes]]) -> tuple[str, str] | None:
    found = next(listing, None)
    return None if found is None else (found[0], _text(found[1]))


def _hash(found: os.stat_result) -> tuple[int, int]:
    """Of what it is, not of how it is; what it is made of is not told."""
    digest = sha256(pack("=QQ", found.st_dev, found.st_ino)).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def _same(_state: State, one: Descriptor, other: Descriptor) -> bool:
    return os.path.samestat(os.fstat(one.entry.fd), os.fstat(other.entry.fd))


def _error_code(_state: State, error: StreamError) -> str | None:
    return file_code(error.errno)


_D = "[method]descriptor"
INTERFACES: dict[str, Table] = {
    "wasi:filesystem/preopens": {"get-directories": _directories},
    "wasi:filesystem/types": {
        f"{_D}.read-via-stream": _read_stream,
        f"{_D}.write-via-stream": _write_stream,
        f"{_D}.append-via-stream": _append_stream,
        f"{_D}.advise": _advise,
        f"{_D}.sync-data": lambda _state, file: os.fdatasync(file.entry.fd),
        f"{_D}.get-flags": _get_flags,
        f"{_D}.get-type": lambda _state, file: _kind(os.fstat(file.entry.fd).st_mode),
        f"{_D}.set-size": _set_size,
        f"{_D}.set-times": _set_times,
        f"{_D}.read": _read,
        f"{_D}.write": _write,
        f"{_D}.read-directory": _list,
        f"{_D}.sync": lambda _state, file: os.fsync(file.entry.fd),
        f"{_D}.create-directory-at": lambda _state, at, text: path.make_folder(at.entry, _name(text)),
        f"{_D}.stat": lambda _state, file: _status(os.fstat(file.entry.fd)),
        f"{_D}.stat-at": lambda _state, at, follow, text: _status(_status_at(at, follow, text)),
        f"{_D}.set-times-at": _set_times_at,
        f"{_D}.link-at": _link,
        f"{_D}.open-at": _open,
        f"{_D}.readlink-at": lambda _state, at, text: _text(path.read_link(at.entry, _name(text))),
        f"{_D}.remove-directory-at": lambda _state, at, text: path.remove_folder(at.entry, _name(text)),
        f"{_D}.rename-at": lambda _state, old, source, new, target: path.rename(
            old.entry, _name(source), new.entry, _name(target)
        ),
        f"{_D}.symlink-at": lambda _state, at, target, text: path.symlink(at.entry, _name(target), _name(text)),
        f"{_D}.unlink-file-at": lambda _state, at, text: path.unlink(at.entry, _name(text)),
        f"{_D}.is-same-object": _same,
        f"{_D}.metadata-hash": lambda _state, file: _hash(os.fstat(file.entry.fd)),
        f"{_D}.metadata-hash-at": lambda _state, at, follow, text: _hash(_status_at(at, follow, text)),
        "[method]directory-entry-stream.read-directory-entry": _next,
        "filesystem-error-code": _error_code,
    },
}
