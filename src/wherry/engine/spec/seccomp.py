"""Seccomp filters of Linux containers: docker's default one as tables, and a user's own profile. Pure.

Both come out as the runtime spec's ``linux.seccomp``. Which calls docker lets through is documented:
https://docs.docker.com/engine/security/seccomp/; the form of a profile file is moby's, profiles/seccomp.
Calls that libseccomp does not know are passed over by runc.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from wherry.errors import InvalidArgument

_EPERM: Final = 1
_ENOSYS: Final = 38
_LARGEST: Final = 1 << 20

_ALWAYS: Final = (
    # files and folders
    "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat "
    "faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 "
    "fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 "
    "fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat "
    "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat "
    "listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat "
    "mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 "
    "read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile "
    "sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync "
    "sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes "
    "vmsplice write writev "
    # waiting and asynchronous input and output
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect "
    "pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 "
    # sockets; socket itself is below, socketcall hides its arguments from a filter
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair "
    # memory
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages "
    # System V and POSIX messages, semaphores, shared memory
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
    # processes, threads, their ids and limits
    "capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv "
    "futex_wake getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp "
    "getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage "
    "getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease "
    "rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
    "setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 "
    "setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area set_tid_address setuid setuid32 tgkill "
    "tkill ugetrlimit vfork wait4 waitid waitpid "
    # tracing one's own children, as of kernel 4.8, where it cannot lead out of a filter any more
    "process_vm_readv process_vm_writev ptrace uretprobe "
    # signals
    "pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn "
    # time; setting it takes a capability besides
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete "
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 times "
    # the rest
    "getrandom riscv_hwprobe sysinfo uname"
).split()

_BY_ARCHITECTURE: Final[Mapping[str, str]] = {
    "amd64": "arch_prctl modify_ldt",
    "386": "modify_ldt",
    "arm64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "arm": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache",
}
_BY_CAPABILITY: Final[Mapping[str, str]] = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
        "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
        "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
# A container's programs may be built for the smaller relatives of its processor.
_ARCHITECTURES: Final[Mapping[str, tuple[str, ...]]] = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "loong64": ("SCMP_ARCH_LOONGARCH64",),
    "mips64": ("SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"),
    "mips64le": ("SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"),
}
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; linux/sched.h.
_NEW_NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# PER_LINUX, PER_LINUX32 and UNAME26 with each, and the question for the present one; linux/personality.h.
_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# Families of sockets that reach round the container: AF_ALG the kernel's cryptography, AF_VSOCK the virtual machine's
# host. What is below, between and above them is let through: (operator, value).
_SOCKETS: Final = (("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40))


def default_profile(architecture: str, capabilities: Collection[str]) -> dict[str, Any]:
    """Docker's default for a container with these capabilities (``CAP_*``); ``architecture`` is Go's name of it."""
    names = [*_ALWAYS, *_BY_ARCHITECTURE.get(architecture, "").split()]
    for capability, more in _BY_CAPABILITY.items():
        if capability in capabilities:
            names += more.split()
    rules = [_rule(sorted(set(names)))]
    rules += [_rule(["socket"], _argument(0, value, operator)) for operator, value in _SOCKETS]
    rules += [_rule(["personality"], _argument(0, value)) for value in _PERSONALITIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        # clone3's flags lie in memory, where no filter sees them: libraries then do with clone.
        flags = 1 if architecture == "s390x" else 0
        rules.append(_rule(["clone"], {**_argument(flags, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ"), "valueTwo": 0}))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(_ARCHITECTURES.get(architecture, ())),
        "syscalls": rules,
    }


def _rule(names: Sequence[str], *arguments: Mapping[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(arguments)} if arguments else rule


def _argument(index: int, value: int, operator: str = "SCMP_CMP_EQ") -> dict[str, Any]:
    return {"index": index, "value": value, "op": operator}


def custom_profile(
    text: str, architecture: str, capabilities: Collection[str], kernel: tuple[int, int]
) -> dict[str, Any]:
    """The user's own profile, as docker's files have it: rules may hold for some architectures, capabilities or kernels
    only. InvalidArgument: it is no such profile."""
    profile = _decoded(text)
    if profile.get("architectures") and profile.get("archMap"):
        raise _wrong("'architectures' and 'archMap' were specified in the seccomp profile, use either one")
    result: dict[str, Any] = {
        key: profile[key] for key in ("defaultAction", "defaultErrnoRet", "flags") if key in profile
    }
    wanted = _architectures(profile, architecture)
    if wanted:
        result["architectures"] = wanted
    here = (architecture, frozenset(capabilities), kernel)
    result["syscalls"] = [
        rule for entry in _listed(profile.get("syscalls"), "syscalls") for rule in _rules(entry, here)
    ]
    return result


_Here = tuple[str, frozenset[str], tuple[int, int]]


def _decoded(text: str) -> dict[str, Any]:
    if len(text) > _LARGEST:
        raise _wrong(f"it is larger than {_LARGEST >> 20} MiB")
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(str(error)[:120] or "it is nested too deeply") from None
    if not isinstance(profile, dict):
        raise _wrong("an object is wanted")
    if not _is_action(profile.get("defaultAction")):
        raise _wrong("defaultAction must be one of SCMP_ACT_*")
    return profile


def _wrong(reason: str) -> InvalidArgument:
    return InvalidArgument(f"Decoding seccomp profile failed: {reason}")


def _is_action(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("SCMP_ACT_")


def _architectures(profile: Mapping[str, Any], architecture: str) -> list[str]:
    own = _ARCHITECTURES.get(architecture, ("",))[0]
    for entry in _listed(profile.get("archMap"), "archMap"):
        if isinstance(entry, Mapping) and entry.get("architecture") == own:
            return [own, *_texts(entry.get("subArchitectures"), "subArchitectures")]
    return _texts(profile.get("architectures"), "architectures")


def _rules(entry: Any, here: _Here) -> Iterator[dict[str, Any]]:
    """The rule, if it holds here."""
    if not isinstance(entry, Mapping) or not _is_action(entry.get("action")):
        raise _wrong("each of syscalls must be an object with an action")
    names = _texts(entry.get("names"), "names") or _texts([entry["name"]] if entry.get("name") else [], "name")
    if not names:
        raise _wrong("a rule names no system call")
    if not _holds(entry.get("includes") or {}, here) or _excluded(entry.get("excludes") or {}, here):
        return
    kept = {key: entry[key] for key in ("errnoRet",) if entry.get(key) is not None}
    arguments = [_checked(item) for item in _listed(entry.get("args"), "args")]
    yield {"names": names, "action": entry["action"], **kept, "args": arguments}


def _checked(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping) or not all(isinstance(item.get(key, 0), int) for key in ("index", "value")):
        raise _wrong("args must be objects of index, value and op")
    return {key: item[key] for key in ("index", "value", "valueTwo", "op") if key in item}


def _holds(conditions: Any, here: _Here) -> bool:
    architecture, capabilities, kernel = here
    architectures, wanted, least = _conditions(conditions)
    if architectures and architecture not in architectures:
        return False
    return capabilities.issuperset(wanted) and (least is None or kernel >= least)


def _excluded(conditions: Any, here: _Here) -> bool:
    architecture, capabilities, kernel = here
    architectures, unwanted, least = _conditions(conditions)
    if architecture in architectures or any(name in capabilities for name in unwanted):
        return True
    return least is not None and kernel >= least


def _conditions(conditions: Any) -> tuple[list[str], list[str], tuple[int, int] | None]:
    if not isinstance(conditions, Mapping):
        raise _wrong("includes and excludes must be objects")
    least, text = None, conditions.get("minKernel")
    if text:
        found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", str(text))
        if found is None:
            raise _wrong(f"minKernel {str(text)[:20]!r} is no version")
        least = (int(found[1]), int(found[2]))
    return _texts(conditions.get("arches"), "arches"), _texts(conditions.get("caps"), "caps"), least


def _listed(value: Any, what: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _wrong(f"{what} must be a list")
    return value or []


def _texts(value: Any, what: str) -> list[str]:
    texts = _listed(value, what)
    if not all(isinstance(item, str) for item in texts):
        raise _wrong(f"{what} must be a list of texts")
    return texts
