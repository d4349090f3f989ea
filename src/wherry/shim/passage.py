"""What a child does between its clone and its guest, as lists of system calls: the order of the sandbox's layers.

Made by the server, who knows the plan, for a child that only carries them out (linux/steps.py). Pure but for
`files_among`, which looks at the volumes, and what is asked of the kernel about itself. Any call that fails ends the
child, but for the errno that a call says is fine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import posixpath
import resource
import stat
import termios
from struct import Struct

from wherry.errors import FailedPrecondition
from wherry.linux import capabilities, clone, landlock, mounts, seccomp, signals, trees
from wherry.linux.assembly import AT_FDCWD, Block, Call, Given
from wherry.record import Record
from wherry.shim.birth import KEPT_CAPABILITIES, SOCKET_CAPABILITIES, Command, Sandbox, Volume
from wherry.wasm import meter

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.wasm.wasi.host import SocketPolicy

_NOTHING_BLOCKED = bytes(8)
_SIG_SETMASK = 2
_MODE = 0o777
_NEW_FILE = stat.S_IFREG | 0o644
_LIMIT = Struct("=QQ")
_INFINITY = 2**64 - 1
_HARDENED = trees.MOUNT_ATTR_NOSUID | trees.MOUNT_ATTR_NODEV
"""What no mount of a guest goes without."""


class Owner(Record):
    """Whose shim this is: with a user namespace for each container, if it is not root's."""

    user_namespace: bool
    uid: int
    gid: int


class Facts(Record):
    """What there is to know beside the plan: the kernel's Landlock, 0 for none; the sources of volumes that are no
    folders; the address of a child's area and of its page for the meter; how many cgroups are to be joined; whether the
    program can do sockets."""

    owner: Owner
    landlock: int
    files: frozenset[str]
    address: int
    page: int
    joins: int
    imports_sockets: bool

    def does_sockets(self, sandbox: Sandbox) -> bool:
        """Whether it can, and may."""
        return self.imports_sockets and sandbox.sockets is not None


def files_among(volumes: Sequence[Volume]) -> frozenset[str]:
    """The sources that are no folders. FailedPrecondition: one is not there."""
    found = set()
    for volume in volumes:
        try:
            if volume.source and not stat.S_ISDIR(os.stat(volume.source).st_mode):
                found.add(volume.source)
        except OSError as error:
            reason = f"cannot {_ENTER}: {volume.source}: {error.strerror}"
            raise FailedPrecondition(reason) from None
    return frozenset(found)


# Before anybody knows whose process it is

_PREPARE, _MAP = "prepare the process", "map user ids"
_PART = "part the mounts from the host's"


def preparation(foreign: Sequence[int | Given]) -> tuple[Call, ...]:
    """What every child does first: let go of ``foreign``, its parent's descriptors, and be a process of its own."""
    return (
        *(Call(_PREPARE, "close", (fd,)) for fd in foreign),
        Call(_PREPARE, "rt_sigprocmask", (_SIG_SETMASK, _NOTHING_BLOCKED, None, len(_NOTHING_BLOCKED))),
        _die_with_parent(_PREPARE),
        Call(_PREPARE, "setsid", ()),
    )


def arrival(foreign: Sequence[int | Given], owner: Owner) -> tuple[Call, ...]:
    """All that the first process of a container can do before it knows of which."""
    mapped = clone.map_calls(_MAP, owner.uid, owner.gid) if owner.user_namespace else ()
    return (*preparation(foreign), *mapped, mounts.call(_PART, "", "/", "", mounts.MS_REC | mounts.MS_SLAVE))


def _die_with_parent(doing: str) -> Call:
    return Call(doing, "prctl", (clone.PR_SET_PDEATHSIG, signals.SIGKILL, 0, 0, 0))


# Into the container

_ENTER = "enter the rootfs"


def received(sandbox: Sandbox, facts: Facts, *, beside: bool) -> tuple[str, ...]:
    """What the descriptors are called that a child is sent, in their order."""
    network = ("network",) if sandbox.network and not beside else ()
    return "stdin", "stdout", "stderr", "meter", *network, *(f"cgroup {number}" for number in range(facts.joins))


def entry(sandbox: Sandbox, command: Command, facts: Facts) -> tuple[Call, ...]:
    """What makes the first process of a container one that sees only the container."""
    return (
        *_take_stdio(command),
        *_share_meter(facts),
        *_join_cgroups(facts),
        *_join_network(sandbox),
        *_mount_rootfs(sandbox),
        *_enter_rootfs(sandbox, command, facts),
        *_set_hostname(sandbox),
        *_set_rlimits(command),
        *_open_folders(sandbox, facts),
    )


def entry_beside(sandbox: Sandbox, command: Command, facts: Facts) -> tuple[Call, ...]:
    """The same for a further one, which was cloned into the namespaces of the first."""
    return (
        *_take_stdio(command),
        *_share_meter(facts),
        *_join_cgroups(facts),
        *_set_rlimits(command),
        *_open_folders(sandbox, facts),
    )


def _take_stdio(command: Command) -> list[Call]:
    doing = "take stdio"
    names = ("stdin", "stdout", "stderr")
    made = [Call(doing, "dup3", (Given(name), number, 0)) for number, name in enumerate(names)]
    made += [Call(doing, "close", (Given(name),)) for name in names]
    if command.terminal:
        made.append(Call(doing, "ioctl", (0, termios.TIOCSCTTY, 0)))
    return made


def _share_meter(facts: Facts) -> tuple[Call, ...]:
    doing, copy = "share the meter", Given("the meter, copied")
    return (
        Call(doing, "fcntl", (Given("meter"), fcntl.F_DUPFD_CLOEXEC, 3), gives=copy.name),
        Call(doing, "mmap", (facts.page, meter.SIZE, meter.READ_WRITE, meter.SHARED_FIXED, copy, 0)),
        Call(doing, "close", (copy,)),
        Call(doing, "close", (Given("meter"),)),
    )


def _join_cgroups(facts: Facts) -> list[Call]:
    """Enter each cgroup whose cgroup.procs is open, and close them."""
    doing = "join cgroups"
    names = [Given(f"cgroup {number}") for number in range(facts.joins)]
    return [call for name in names for call in (Call(doing, "write", (name, b"0", 1)), Call(doing, "close", (name,)))]


def _join_network(sandbox: Sandbox) -> list[Call]:
    doing, made = "join the network", list[Call]()
    if sandbox.network:
        made.append(Call(doing, "setns", (Given("network"), clone.CLONE_NEWNET)))
        made.append(Call(doing, "close", (Given("network"),)))
    for name, value in sandbox.sysctls:  # what of /proc/sys/net is seen there depends on who looks
        path = f"/proc/sys/{name.replace('.', '/')}"
        made += clone.write_calls(doing, path, value.encode())
    return made


def _mount_rootfs(sandbox: Sandbox) -> list[Call]:
    doing = "mount the rootfs"
    if not sandbox.mounts:
        return [mounts.call(doing, sandbox.rootfs, sandbox.rootfs, "", mounts.MS_BIND | mounts.MS_REC)]
    made = list[Call]()
    for mount in sandbox.mounts:
        target = f"{sandbox.rootfs}/{mount.target}" if mount.target else sandbox.rootfs
        made += mounts.calls(doing, mount.type, mount.source, mount.options, target)
    return made


def _enter_rootfs(sandbox: Sandbox, command: Command, facts: Facts) -> list[Call]:
    """Change the root, carrying the volumes' trees over by descriptor."""
    volumes = [(volume, Given(f"volume {number}")) for number, volume in enumerate(sandbox.volumes)]
    # An image may bring device nodes: by them root in a container would have the host's disks.
    attributes = _HARDENED | (trees.MOUNT_ATTR_RDONLY if sandbox.readonly else 0)
    return [
        *(
            trees.open_tree(_ENTER, volume.source, recursive=volume.recursive, gives=tree.name)
            for volume, tree in volumes
            if volume.source
        ),
        Call(_ENTER, "chdir", (os.fsencode(sandbox.rootfs),), what=sandbox.rootfs),
        Call(_ENTER, "pivot_root", (b".", b"."), what="."),
        Call(_ENTER, "umount2", (b".", mounts.MNT_DETACH), what="."),
        Call(_ENTER, "chdir", (b"/",), what="/"),
        *(call for volume, tree in volumes for call in _mount_volume(volume, tree, volume.source in facts.files)),
        *_folders(command.cwd),
        trees.set_attributes(_ENTER, "/", attributes, recursive=False),
    ]


def _mount_volume(volume: Volume, tree: Given, is_file: bool) -> list[Call]:
    if not volume.source:
        flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC | (mounts.MS_RDONLY if volume.readonly else 0)
        return [*_folders(volume.target), mounts.call(_ENTER, "tmpfs", volume.target, "tmpfs", flags, volume.data)]
    attributes = _HARDENED | (trees.MOUNT_ATTR_RDONLY if volume.readonly else 0)
    return [
        *(_file(volume.target) if is_file else _folders(volume.target)),
        trees.set_attributes(_ENTER, tree, attributes, recursive=True),
        trees.attach(_ENTER, tree, volume.target),
        Call(_ENTER, "close", (tree,)),
    ]


def _folders(path: str) -> list[Call]:
    """A folder and those above it, unless they are there. What else is there is found out by who needs a folder."""
    parts = [part for part in path.split("/") if part]
    paths = ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]
    return [
        Call(_ENTER, "mkdirat", (AT_FDCWD, os.fsencode(above), _MODE), what=above, fine=errno.EEXIST) for above in paths
    ]


def _file(path: str) -> list[Call]:
    """A file for a mount to cover, unless there is something: an image's FIFO or device must not be opened."""
    args = (AT_FDCWD, os.fsencode(path), _NEW_FILE, 0)
    return [*_folders(posixpath.dirname(path)), Call(_ENTER, "mknodat", args, what=path, fine=errno.EEXIST)]


def _set_hostname(sandbox: Sandbox) -> list[Call]:
    name = sandbox.hostname.encode()
    return [Call("set the hostname", "sethostname", (name, len(name)), what=sandbox.hostname)] if name else []


def _set_rlimits(command: Command) -> list[Call]:
    limits = [(getattr(resource, name, None), name, soft, hard) for name, soft, hard in command.rlimits]
    return [
        Call(
            "set resource limits",
            "prlimit64",
            (0, number, Block(_LIMIT.pack(_limit(soft), _limit(hard))), None),
            what=f"{name} {soft}:{hard}",
        )
        for number, name, soft, hard in limits
        if number is not None
    ]


def _limit(value: int) -> int:
    return _INFINITY if value >= 2**63 else value


def folders(sandbox: Sandbox, facts: Facts) -> list[tuple[str, bool]]:
    """What the guest finds open: paths, and whether it may write there."""
    if "path_*" in sandbox.refused:
        return []
    volumes = [(volume.target, not volume.readonly) for volume in sandbox.volumes if volume.source not in facts.files]
    return [("/", not sandbox.readonly), *volumes]


def folder_name(index: int) -> str:
    """What the descriptor of `folders`' folder is called."""
    return f"folder {index}"


def _open_folders(sandbox: Sandbox, facts: Facts) -> list[Call]:
    """While the process still has its privileges."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return [
        Call(
            "open the volumes",
            "openat",
            (AT_FDCWD, os.fsencode(path), flags, 0),
            what=path,
            gives=folder_name(index),
        )
        for index, (path, _) in enumerate(folders(sandbox, facts))
    ]


# Shut in

_SHUT = "shut the sandbox"


def shutting(sandbox: Sandbox, command: Command, facts: Facts, filter_: bytes | None) -> tuple[Call, ...]:
    """What gives up all that the guest has no use for, in an order in which each step still can be done. Without a
    ``filter_`` of system calls, for a server of HTTP, whose own comes after it."""
    sockets = sandbox.sockets if facts.does_sockets(sandbox) else None
    granted = command.capabilities if sockets is not None else command.capabilities - SOCKET_CAPABILITIES
    return (
        *([Call(_SHUT, "umask", (command.umask,))] if command.umask is not None else []),
        *_bound(command, facts),
        *_change_ids(command),
        capabilities.effective_call(granted),
        *landlock.calls("/", _tcp_rules(sockets), facts.landlock),
        *([seccomp.call(filter_)] if filter_ is not None else []),
    )


def _bound(command: Command, facts: Facts) -> Sequence[Call]:
    if facts.owner.user_namespace:  # a new one comes with all capabilities; else the zygote's are gone already
        return capabilities.bounding_calls(KEPT_CAPABILITIES)
    groups = b"".join(group.to_bytes(4, "little") for group in command.groups)
    return [Call(_SHUT, "setgroups", (len(command.groups), Block(groups) if groups else None))]


def _change_ids(command: Command) -> list[Call]:
    if not (command.uid or command.gid):
        return []
    return [
        Call(_SHUT, "setresgid", (command.gid,) * 3),
        Call(_SHUT, "setresuid", (command.uid,) * 3),
        _die_with_parent(_SHUT),  # cleared by the change of ids
    ]


def _tcp_rules(policy: SocketPolicy | None) -> landlock.TcpRules:
    if policy is None:
        return landlock.TcpRules((), False)
    if policy.listen is None:
        return landlock.TcpRules(None, policy.outbound)
    listened = (port for port, protocol in policy.listen if protocol == "tcp")
    return landlock.TcpRules((0, *sorted(listened)), policy.outbound)
