"""Paths: every path_* function. They name files below an open folder and never reach outside it: see resolve.py.

Each is a face of a function that works on entries of the descriptor table and names; components have another face for
those: see component/filesystem.py.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#functions
"""

import os

from wherry.wasm.wasi import abi, fs, resolve, syscalls
from wherry.wasm.wasi.errno import EXIST, INVAL, NOTDIR, PERM, ROFS, SUCCESS, WasiError
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.table import Entry

_FOLLOW = abi.LOOKUP_SYMLINK_FOLLOW
_FILE_MODE = 0o666
_FOLDER_MODE = 0o777
_OFLAGS = {
    abi.OFLAG_CREAT: os.O_CREAT,
    abi.OFLAG_DIRECTORY: os.O_DIRECTORY,
    abi.OFLAG_EXCL: os.O_EXCL,
    abi.OFLAG_TRUNC: os.O_TRUNC,
}
_FDFLAGS = {
    abi.FDFLAG_APPEND: os.O_APPEND,
    abi.FDFLAG_DSYNC: os.O_DSYNC,
    abi.FDFLAG_NONBLOCK: os.O_NONBLOCK,
    abi.FDFLAG_RSYNC: os.O_RSYNC,
    abi.FDFLAG_SYNC: os.O_SYNC,
}


def _linux_flags(flags: dict[int, int]) -> tuple[int, ...]:
    """Linux's flags by every combination of WASI's (O_SYNC contains O_DSYNC: so they are joined, not added)."""
    table = []
    for number in range(1 << len(flags)):
        joined = 0
        for wasi, linux in flags.items():
            joined |= linux if number & wasi else 0
        table.append(joined)
    return tuple(table)


_LINUX_OFLAGS = _linux_flags(_OFLAGS)
_LINUX_FDFLAGS = _linux_flags(_FDFLAGS)


def need_folder(entry: Entry, right: int) -> Entry:
    """The entry, if it is a folder with that right. NOTDIR, NOTCAPABLE, ROFS."""
    if not entry.rights & right:
        if entry.filetype() != abi.DIRECTORY:
            raise WasiError(NOTDIR)
        entry.need(right)
    return entry


def make_folder(entry: Entry, name: bytes) -> None:
    """ACCES, DQUOT, EXIST, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, PERM, ROFS."""
    with resolve.Place(need_folder(entry, abi.RIGHT_PATH_CREATE_DIRECTORY), name) as place:
        os.mkdir(place.name, _FOLDER_MODE, dir_fd=place.folder)


def path_create_directory(host: Host, fd: int, path: int, path_len: int) -> int:
    """ACCES, BADF, DQUOT, EXIST, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, PERM, ROFS."""
    name = host.memory.path(path, path_len)
    make_folder(host.table.get(fd), name)
    return SUCCESS


def status(entry: Entry, name: bytes, *, follow: bool) -> os.stat_result:
    """ACCES, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM."""
    return resolve.status(need_folder(entry, abi.RIGHT_PATH_FILESTAT_GET), name, follow=follow)


def path_filestat_get(host: Host, fd: int, flags: int, path: int, path_len: int, stat: int) -> int:
    """ACCES, BADF, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM."""
    name = host.memory.path(path, path_len)
    host.memory.write(stat, fs.filestat(status(host.table.get(fd), name, follow=bool(flags & _FOLLOW))))
    return SUCCESS


def set_times(entry: Entry, name: bytes, spec: tuple[int, int, int, int], *, follow: bool) -> None:
    """``spec`` is as syscalls.utimensat has it. ACCES, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM, ROFS."""
    opened = resolve.open_path(need_folder(entry, abi.RIGHT_PATH_FILESTAT_SET_TIMES), name, follow=follow)
    try:
        syscalls.utimensat(opened, b"", spec, 0)
    finally:
        os.close(opened)


def path_filestat_set_times(
    host: Host, fd: int, flags: int, path: int, path_len: int, atim: int, mtim: int, fst_flags: int
) -> int:
    """ACCES, BADF, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM, ROFS."""
    name = host.memory.path(path, path_len)
    spec = fs.times(atim, mtim, fst_flags)
    set_times(host.table.get(fd), name, spec, follow=bool(flags & _FOLLOW))
    return SUCCESS


def link(start: Entry, source: bytes, end: Entry, target: bytes, *, follow: bool) -> None:
    """INVAL: a symlink is to be followed, which wasmtime refuses too. ACCES, EXIST, LOOP, MLINK, NAMETOOLONG, NOENT,
    NOSPC, NOTDIR, PERM, ROFS, XDEV."""
    if follow:
        raise WasiError(INVAL)
    need_folder(start, abi.RIGHT_PATH_LINK_SOURCE)
    need_folder(end, abi.RIGHT_PATH_LINK_TARGET)
    with resolve.Place(start, source) as old, resolve.Place(end, target) as new:
        os.link(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder, follow_symlinks=False)


def path_link(
    host: Host,
    old_fd: int,
    old_flags: int,
    old_path: int,
    old_path_len: int,
    new_fd: int,
    new_path: int,
    new_path_len: int,
) -> int:
    """ACCES, BADF, EXIST, LOOP, MLINK, NAMETOOLONG, NOENT, NOSPC, NOTDIR, PERM, ROFS, XDEV.

    INVAL: a symlink is to be followed, which wasmtime refuses too.
    """
    source = host.memory.path(old_path, old_path_len)
    target = host.memory.path(new_path, new_path_len)
    start, end = host.table.get(old_fd), host.table.get(new_fd)
    link(start, source, end, target, follow=bool(old_flags & _FOLLOW))
    return SUCCESS


def open_at(entry: Entry, name: bytes, *, follow: bool, oflags: int, rights: int, fdflags: int) -> Entry:
    """A new entry, in no table yet; of ``rights`` only reading and writing count. ACCES, EXIST, INVAL, ISDIR, LOOP,
    MFILE, NAMETOOLONG, NFILE, NOENT, NOSPC, NOTDIR, PERM, ROFS, TXTBSY."""
    need_folder(entry, abi.RIGHT_PATH_OPEN)
    if oflags > abi.OFLAGS_ALL or fdflags > abi.FDFLAGS_ALL:
        raise WasiError(INVAL)
    linux = _LINUX_OFLAGS[oflags] | _LINUX_FDFLAGS[fdflags] | os.O_NOCTTY
    if not follow:
        linux |= os.O_NOFOLLOW
    hidden = 0
    if not rights & abi.RIGHT_FD_WRITE:
        hidden = abi.RIGHTS_WRITING
    else:
        linux |= os.O_RDWR if rights & abi.RIGHT_FD_READ else os.O_WRONLY
    if not rights & abi.RIGHT_FD_READ:
        hidden |= abi.RIGHT_FD_READ
    _check_open(entry, oflags, rights)
    if oflags & abi.OFLAG_CREAT and entry.readonly:
        _must_exist(entry, name, oflags)
        linux &= ~(os.O_CREAT | os.O_EXCL)
    mode = _FILE_MODE if linux & os.O_CREAT else 0
    opened = resolve.open_beneath(*resolve.start(entry, name), linux, mode)
    inheriting = entry.inheriting
    new = Entry(opened, inheriting & ~hidden, inheriting, flags=fdflags, readonly=entry.readonly)
    if oflags & abi.OFLAG_DIRECTORY:
        new.kind = abi.DIRECTORY
        new.rights &= abi.RIGHTS_FOLDER
    return new


def path_open(
    host: Host,
    fd: int,
    dirflags: int,
    path: int,
    path_len: int,
    oflags: int,
    rights_base: int,
    rights_inheriting: int,
    fdflags: int,
    opened_fd: int,
) -> int:
    """ACCES, BADF, EXIST, INVAL, ISDIR, LOOP, MFILE, NAMETOOLONG, NFILE, NOENT, NOSPC, NOTDIR, PERM, ROFS, TXTBSY."""
    name = host.memory.path(path, path_len)
    follow = bool(dirflags & _FOLLOW)
    new = open_at(host.table.get(fd), name, follow=follow, oflags=oflags, rights=rights_base, fdflags=fdflags)
    host.memory.put_u32(opened_fd, host.table.add(new))
    return SUCCESS


def _check_open(entry: Entry, oflags: int, rights: int) -> None:
    """What the folder must allow for opening like that."""
    if oflags & abi.OFLAG_CREAT and not entry.readonly:
        entry.need(abi.RIGHT_PATH_CREATE_FILE)
    if oflags & abi.OFLAG_TRUNC:
        entry.need(abi.RIGHT_PATH_FILESTAT_SET_SIZE)
    if rights & abi.RIGHT_FD_WRITE and entry.readonly:
        raise WasiError(ROFS)


def _must_exist(entry: Entry, name: bytes, oflags: int) -> None:
    """In a read-only folder CREAT opens what is there, as Linux has it; what is not can't be made: ROFS."""
    try:
        resolve.status(entry, name, follow=not oflags & abi.OFLAG_EXCL)
    except FileNotFoundError:
        raise WasiError(ROFS) from None
    if oflags & abi.OFLAG_EXCL:
        raise WasiError(EXIST)


def read_link(entry: Entry, name: bytes) -> bytes:
    """ACCES, INVAL: not a symlink; LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM."""
    need_folder(entry, abi.RIGHT_PATH_READLINK)
    if name.endswith(b"/"):
        # A trailing slash would make the kernel follow the link, wherever it leads.
        os.close(resolve.open_path(entry, name, follow=True))
        raise WasiError(INVAL)
    with resolve.Place(entry, name) as place:
        return os.readlink(place.name, dir_fd=place.folder)


def path_readlink(host: Host, fd: int, path: int, path_len: int, buf: int, buf_len: int, bufused: int) -> int:
    """ACCES, BADF, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM. What does not fit is cut off."""
    name = host.memory.path(path, path_len)
    target = read_link(host.table.get(fd), name)[:buf_len]
    host.memory.write(buf, target)
    host.memory.put_u32(bufused, len(target))
    return SUCCESS


def remove_folder(entry: Entry, name: bytes) -> None:
    """ACCES, BUSY, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, NOTEMPTY, PERM, ROFS."""
    with resolve.Place(need_folder(entry, abi.RIGHT_PATH_REMOVE_DIRECTORY), name) as place:
        os.rmdir(place.name, dir_fd=place.folder)


def path_remove_directory(host: Host, fd: int, path: int, path_len: int) -> int:
    """ACCES, BADF, BUSY, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, NOTEMPTY, PERM, ROFS."""
    name = host.memory.path(path, path_len)
    remove_folder(host.table.get(fd), name)
    return SUCCESS


def rename(start: Entry, source: bytes, end: Entry, target: bytes) -> None:
    """ACCES, BUSY, INVAL, ISDIR, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, NOTEMPTY, PERM, ROFS, XDEV."""
    need_folder(start, abi.RIGHT_PATH_RENAME_SOURCE)
    need_folder(end, abi.RIGHT_PATH_RENAME_TARGET)
    with resolve.Place(start, source) as old, resolve.Place(end, target) as new:
        os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)


def path_rename(
    host: Host, fd: int, old_path: int, old_path_len: int, new_fd: int, new_path: int, new_path_len: int
) -> int:
    """ACCES, BADF, BUSY, INVAL, ISDIR, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, NOTEMPTY, PERM, ROFS, XDEV."""
    source = host.memory.path(old_path, old_path_len)
    target = host.memory.path(new_path, new_path_len)
    rename(host.table.get(fd), source, host.table.get(new_fd), target)
    return SUCCESS


def symlink(entry: Entry, target: bytes, name: bytes) -> None:
    """ACCES, DQUOT, EXIST, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, ROFS; PERM: an absolute target."""
    need_folder(entry, abi.RIGHT_PATH_SYMLINK)
    if target.startswith(b"/"):
        raise WasiError(PERM)
    with resolve.Place(entry, name) as place:
        os.symlink(target, place.name, dir_fd=place.folder)


def path_symlink(host: Host, old_path: int, old_path_len: int, fd: int, new_path: int, new_path_len: int) -> int:
    """ACCES, BADF, DQUOT, EXIST, LOOP, NAMETOOLONG, NOENT, NOSPC, NOTDIR, ROFS; PERM: an absolute target."""
    target = host.memory.path(old_path, old_path_len)
    name = host.memory.path(new_path, new_path_len)
    symlink(host.table.get(fd), target, name)
    return SUCCESS


def unlink(entry: Entry, name: bytes) -> None:
    """ACCES, BUSY, ISDIR, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM, ROFS."""
    with resolve.Place(need_folder(entry, abi.RIGHT_PATH_UNLINK_FILE), name) as place:
        os.unlink(place.name, dir_fd=place.folder)


def path_unlink_file(host: Host, fd: int, path: int, path_len: int) -> int:
    """ACCES, BADF, BUSY, ISDIR, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM, ROFS."""
    name = host.memory.path(path, path_len)
    unlink(host.table.get(fd), name)
    return SUCCESS
