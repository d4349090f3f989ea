"""The numbers and layouts of WASI preview 1: file types, rights, flags, structs. Errnos have their own module.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
"""

import stat
from struct import Struct

# filetype: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#filetype
UNKNOWN = 0
BLOCK_DEVICE = 1
CHARACTER_DEVICE = 2
DIRECTORY = 3
REGULAR_FILE = 4
SOCKET_DGRAM = 5
SOCKET_STREAM = 6
SYMBOLIC_LINK = 7

_FILETYPES = {
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFREG: REGULAR_FILE,
    stat.S_IFLNK: SYMBOLIC_LINK,
    stat.S_IFSOCK: SOCKET_STREAM,
}


def filetype(mode: int) -> int:
    """The WASI file type of a ``st_mode``. WASI has no FIFO: that is UNKNOWN."""
    return _FILETYPES.get(mode & 0o170000, UNKNOWN)


# rights: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#rights
RIGHT_FD_DATASYNC = 1 << 0
RIGHT_FD_READ = 1 << 1
RIGHT_FD_SEEK = 1 << 2
RIGHT_FD_FDSTAT_SET_FLAGS = 1 << 3
RIGHT_FD_SYNC = 1 << 4
RIGHT_FD_TELL = 1 << 5
RIGHT_FD_WRITE = 1 << 6
RIGHT_FD_ADVISE = 1 << 7
RIGHT_FD_ALLOCATE = 1 << 8
RIGHT_PATH_CREATE_DIRECTORY = 1 << 9
RIGHT_PATH_CREATE_FILE = 1 << 10
RIGHT_PATH_LINK_SOURCE = 1 << 11
RIGHT_PATH_LINK_TARGET = 1 << 12
RIGHT_PATH_OPEN = 1 << 13
RIGHT_FD_READDIR = 1 << 14
RIGHT_PATH_READLINK = 1 << 15
RIGHT_PATH_RENAME_SOURCE = 1 << 16
RIGHT_PATH_RENAME_TARGET = 1 << 17
RIGHT_PATH_FILESTAT_GET = 1 << 18
RIGHT_PATH_FILESTAT_SET_SIZE = 1 << 19
RIGHT_PATH_FILESTAT_SET_TIMES = 1 << 20
RIGHT_FD_FILESTAT_GET = 1 << 21
RIGHT_FD_FILESTAT_SET_SIZE = 1 << 22
RIGHT_FD_FILESTAT_SET_TIMES = 1 << 23
RIGHT_PATH_SYMLINK = 1 << 24
RIGHT_PATH_REMOVE_DIRECTORY = 1 << 25
RIGHT_PATH_UNLINK_FILE = 1 << 26
RIGHT_POLL_FD_READWRITE = 1 << 27
RIGHT_SOCK_SHUTDOWN = 1 << 28
RIGHT_SOCK_ACCEPT = 1 << 29

RIGHTS_ALL = (1 << 30) - 1
RIGHTS_SEEKING = RIGHT_FD_SEEK | RIGHT_FD_TELL
# What needs a descriptor opened for writing.
RIGHTS_WRITING = RIGHT_FD_WRITE | RIGHT_FD_ALLOCATE | RIGHT_FD_FILESTAT_SET_SIZE
# What changes the folder it is done in, or the files below it.
RIGHTS_CHANGING_FOLDERS = (
    RIGHT_PATH_CREATE_DIRECTORY
    | RIGHT_PATH_CREATE_FILE
    | RIGHT_PATH_LINK_TARGET
    | RIGHT_PATH_RENAME_SOURCE
    | RIGHT_PATH_RENAME_TARGET
    | RIGHT_PATH_FILESTAT_SET_SIZE
    | RIGHT_PATH_FILESTAT_SET_TIMES
    | RIGHT_PATH_SYMLINK
    | RIGHT_PATH_REMOVE_DIRECTORY
    | RIGHT_PATH_UNLINK_FILE
)
RIGHTS_CHANGING = (
    RIGHTS_CHANGING_FOLDERS
    | RIGHT_FD_WRITE
    | RIGHT_FD_ALLOCATE
    | RIGHT_FD_FILESTAT_SET_SIZE
    | RIGHT_FD_FILESTAT_SET_TIMES
)
RIGHTS_FOLDER = (
    RIGHTS_CHANGING_FOLDERS
    | RIGHT_PATH_LINK_SOURCE
    | RIGHT_PATH_OPEN
    | RIGHT_FD_READDIR
    | RIGHT_PATH_READLINK
    | RIGHT_PATH_FILESTAT_GET
    | RIGHT_FD_FILESTAT_GET
    | RIGHT_FD_FILESTAT_SET_TIMES
    | RIGHT_FD_FDSTAT_SET_FLAGS
    | RIGHT_FD_SYNC
    | RIGHT_FD_DATASYNC
    | RIGHT_FD_ADVISE
)
RIGHTS_FILE = (
    RIGHT_FD_DATASYNC
    | RIGHT_FD_READ
    | RIGHT_FD_SEEK
    | RIGHT_FD_FDSTAT_SET_FLAGS
    | RIGHT_FD_SYNC
    | RIGHT_FD_TELL
    | RIGHT_FD_WRITE
    | RIGHT_FD_ADVISE
    | RIGHT_FD_ALLOCATE
    | RIGHT_FD_FILESTAT_GET
    | RIGHT_FD_FILESTAT_SET_SIZE
    | RIGHT_FD_FILESTAT_SET_TIMES
    | RIGHT_POLL_FD_READWRITE
)

# A connected socket's, or one still to be connected; and a listening one's.
RIGHTS_SOCKET = (
    RIGHT_FD_READ
    | RIGHT_FD_WRITE
    | RIGHT_FD_FDSTAT_SET_FLAGS
    | RIGHT_FD_FILESTAT_GET
    | RIGHT_POLL_FD_READWRITE
    | RIGHT_SOCK_SHUTDOWN
    | RIGHT_SOCK_ACCEPT
)

# preopentype: the specification has one, a folder. A libc skips what it does not know and looks at the next descriptor.
PREOPEN_DIR = 0
PREOPEN_SOCKET = 1

# riflags, roflags, sdflags
RIFLAG_PEEK = 1
RIFLAG_WAITALL = 2
ROFLAG_DATA_TRUNCATED = 1
SDFLAG_RD = 1
SDFLAG_WR = 2

# fdflags: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#fdflags
FDFLAG_APPEND = 1
FDFLAG_DSYNC = 2
FDFLAG_NONBLOCK = 4
FDFLAG_RSYNC = 8
FDFLAG_SYNC = 16
FDFLAGS_ALL = 31

# lookupflags, oflags, fstflags
LOOKUP_SYMLINK_FOLLOW = 1
OFLAG_CREAT = 1
OFLAG_DIRECTORY = 2
OFLAG_EXCL = 4
OFLAG_TRUNC = 8
OFLAGS_ALL = 15
FST_ATIM = 1
FST_ATIM_NOW = 2
FST_MTIM = 4
FST_MTIM_NOW = 8
FSTFLAGS_ALL = 15

# clockid: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#clockid
CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
CLOCK_PROCESS_CPUTIME = 2
CLOCK_THREAD_CPUTIME = 3

# eventtype, subclockflags, eventrwflags
EVENT_CLOCK = 0
EVENT_FD_READ = 1
EVENT_FD_WRITE = 2
SUBSCRIPTION_CLOCK_ABSTIME = 1
EVENT_FD_READWRITE_HANGUP = 1

U16 = Struct("<H")
U32 = Struct("<I")
U64 = Struct("<Q")
IOVEC = Struct("<II")  # buf, buf_len
FDSTAT = Struct("<BxH4xQQ")  # filetype, flags, rights_base, rights_inheriting
FILESTAT = Struct("<QQB7xQQQQQ")  # dev, ino, filetype, nlink, size, atim, mtim, ctim
DIRENT = Struct("<QQIB3x")  # next, ino, namlen, type
PRESTAT = Struct("<B3xI")  # tag, name length
SUBSCRIPTION = Struct("<QB7xI4xQQH6x")  # userdata, tag, fd or clock id, timeout, precision, flags
EVENT = Struct("<QHB5xQH6x")  # userdata, error, type, nbytes, flags
