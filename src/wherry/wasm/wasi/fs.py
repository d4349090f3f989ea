"""Open descriptors: every fd_* function but fd_readdir (readdir.py). Paths are path.py's.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#functions
"""

import fcntl
import os
from os import preadv, pwritev, readv, writev

from wherry.wasm.wasi import abi, syscalls
from wherry.wasm.wasi.errno import (
    BADF,
    INVAL,
    NAMETOOLONG,
    NOTCAPABLE,
    NOTSUP,
    SUCCESS,
    WasiError,
)
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.table import Entry

_READ = abi.RIGHT_FD_READ
_WRITE = abi.RIGHT_FD_WRITE
_OFFSET_LIMIT = 1 << 63
_NANO = 1_000_000_000
# By WASI's number: normal, sequential, random, willneed, dontneed, noreuse.
ADVICE = (
    os.POSIX_FADV_NORMAL,
    os.POSIX_FADV_SEQUENTIAL,
    os.POSIX_FADV_RANDOM,
    os.POSIX_FADV_WILLNEED,
    os.POSIX_FADV_DONTNEED,
    os.POSIX_FADV_NOREUSE,
)
_WHENCE = (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)
_ATIMS = abi.FST_ATIM | abi.FST_ATIM_NOW
_MTIMS = abi.FST_MTIM | abi.FST_MTIM_NOW
_SYNC_FLAGS = abi.FDFLAG_DSYNC | abi.FDFLAG_RSYNC | abi.FDFLAG_SYNC


def offset(value: int) -> int:
    """A file size or offset; INVAL beyond what Linux can hold."""
    if value >= _OFFSET_LIMIT:
        raise WasiError(INVAL)
    return value


def times(atim: int, mtim: int, fst_flags: int) -> tuple[int, int, int, int]:
    """The two timespecs that fstflags ask for; INVAL where they contradict each other."""
    if fst_flags & ~abi.FSTFLAGS_ALL or fst_flags & _ATIMS == _ATIMS or fst_flags & _MTIMS == _MTIMS:
        raise WasiError(INVAL)
    return (
        *timespec(atim, fst_flags & abi.FST_ATIM, fst_flags & abi.FST_ATIM_NOW),
        *timespec(mtim, fst_flags & abi.FST_MTIM, fst_flags & abi.FST_MTIM_NOW),
    )


def timespec(nanoseconds: int, given: int, now: int) -> tuple[int, int]:
    """A timespec for utimensat(2): what is given, or now, or leave it."""
    if now:
        return 0, syscalls.UTIME_NOW
    return divmod(nanoseconds, _NANO) if given else (0, syscalls.UTIME_OMIT)


def filestat(status: os.stat_result, kind: int | None = None) -> bytes:
    """The ``filestat`` of a stat result; times before 1970 wrap as unsigned. ``kind`` is the file type if it is known
    better than the mode tells (a socket's)."""
    mask = 0xFFFFFFFFFFFFFFFF
    return abi.FILESTAT.pack(
        status.st_dev,
        status.st_ino,
        abi.filetype(status.st_mode) if kind is None else kind,
        status.st_nlink,
        status.st_size,
        status.st_atime_ns & mask,
        status.st_mtime_ns & mask,
        status.st_ctime_ns & mask,
    )


def fd_advise(host: Host, fd: int, start: int, length: int, advice: int) -> int:
    """BADF, INVAL, SPIPE."""
    entry = host.table.get(fd)
    if advice >= len(ADVICE):
        return INVAL
    os.posix_fadvise(entry.fd, offset(start), offset(length), ADVICE[advice])
    return SUCCESS


def fd_allocate(host: Host, fd: int, start: int, length: int) -> int:
    """BADF, FBIG, INVAL, NOSPC, NODEV, SPIPE."""
    entry = host.table.get(fd)
    if not entry.rights & abi.RIGHT_FD_ALLOCATE:
        return BADF
    os.posix_fallocate(entry.fd, offset(start), offset(length))
    return SUCCESS


def fd_close(host: Host, fd: int) -> int:
    """BADF; IO, NOSPC, DQUOT if what was written before could not be kept."""
    entry = host.table.remove(fd)
    number, entry.fd = entry.fd, -1
    os.close(number)
    return SUCCESS


def fd_datasync(host: Host, fd: int) -> int:
    """BADF, INVAL, IO, NOSPC."""
    os.fdatasync(host.table.get(fd).fd)
    return SUCCESS


def fd_sync(host: Host, fd: int) -> int:
    """BADF, INVAL, IO, NOSPC."""
    os.fsync(host.table.get(fd).fd)
    return SUCCESS


def fd_fdstat_get(host: Host, fd: int, stat: int) -> int:
    """BADF."""
    entry = host.table.get(fd)
    kind = entry.filetype()
    host.memory.write(stat, abi.FDSTAT.pack(kind, entry.flags, entry.rights, entry.inheriting))
    return SUCCESS


def fd_fdstat_set_flags(host: Host, fd: int, flags: int) -> int:
    """BADF, INVAL; NOTSUP: Linux can't change the sync flags of an open file."""
    entry = host.table.get(fd)
    if flags & ~abi.FDFLAGS_ALL:
        return INVAL
    if (flags ^ entry.flags) & _SYNC_FLAGS:
        return NOTSUP
    entry.need(abi.RIGHT_FD_FDSTAT_SET_FLAGS)
    linux = fcntl.fcntl(entry.fd, fcntl.F_GETFL) & ~(os.O_APPEND | os.O_NONBLOCK)
    linux |= os.O_APPEND if flags & abi.FDFLAG_APPEND else 0
    linux |= os.O_NONBLOCK if flags & abi.FDFLAG_NONBLOCK else 0
    fcntl.fcntl(entry.fd, fcntl.F_SETFL, linux)
    entry.flags = flags
    return SUCCESS


def fd_fdstat_set_rights(host: Host, fd: int, base: int, inheriting: int) -> int:
    """BADF; NOTCAPABLE: rights can only be dropped."""
    entry = host.table.get(fd)
    entry.filetype()
    if base & ~entry.rights or inheriting & ~entry.inheriting:
        return NOTCAPABLE
    entry.rights = base
    entry.inheriting = inheriting
    return SUCCESS


def fd_filestat_get(host: Host, fd: int, stat: int) -> int:
    """BADF, IO."""
    entry = host.table.get(fd)
    host.memory.write(stat, filestat(os.fstat(entry.fd), entry.kind))
    return SUCCESS


def fd_filestat_set_size(host: Host, fd: int, size: int) -> int:
    """BADF, FBIG, INVAL, NOSPC."""
    entry = host.table.get(fd)
    if not entry.rights & abi.RIGHT_FD_FILESTAT_SET_SIZE:
        return BADF
    os.ftruncate(entry.fd, offset(size))
    return SUCCESS


def fd_filestat_set_times(host: Host, fd: int, atim: int, mtim: int, fst_flags: int) -> int:
    """BADF, INVAL, PERM, ROFS."""
    entry = host.table.get(fd)
    spec = times(atim, mtim, fst_flags)
    entry.need(abi.RIGHT_FD_FILESTAT_SET_TIMES)
    syscalls.utimensat(entry.fd, b"", spec, 0)
    return SUCCESS


def fd_read(host: Host, fd: int, iovs: int, iovs_len: int, nread: int) -> int:
    """AGAIN, BADF, INTR, IO, ISDIR."""
    memory = host.memory
    entry = _readable(host, fd)
    memory.put_u32(nread, readv(entry.fd, memory.iovecs(iovs, iovs_len)))
    return SUCCESS


def fd_pread(host: Host, fd: int, iovs: int, iovs_len: int, start: int, nread: int) -> int:
    """BADF, INVAL, IO, ISDIR, SPIPE."""
    memory = host.memory
    entry = _readable(host, fd)
    memory.put_u32(nread, preadv(entry.fd, memory.iovecs(iovs, iovs_len), offset(start)))
    return SUCCESS


def fd_write(host: Host, fd: int, iovs: int, iovs_len: int, nwritten: int) -> int:
    """AGAIN, BADF, DQUOT, FBIG, INTR, IO, NOSPC, PIPE."""
    memory = host.memory
    entry = _writable(host, fd)
    memory.put_u32(nwritten, writev(entry.fd, memory.iovecs(iovs, iovs_len)))
    return SUCCESS


def fd_pwrite(host: Host, fd: int, iovs: int, iovs_len: int, start: int, nwritten: int) -> int:
    """BADF, DQUOT, FBIG, INVAL, IO, NOSPC, SPIPE."""
    memory = host.memory
    entry = _writable(host, fd)
    memory.put_u32(nwritten, pwritev(entry.fd, memory.iovecs(iovs, iovs_len), offset(start)))
    return SUCCESS


def _readable(host: Host, fd: int) -> Entry:
    entry = host.table.entries.get(fd)
    if entry is None or not entry.rights & _READ:
        raise WasiError(BADF)
    return entry


def _writable(host: Host, fd: int) -> Entry:
    entry = host.table.entries.get(fd)
    if entry is None or not entry.rights & _WRITE:
        raise WasiError(BADF)
    return entry


def fd_prestat_get(host: Host, fd: int, prestat: int) -> int:
    """BADF, which ends a libc's search for preopens: also for what is open but none."""
    entry = host.table.entries.get(fd)  # raising would be what each program waits for at its start
    name = entry.preopen if entry is not None else None
    if entry is None or name is None:
        return BADF
    tag = abi.PREOPEN_DIR if entry.kind == abi.DIRECTORY else abi.PREOPEN_SOCKET
    host.memory.write(prestat, abi.PRESTAT.pack(tag, len(name)))
    return SUCCESS


def fd_prestat_dir_name(host: Host, fd: int, path: int, path_len: int) -> int:
    """BADF, NAMETOOLONG: the buffer is too small. A preopened socket's name is empty: some libraries do not look at the
    type and give up where there is no name."""
    name = host.table.get(fd).preopen
    if name is None:
        return BADF
    if path_len < len(name):
        return NAMETOOLONG
    host.memory.write(path, name)
    return SUCCESS


def fd_renumber(host: Host, fd: int, to: int) -> int:
    """BADF: both must be open; ``to``'s old file is closed."""
    replaced = host.table.renumber(fd, to)
    if replaced is not None:
        number, replaced.fd = replaced.fd, -1
        os.close(number)
    return SUCCESS


def fd_seek(host: Host, fd: int, delta: int, whence: int, newoffset: int) -> int:
    """BADF (also for a folder), INVAL, OVERFLOW, SPIPE."""
    entry = _seekable(host, fd)
    if whence >= len(_WHENCE):
        return INVAL
    signed = delta - (delta >> 63 << 64)
    host.memory.put_u64(newoffset, os.lseek(entry.fd, signed, _WHENCE[whence]))
    return SUCCESS


def fd_tell(host: Host, fd: int, position: int) -> int:
    """BADF (also for a folder), SPIPE."""
    entry = _seekable(host, fd)
    host.memory.put_u64(position, os.lseek(entry.fd, 0, os.SEEK_CUR))
    return SUCCESS


def _seekable(host: Host, fd: int) -> Entry:
    entry = host.table.get(fd)
    if entry.filetype() == abi.DIRECTORY:
        raise WasiError(BADF)
    return entry
