"""What a guest with arbitrary system calls tries, and what it meets: one line an attempt.

``whole`` is the answer in a container as it is shipped. ``bare`` is the answer in one whose seccomp filter was left out
by the test's build: what Landlock, namespaces, mounts and lost capabilities stop by themselves. "done" stands for
success; where that is right the line says why. Loaded before the sandbox shuts: nothing can be imported after it.
"""

import ctypes
import errno
import os
import struct

from numbers_x86_64 import MORE

from wherry.linux.openat import openat2
from wherry.linux.syscalls import NUMBERS

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
AT_FDCWD = -100
PAGE = 4096
SIGCHLD = 17
EMPTY = ctypes.create_string_buffer(4096)
"""A zeroed structure for calls that want one."""
MANY = 1100
"""More descriptors than RLIMIT_NOFILE's usual soft limit."""
ROOT_FD = 3
"""What the guest's root is open as."""


class Context:
    """What the test tells its container: a process of the host's, a file, an abstract socket and a port with a
    listener, and the one port that its policy allows where there is one."""

    def __init__(self, words: list[str]) -> None:
        self.pid, self.secret, self.abstract = int(words[0]), words[1], words[2]
        self.listener, self.port = int(words[3]), int(words[4])


def call(name, *arguments):
    """A raw system call; raises OSError with its errno."""
    number = NUMBERS.get(name, MORE.get(name))
    words = [
        ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) if isinstance(word, bytes) else word
        for word in arguments
    ]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def outcome(attempt, context):
    """The attempt's answer: "done", an errno's name, or the word it returned."""
    try:
        return attempt(context) or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def raw(name, *arguments):
    """An attempt of one system call. A descriptor it made is closed again."""
    makes = name in ("socket", "open", "openat", "pidfd_open", "memfd_create", "fsopen", "open_tree", "userfaultfd")

    def attempt(_):
        result = call(name, *arguments)
        if makes:
            os.close(result)

    return attempt


def opening(path, flags=os.O_RDONLY):
    def attempt(_):
        os.close(os.open(path, flags, 0o600))

    return attempt


def of_host(verb):
    """An attempt on the test's own process, by its number on the host."""
    return lambda context: verb(context.pid)


def secret_by(prefix):
    return lambda context: os.close(os.open(prefix + context.secret, os.O_RDONLY))


def climb(_):
    """From every folder that is open, up and up: where does it end?"""
    top = os.stat("/")
    for fd in range(MANY):
        try:
            here = openat2("../" * 64, os.O_PATH | os.O_DIRECTORY, dir_fd=fd, resolve=0)
        except OSError:
            continue
        found = os.fstat(here)
        os.close(here)
        if (found.st_dev, found.st_ino) != (top.st_dev, top.st_ino):
            return f"fd {fd} leads out"
    return "stays"


def secret_from_every_folder(context):
    for fd in range(MANY):
        for resolve in (0, 0x10):
            for path in (context.secret, "../" * 64 + context.secret.lstrip("/")):
                answer = errno.EAGAIN  # somebody on this machine renamed or mounted something meanwhile
                while answer == errno.EAGAIN:
                    try:
                        os.close(openat2(path, os.O_RDONLY, dir_fd=fd, resolve=resolve))
                        return f"opened from fd {fd}"
                    except OSError as error:
                        answer = error.errno
                if answer not in (errno.ENOENT, errno.ENOTDIR, errno.EBADF):
                    return errno.errorcode[answer]
    return "ENOENT"


def descriptors(_):
    """Each open descriptor: its kind, how it was opened, and which folder or file it is."""
    folders = {(status.st_dev, status.st_ino): path for path in ("/", "/ro", "/scratch") for status in [os.stat(path)]}
    kinds = {0o010000: "fifo", 0o040000: "folder", 0o100000: "file", 0o020000: "device", 0o140000: "socket"}
    found = []
    for fd in range(MANY):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        kind = kinds.get(status.st_mode & 0o170000, oct(status.st_mode))
        which = folders.get((status.st_dev, status.st_ino), str(status.st_ino)) if kind in ("folder", "file") else ""
        found.append(f"{fd}:{kind}:{('r', 'w', 'rw', '')[call('fcntl', fd, 3) & 3]}:{which}")
    return " ".join(found)


def chroot_escape(_):
    try:
        os.mkdir("/scratch/cell")
    except FileExistsError:
        pass
    call("chroot", b"/scratch/cell")


def handle(_):
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 200)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, b"/", buffer, ctypes.byref(mount), 0)
    call("open_by_handle_at", ROOT_FD, buffer, os.O_RDONLY)


def guessed_handle(_):
    """The classic way out of a container: the host's root by the number of its inode."""
    buffer = ctypes.create_string_buffer(struct.pack("IiQ", 8, 1, 2), 200)
    call("open_by_handle_at", ROOT_FD, buffer, os.O_RDONLY)


def whiteout(_):
    os.close(os.open("/scratch/a", os.O_CREAT | os.O_WRONLY, 0o600))
    call("renameat2", AT_FDCWD, b"/scratch/a", AT_FDCWD, b"/scratch/b", 4)


def memfd_exec(_):
    fd = call("memfd_create", b"x", 0)
    os.write(fd, b"no program")
    call("execveat", fd, b"", None, None, 0x1000)


def abstract(context):
    """A socket of the host's that has no file."""
    fd = call("socket", 1, 1, 0)
    try:
        name = struct.pack("H", 1) + b"\0" + context.abstract.encode()
        call("connect", fd, name, len(name))
    finally:
        os.close(fd)


def inet(port, *address):
    return ctypes.create_string_buffer(struct.pack("=H2s4s8x", 2, port.to_bytes(2, "big"), bytes(address)), 16)


def connect_tcp(port):
    fd = call("socket", 2, 1, 0)
    try:
        call("connect", fd, inet(port, 127, 0, 0, 1), 16)
    finally:
        os.close(fd)


def bind_tcp(port):
    fd = call("socket", 2, 1, 0)
    try:
        call("setsockopt", fd, 1, 2, struct.pack("i", 1), 4)
        call("bind", fd, inet(port, 127, 0, 0, 1), 16)
    finally:
        os.close(fd)


def udp(_):
    fd = call("socket", 2, 2, 0)
    try:
        call("sendto", fd, b"x", 1, 0, inet(53, 192, 0, 2, 1), 16)
    finally:
        os.close(fd)


def executable_memory(name):
    def attempt(_):
        if name == "mmap":
            call("mmap", 0, PAGE, 7, 0x22, -1, 0)
        else:
            page = libc.syscall(ctypes.c_long(NUMBERS["mmap"]), *map(ctypes.c_long, (0, PAGE, 3, 0x22, -1, 0)))
            call(name, page, PAGE, 5, *([-1] if name == "pkey_mprotect" else []))

    return attempt


def forks(_):
    """A bomb's first hundred."""
    made = 0
    for _ in range(100):
        try:
            if call("clone", SIGCHLD, 0, 0, 0, 0) == 0:
                os._exit(0)
            made += 1
        except OSError as error:
            last = error.errno
    return f"{made} made" if made else errno.errorcode[last]


def quick_fork(name, *arguments):
    def attempt(_):
        if call(name, *arguments) == 0:
            os._exit(0)

    return attempt


def all_descriptors(_):
    held = []
    try:
        while len(held) < 1 << 20:
            held.append(os.open("/", os.O_RDONLY))
    finally:
        for fd in held:
            os.close(fd)


def borrowed_write(_):
    """Every inherited descriptor of a file or a folder, as a way to write to what it is."""
    for fd in range(3, MANY):
        try:
            if os.fstat(fd).st_mode & 0o170000 == 0o100000:
                os.write(fd, b"")
                call("mmap", 0, PAGE, 3, 1, fd, 0)
                return f"fd {fd} can be written"
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.EACCES):
                return errno.errorcode[error.errno]
    return "none"


def x32(_):
    """getpid(2) by the number of the other ABI."""
    if libc.syscall(ctypes.c_long(0x40000000 | NUMBERS["getpid"])) < 0:
        raise OSError(ctypes.get_errno(), "x32")


def other_architecture(_):
    """exit(0) by int 0x80, in the one page that libffi keeps writable and executable."""
    code = bytes((0xB8, 1, 0, 0, 0, 0x31, 0xDB, 0xCD, 0x80))
    entry = ctypes.CFUNCTYPE(ctypes.c_int)(int)
    ctypes.memmove(ctypes.cast(entry, ctypes.c_void_p), code, len(code))
    entry()
