"""Every attempt with its two answers: see attempts.py."""

import ctypes
import os
import struct

from attempts import (
    AT_FDCWD,
    EMPTY,
    PAGE,
    ROOT_FD,
    SIGCHLD,
    abstract,
    all_descriptors,
    bind_tcp,
    borrowed_write,
    call,
    chroot_escape,
    climb,
    connect_tcp,
    descriptors,
    executable_memory,
    forks,
    guessed_handle,
    handle,
    memfd_exec,
    of_host,
    opening,
    quick_fork,
    raw,
    secret_by,
    secret_from_every_folder,
    udp,
    whiteout,
    x32,
)  # fmt: skip

W = os.O_WRONLY
ZEROS = bytes(64)
NOT_TRIED = ""
"""In a bare container: it would end the attempts."""
NEW = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000,
       "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x80}  # fmt: skip
CLONE_ARGS = ctypes.create_string_buffer(struct.pack("11Q", 0, 0, 0, 0, SIGCHLD, *[0] * 6))
CLONE_USER = ctypes.create_string_buffer(struct.pack("11Q", NEW["user"], 0, 0, 0, SIGCHLD, *[0] * 6))
REMOTE = ctypes.create_string_buffer(struct.pack("QQ", 0x1000, 8))

FILES = [
    ("the open descriptors", descriptors, "", ""),
    ("a file of the host by its path", secret_by(""), "ENOENT", "ENOENT"),
    ("a file of the host through ..", secret_by("/.." * 32), "ENOENT", "ENOENT"),
    ("a file of the host through /proc/self/root", secret_by("/proc/self/root"), "ENOENT", "ENOENT"),
    ("a file of the host through /proc/1/root", secret_by("/proc/1/root"), "ENOENT", "ENOENT"),
    ("a file of the host by openat2 from every folder", secret_from_every_folder, "ENOENT", "ENOENT"),
    ("up from every folder", climb, "stays", "stays"),
    ("out of a volume", opening("/ro/../../../etc/passwd"), "ENOENT", "ENOENT"),
    ("a link in the image to /proc/1/root", opening("/way-out"), "ENOENT", "ENOENT"),
    ("/proc", opening("/proc/self/status"), "ENOENT", "ENOENT"),
    ("/sys", opening("/sys/kernel"), "ENOENT", "ENOENT"),
    ("/dev/mem", opening("/dev/mem"), "ENOENT", "ENOENT"),
    ("/dev/kmsg", opening("/dev/kmsg"), "ENOENT", "ENOENT"),
    ("a device of the image", opening("/zero"), "EACCES", "EACCES"),
    ("a device in a volume", opening("/ro/zero"), "EACCES", "EACCES"),
    ("mknodat of a device", raw("mknodat", AT_FDCWD, b"/scratch/d", 0o020666, 0x103), "EPERM", "EACCES"),
    ("mknodat of a FIFO", raw("mknodat", AT_FDCWD, b"/scratch/f", 0o010666, 0), "EPERM", "done"),  # its own
    ("a device by RENAME_WHITEOUT", whiteout, "EPERM", "done"),
    ("writing a file of a read-only volume", opening("/ro/note", W), "EROFS|EACCES", "EROFS|EACCES"),
    ("making one in a read-only volume", opening("/ro/new", W | os.O_CREAT), "EROFS", "EROFS"),
    ("truncating one", opening("/ro/note", W | os.O_TRUNC), "EROFS|EACCES", "EROFS|EACCES"),
    ("removing one", raw("unlinkat", AT_FDCWD, b"/ro/note", 0), "EROFS", "EROFS"),
    ("touching one", lambda _: os.utime("/ro/note"), "EROFS", "EROFS"),
    ("linking it elsewhere", raw("linkat", AT_FDCWD, b"/ro/note", AT_FDCWD, b"/mine", 0), "EXDEV", "EXDEV"),
    ("making the volume writable", raw("mount", b"", b"/ro", b"", 0x1020, None), "EPERM", "EPERM"),
    ("making it writable by mount_setattr",
     raw("mount_setattr", AT_FDCWD, b"/ro", 0, ctypes.create_string_buffer(struct.pack("4Q", 0, 1, 0, 0)), 32),
     "EPERM", "EPERM"),
    ("writing by an inherited descriptor", borrowed_write, "none", "none"),
    ("chroot", chroot_escape, "EPERM", "EPERM"),
    ("chdir", raw("chdir", b"/"), "EPERM", "done"),  # in its own root
    ("fchdir", raw("fchdir", ROOT_FD), "EPERM", "done"),  # to its own root
    ("a handle of its own root", handle, "EPERM", "EPERM|ENOTSUP"),
    ("a guessed handle of the host's root", guessed_handle, "EPERM", "EPERM"),
    ("fchmodat", raw("fchmodat", AT_FDCWD, b"/scratch", 0o4777), "EPERM", "done|EPERM"),  # nosuid, nothing executed
    ("fchmodat2", raw("fchmodat2", AT_FDCWD, b"/scratch", 0o4777, 0), "EPERM", "done|EPERM|ENOSYS"),
    ("fchownat", raw("fchownat", AT_FDCWD, b"/scratch", 1, 1, 0), "EPERM", "EPERM|EINVAL"),
    ("setxattr of a trusted name", raw("setxattr", b"/scratch", b"trusted.x", b"y", 1, 0), "EPERM", "EPERM"),
    ("inotify", raw("inotify_init1", 0), "EPERM", "done"),
    ("fanotify", raw("fanotify_init", 0, 0), "EPERM", "EPERM"),
    ("statmount", raw("statmount", EMPTY, EMPTY, 64, 0), "EPERM", "EINVAL|ENOSYS"),
    ("listmount", raw("listmount", EMPTY, EMPTY, 8, 0), "EPERM", "EINVAL|ENOSYS"),
    ("swapon", raw("swapon", b"/note", 0), "EPERM", "EPERM"),
    ("quotactl", raw("quotactl", 0x80000100, b"/", 0, None), "EPERM", "ENOENT|ENOTBLK|ESRCH|ENOSYS|EPERM"),
    ("acct", raw("acct", b"/guest.wasm"), "EPERM", "EPERM"),
    ("sync of the whole machine", raw("syncfs", 0), "EPERM", "done"),
]  # fmt: skip

PROCESSES = [
    ("kill: a process of the host, by its number", of_host(lambda pid: call("kill", pid, 0)), "EPERM", "ESRCH"),
    ("kill: everybody", raw("kill", -1, 0), "EPERM", "ESRCH|EPERM"),
    ("kill: process 1", raw("kill", 1, 0), "EPERM", "done|EPERM"),  # itself, or Landlock between it and an exec
    ("kill: the next one", raw("kill", 2, 0), "EPERM", "ESRCH|done"),  # an exec itself
    ("tgkill", of_host(lambda pid: call("tgkill", pid, pid, 0)), "EPERM", "ESRCH"),
    ("tkill", of_host(lambda pid: call("tkill", pid, 0)), "EPERM", "ESRCH"),
    ("rt_sigqueueinfo", of_host(lambda pid: call("rt_sigqueueinfo", pid, 9, EMPTY)), "EPERM", "EPERM|ESRCH"),
    ("pidfd_open", of_host(lambda pid: call("pidfd_open", pid, 0)), "EPERM", "ESRCH"),
    ("pidfd_send_signal", raw("pidfd_send_signal", 0, 0, None, 0), "EPERM", "EBADF"),
    ("pidfd_getfd", raw("pidfd_getfd", 0, 0, 0), "EPERM", "EBADF"),
    ("F_SETOWN, for SIGIO", of_host(lambda pid: call("fcntl", 0, 8, pid)), "EPERM", "ESRCH"),
    ("ptrace", of_host(lambda pid: call("ptrace", 16, pid, 0, 0)), "EPERM", "ESRCH"),
    ("ptrace of process 1", raw("ptrace", 16, 1, 0, 0), "EPERM", "EPERM"),
    ("ptrace by the shim, asked for", raw("ptrace", 0, 0, 0, 0), "EPERM", NOT_TRIED),
    ("process_vm_readv", of_host(lambda p: call("process_vm_readv", p, REMOTE, 1, REMOTE, 1, 0)), "EPERM", "ESRCH"),
    ("process_vm_writev", of_host(lambda p: call("process_vm_writev", p, REMOTE, 1, REMOTE, 1, 0)), "EPERM", "ESRCH"),
    ("process_madvise", raw("process_madvise", 0, REMOTE, 1, 20, 0), "EPERM", "EBADF"),
    ("process_mrelease", raw("process_mrelease", 0, 0), "EPERM", "EBADF"),
    ("kcmp", of_host(lambda pid: call("kcmp", pid, pid, 0, 0, 0)), "EPERM", "ESRCH"),
    ("get_robust_list", of_host(lambda p: call("get_robust_list", p, EMPTY, EMPTY)), "EPERM", "ESRCH"),
    ("prlimit64", of_host(lambda pid: call("prlimit64", pid, 7, None, EMPTY)), "EPERM", "ESRCH"),
    ("setpriority", of_host(lambda pid: call("setpriority", 0, pid, 5)), "EPERM", "ESRCH"),
    ("sched_setaffinity", of_host(lambda p: call("sched_setaffinity", p, 128, EMPTY)), "EPERM", "ESRCH"),
    ("sched_getaffinity", of_host(lambda p: call("sched_getaffinity", p, 128, EMPTY)), "ESRCH", "ESRCH"),
    ("sched_setscheduler, real time", raw("sched_setscheduler", 0, 1, struct.pack("i", 50)), "EPERM", "EPERM"),
    ("ioprio_set", of_host(lambda pid: call("ioprio_set", 1, pid, 0x4004)), "EPERM", "ESRCH"),
    ("move_pages", of_host(lambda p: call("move_pages", p, 0, None, None, None, 0)), "EPERM", "ESRCH|ENOSYS"),
    ("migrate_pages", of_host(lambda p: call("migrate_pages", p, 8, EMPTY, EMPTY)), "EPERM", "ESRCH|ENOSYS|EINVAL"),
    ("wait4", raw("wait4", -1, None, 1, None), "EPERM", "ECHILD"),
    ("fork bomb", forks, "EPERM", "100 made"),  # --pids-limit, where it is set
    ("fork", quick_fork("fork"), "EPERM", "done"),
    ("clone3", quick_fork("clone3", CLONE_ARGS, 88), "ENOSYS", "done"),
    ("execve of a program in a volume", raw("execve", b"/ro/program", EMPTY, EMPTY), "EPERM", "EACCES"),
    ("execve of a program of its own", raw("execve", b"/scratch/b", EMPTY, EMPTY), "EPERM", "EACCES"),
    ("execveat of memory", memfd_exec, "EPERM", "ENOEXEC"),  # only seccomp stops this one
    ("memfd_create", raw("memfd_create", b"x", 0), "EPERM", "done"),
    ("memfd_secret", raw("memfd_secret", 0), "EPERM", "ENOSYS|done"),
]

FAMILIES = [
    ("unix", 1, 1, 0, "done"),
    ("inet", 2, 1, 0, "done"),
    ("inet6", 10, 1, 0, "done|EAFNOSUPPORT"),
    ("inet raw", 2, 3, 255, "EPERM"),
    ("packet", 17, 3, 0, "EPERM|EAFNOSUPPORT"),
    ("netlink route", 16, 3, 0, "done"),
    ("netlink audit", 16, 3, 9, "EPERM|EPROTONOSUPPORT|done"),
    ("netlink netfilter", 16, 3, 12, "done|EPROTONOSUPPORT"),
    ("vsock", 40, 1, 0, "done|EAFNOSUPPORT|ENODEV"),
    ("alg", 38, 5, 0, "done|EAFNOSUPPORT"),
    ("bluetooth", 31, 3, 0, "EAFNOSUPPORT|EPERM"),
    ("can", 29, 3, 1, "EAFNOSUPPORT|done|EPROTONOSUPPORT"),
    ("tipc", 30, 1, 0, "EAFNOSUPPORT|done"),
    ("xdp", 44, 3, 0, "EPERM|EAFNOSUPPORT"),
    ("kcm", 41, 5, 0, "EAFNOSUPPORT|done"),
]

SOCKETS = [
    ("socket: MPTCP", raw("socket", 2, 1, 262), "EPERM", "done|EPROTONOSUPPORT"),  # Landlock's rules are TCP's alone
    ("socket: SCTP", raw("socket", 2, 1, 132), "EPERM", "EPROTONOSUPPORT|done"),
    ("socket: UDP-Lite", raw("socket", 2, 2, 136), "EPERM", "done|EPROTONOSUPPORT"),
    ("socket: unix, of packets", raw("socket", 1, 5, 0), "EPERM", "done"),
    ("a TCP port of the policy's", lambda context: bind_tcp(context.port), "EPERM", "EACCES"),
    ("another TCP port", lambda context: bind_tcp(context.port + 1), "EPERM", "EACCES"),
    ("a port below 1024", lambda _: bind_tcp(83), "EPERM", "EACCES"),
    ("TCP to a listener of the host", lambda context: connect_tcp(context.listener), "EPERM", "EACCES"),
    *[(f"socket: {name}", raw("socket", *numbers), "EPERM", bare) for name, *numbers, bare in FAMILIES],
    ("socketpair", raw("socketpair", 1, 1, 0, EMPTY), "EPERM", "done"),
    ("an abstract socket of the host", abstract, "EPERM", "ECONNREFUSED"),  # another network namespace
    ("TCP", lambda _: connect_tcp(1), "EPERM", "EACCES"),  # Landlock
    ("UDP", udp, "EPERM", "ENETUNREACH"),  # nothing in the namespace, not even loopback
    ("bind on an inherited descriptor", raw("bind", 1, EMPTY, 16), "EPERM", "ENOTSOCK"),
    ("connect on an inherited descriptor", raw("connect", 1, EMPTY, 16), "EPERM", "ENOTSOCK"),
    ("sendmsg on an inherited descriptor", raw("sendmsg", 1, EMPTY, 0), "EPERM", "ENOTSOCK"),
    ("io_uring_setup", raw("io_uring_setup", 8, EMPTY), "EPERM", "done|ENOSYS|EPERM"),
    ("io_setup", raw("io_setup", 8, ctypes.c_char_p(ZEROS)), "EPERM", "done|ENOSYS"),
]  # fmt: skip

KERNEL = [
    ("mount of a tmpfs", raw("mount", b"x", b"/scratch", b"tmpfs", 0, None), "EPERM", "EPERM"),
    ("mount of proc", raw("mount", b"proc", b"/scratch", b"proc", 0, None), "EPERM", "EPERM"),
    ("bind mount", raw("mount", b"/", b"/scratch", b"", 0x1000, None), "EPERM", "EPERM"),
    ("umount", raw("umount2", b"/ro", 2), "EPERM", "EPERM"),
    ("pivot_root", raw("pivot_root", b".", b"."), "EPERM", "EPERM"),
    ("fsopen", raw("fsopen", b"tmpfs", 0), "EPERM", "EPERM"),
    ("fspick", raw("fspick", AT_FDCWD, b"/", 0), "EPERM", "EPERM"),
    ("open_tree with a copy", raw("open_tree", AT_FDCWD, b"/", 1), "EPERM", "EPERM"),
    ("move_mount", raw("move_mount", AT_FDCWD, b"/ro", AT_FDCWD, b"/scratch", 0), "EPERM", "EPERM"),
    *[(f"unshare: {name}", raw("unshare", flag), "EPERM", "EPERM|EINVAL")
      for name, flag in NEW.items() if name != "user"],
    *[(f"clone: {name}", quick_fork("clone", flag | SIGCHLD, 0, 0, 0, 0), "EPERM", "EPERM|EINVAL")
      for name, flag in NEW.items() if name not in ("time", "user")],
    ("clone: user", quick_fork("clone", NEW["user"] | SIGCHLD, 0, 0, 0, 0), "EPERM", "done"),
    ("clone3: user", quick_fork("clone3", CLONE_USER, 88), "ENOSYS", "done"),
    ("setns", raw("setns", 5, 0), "EPERM", "EINVAL|EBADF"),
    ("keyctl: the session's keyring", raw("keyctl", 0, -3, 0), "EPERM", "done"),
    ("keyctl: reading it", raw("keyctl", 11, -3, EMPTY, 4096), "EPERM", "done"),
    ("add_key", raw("add_key", b"user", b"x", b"y", 1, -3), "EPERM", "done"),
    ("request_key", raw("request_key", b"user", b"wherry-host-secret", None, 0), "EPERM", "ENOKEY"),
    ("bpf", raw("bpf", 0, struct.pack("4I48x", 2, 4, 4, 1), 64), "EPERM", "EPERM"),
    ("perf_event_open", raw("perf_event_open", struct.pack("2I104x", 1, 112), -1, 0, -1, 0), "EPERM", "EACCES|EPERM"),
    ("userfaultfd", raw("userfaultfd", 0), "EPERM", "EPERM|ENOSYS"),
    ("init_module", raw("init_module", EMPTY, 64, b""), "EPERM", "EPERM|ENOSYS"),
    ("finit_module", raw("finit_module", 0, b"", 0), "EPERM", "EPERM|ENOSYS"),
    ("delete_module", raw("delete_module", b"none", 0), "EPERM", "EPERM|ENOSYS"),
    ("kexec_load", raw("kexec_load", 0, 0, None, 0), "EPERM", "EPERM|ENOSYS"),
    ("kexec_file_load", raw("kexec_file_load", 0, 0, 0, b"", 0), "EPERM", "EPERM|ENOSYS"),
    ("reboot", raw("reboot", 0, 0, 0, None), "EPERM", "EPERM"),  # not even with the right numbers
    ("syslog", raw("syslog", 3, EMPTY, 4096), "EPERM", "EPERM|done"),  # dmesg_restrict
    ("iopl", raw("iopl", 3), "EPERM", "EPERM|ENOSYS"),
    ("ioperm", raw("ioperm", 0x80, 1, 1), "EPERM", "EPERM|ENOSYS"),
    ("modify_ldt", raw("modify_ldt", 0, EMPTY, 16), "EPERM", "done|ENOSYS"),
    ("personality", raw("personality", 0x0040000), "EPERM", "done"),  # its own
    ("settimeofday", raw("settimeofday", struct.pack("2q", 1 << 30, 0), None), "EPERM", "EPERM"),
    ("clock_settime", raw("clock_settime", 0, struct.pack("2q", 1 << 30, 0)), "EPERM", "EPERM"),
    ("adjtimex", raw("adjtimex", ctypes.create_string_buffer(struct.pack("I", 2), 256)), "EPERM", "EPERM|EINVAL"),
    ("sethostname", raw("sethostname", b"x", 1), "EPERM", "EPERM"),
    ("setdomainname", raw("setdomainname", b"x", 1), "EPERM", "EPERM"),
    ("vhangup", raw("vhangup"), "EPERM", "EPERM"),
    ("shmget", raw("shmget", 7777, 4096, 0o1600), "EPERM", "done"),  # in its own ipc namespace
    ("mq_open", raw("mq_open", b"x", 0o102, 0o600, None), "EPERM", "done|ENOSYS|EACCES"),
    ("setuid", raw("setuid", 0), "EPERM", "done|EPERM"),
    ("setresuid", raw("setresuid", 1, 1, 1), "EPERM", "EPERM|EINVAL"),
    ("setgroups", raw("setgroups", 0, None), "EPERM", "EPERM"),
    ("capset: all of them",
     lambda _: call("capset", ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0)),
                    ctypes.create_string_buffer(struct.pack("6I", *[0xFFFFFFFF] * 6))), "EPERM", "EPERM"),
    ("prctl: living on after the shim", raw("prctl", 1, 0, 0, 0, 0), "EPERM", "done"),  # by seccomp alone
    ("prctl: no_new_privs off", raw("prctl", 38, 0, 0, 0, 0), "EPERM", "EINVAL"),
    ("prctl: an ambient capability", raw("prctl", 47, 2, 21, 0, 0), "EPERM", "EPERM"),
    ("prctl: PR_SET_MM", raw("prctl", 35, 1, PAGE, 0, 0), "EPERM", "EPERM|EINVAL"),
    ("prctl: dumpable", raw("prctl", 4, 1, 0, 0, 0), "EPERM", "done"),
    ("prctl: another seccomp filter", raw("prctl", 22, 1, 0, 0, 0), "EPERM", NOT_TRIED),
    ("seccomp", raw("seccomp", 0, 1, None), "EPERM", "EINVAL"),
    ("landlock_create_ruleset", raw("landlock_create_ruleset", ZEROS, 8, 0), "EPERM", "EINVAL|ENOMSG"),
    ("arch_prctl", raw("arch_prctl", 0x1003, EMPTY), "EPERM", "done"),
    ("mmap of executable memory", executable_memory("mmap"), "EPERM", "done"),
    ("mprotect to executable", executable_memory("mprotect"), "EPERM", "done"),
    ("pkey_mprotect to executable", executable_memory("pkey_mprotect"), "EPERM", "done"),
    ("mlockall", raw("mlockall", 3), "EPERM", "ENOMEM|EPERM|done"),
    ("TIOCSTI", raw("ioctl", 0, 0x5412, b"x"), "EPERM", "ENOTTY"),
    ("TIOCLINUX", raw("ioctl", 0, 0x541C, b"\3"), "EPERM", "ENOTTY"),
    ("FIOASYNC", raw("ioctl", 0, 0x5452, ZEROS), "EPERM", "done|ENOTTY"),
    ("FICLONE", raw("ioctl", 0, 0x40049409, 1), "EPERM", "EXDEV|EBADF|EINVAL|EOPNOTSUPP"),
    ("a call of x32", x32, "EPERM", "ENOSYS"),
    ("timer_create", raw("timer_create", 0, None, EMPTY), "EPERM", "done"),
    ("all descriptors at once", all_descriptors, "EMFILE", "EMFILE"),
]  # fmt: skip


ONLINE = {
    "socket: unix": ("done", "done"),
    "socket: inet": ("done", "done"),
    "socket: inet6": ("done|EAFNOSUPPORT", "done|EAFNOSUPPORT"),
    "a TCP port of the policy's": ("done", "done"),
    "another TCP port": ("EACCES", "EACCES"),
    "a port below 1024": ("EACCES", "EACCES"),
    "TCP to a listener of the host": ("EACCES", "EACCES"),
    "TCP": ("EACCES", "EACCES"),
    "UDP": ("done|ENETUNREACH", "done|ENETUNREACH"),  # Landlock has no rule for it
    "an abstract socket of the host": ("EPERM", "EPERM"),  # Landlock's scope
    "bind on an inherited descriptor": ("ENOTSOCK", "ENOTSOCK"),
    "connect on an inherited descriptor": ("ENOTSOCK", "ENOTSOCK"),
    "sendmsg on an inherited descriptor": ("ENOTSOCK", "ENOTSOCK"),
}
"""What a guest meets otherwise that imports sockets, in the host's network, with one port to listen on and nobody to
call."""

LAST = [("unshare: user", raw("unshare", NEW["user"]), "EPERM", "done")]
"""Only seccomp stops it. What is tried after it, would be tried by root of a new user namespace."""

ATTEMPTS = [*FILES, *PROCESSES, *SOCKETS, *KERNEL, *LAST]
