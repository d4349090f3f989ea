"""Which system calls a guest's process needs once its sandbox is shut: the seccomp policy as data.

The process is CPython running wasmtime's code and our WASI: memory, files, clocks, polling, its own signals. No new
process, no program, no namespace, no mount, no privilege, nothing executable made or mapped any more.
"""

import errno
import fcntl
import mmap
import socket
import termios
from collections.abc import Mapping

from wherry.linux import bpf, clone, seccomp

_RENAME_WHITEOUT = 4  # makes a device node; linux/fs.h

ALLOWED = frozenset(
    """
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close fstat newfstatat statx lseek munmap
    mremap madvise brk rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack dup dup2 dup3 poll ppoll select pselect6
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday getpid gettid getppid getuid geteuid getgid
    getegid getrandom openat openat2 open access getdents64 readlinkat unlinkat renameat linkat symlinkat
    mkdirat utimensat ftruncate fallocate fadvise64 fsync fdatasync fstatfs faccessat faccessat2 exit exit_group futex
    sched_yield sched_getaffinity set_robust_list rseq restart_syscall timerfd_create timerfd_settime timerfd_gettime
    epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 pipe2 close_range getrusage times uname sysinfo membarrier
    """.split()
)

SOCKET_CALLS = frozenset(
    """
    bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt sendto recvfrom sendmsg sendmmsg
    recvmsg shutdown
    """.split()
)
"""Allowed beside those to a guest that imports sockets, in a container that has a network."""

CONDITIONS: Mapping[str, bpf.Condition] = {
    "mmap": bpf.NoneOfBits(2, mmap.PROT_EXEC),
    "mprotect": bpf.NoneOfBits(2, mmap.PROT_EXEC),
    "fcntl": bpf.OneOf(
        1, (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC)
    ),
    "renameat2": bpf.NoneOfBits(4, _RENAME_WHITEOUT),
    "ioctl": bpf.OneOf(1, (termios.FIONREAD, termios.FIONBIO, termios.TCGETS, termios.TIOCGWINSZ)),
}

_SOCKET_TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_SOCKET_FLAGS = tuple(
    cloexec | nonblock for cloexec in (0, socket.SOCK_CLOEXEC) for nonblock in (0, socket.SOCK_NONBLOCK)
)
SOCKET_CONDITIONS: Mapping[str, bpf.Condition] = {
    # Netlink, packet and vsock are no guest's business. A protocol other than the family's own (MPTCP, SCTP, SMC) would
    # be a way around Landlock's rules, which know TCP alone.
    "socket": bpf.Every(
        (
            bpf.OneOf(0, (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)),
            bpf.OneOf(1, tuple(kind | flags for kind in _SOCKET_TYPES for flags in _SOCKET_FLAGS)),
            bpf.OneOf(2, (0,)),
        )
    ),
}

_CLONE_THREAD = 0x3D0F00
"""CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID and CHILD_CLEARTID: what pthread_create(3) asks
for, by glibc."""
THREAD_CONDITIONS: Mapping[str, bpf.Condition] = {"clone": bpf.OneOf(0, (_CLONE_THREAD,))}
"""A guest that imports wasi.thread-spawn may start threads of its own process, and no process."""

_CLONE_PROCESS = 0x1200011
"""CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID and SIGCHLD: what fork(3) asks for, by glibc."""
_SERVERS = frozenset(("wait4", "kill"))
_SERVERS_CONDITIONS: Mapping[str, bpf.Condition] = {
    "clone": bpf.OneOf(0, (_CLONE_PROCESS,)),
    "prctl": bpf.OneOf(0, (clone.PR_SET_PDEATHSIG,)),
    "seccomp": bpf.OneOf(0, (seccomp.SET_MODE_FILTER,)),
    "socketpair": bpf.OneOf(0, (socket.AF_UNIX,)),
}
_TERMINATORS = frozenset(("shutdown", "getsockname", "getpeername", "getsockopt", "setsockopt"))
_WORKERS = frozenset(("recvfrom", "recvmsg", "sendto", "sendmsg"))

REFUSED = {"clone3": errno.ENOSYS}
"""glibc falls back from clone3 to clone only on ENOSYS."""


def programs() -> tuple[bytes, ...]:
    """The filters as BPF: without and with sockets; then both again with threads. Made once, by `start`."""
    return tuple(
        bpf.assemble(
            ALLOWED | (SOCKET_CALLS if sockets else frozenset()),
            {**CONDITIONS, **(SOCKET_CONDITIONS if sockets else {}), **(THREAD_CONDITIONS if threads else {})},
            refused=REFUSED,
        )
        for threads in (False, True)
        for sockets in (False, True)
    )


def server_programs(*, sockets: bool) -> tuple[bytes, bytes]:
    """The filters of a server of HTTP, which runs no guest and forks those that do, and, on top of it, of those.
    ``sockets``: their guests import sockets, in a container that has a network."""
    own = SOCKET_CONDITIONS if sockets else {}
    server = bpf.assemble(
        ALLOWED | SOCKET_CALLS | _SERVERS, {**CONDITIONS, **own, **_SERVERS_CONDITIONS}, refused=REFUSED
    )
    calls = SOCKET_CALLS if sockets else _WORKERS
    return server, bpf.assemble(ALLOWED | calls, {**CONDITIONS, **own}, refused=REFUSED)


def terminator_program() -> bytes:
    """The filter, on top of a server's, of what speaks TLS for it: it runs no guest and starts nothing."""
    pair = {"socketpair": _SERVERS_CONDITIONS["socketpair"]}
    return bpf.assemble(ALLOWED | _WORKERS | _TERMINATORS, {**CONDITIONS, **pair}, refused=REFUSED)
