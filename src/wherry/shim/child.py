"""The life of a task's process from its clone to its end: apply the plan, shut the sandbox, wait for Start, run.

Everything here happens in the child. It tells its parent how it goes by a pipe: see report.py for the words.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import posixpath
import resource
import select
import stat
import termios

from wherry.linux import capabilities, clone, landlock, mounts, seccomp, signals, trees
from wherry.record import Record
from wherry.shim import report
from wherry.shim.birth import KEPT_CAPABILITIES, SOCKET_CAPABILITIES, Command, Sandbox, Volume
from wherry.wasm.guest import GuestConfig, Preopen
from wherry.wasm.program import Program, new_guest
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from wherry.shim.httpd.front import Front

_CANNOT_RUN = 126
_NO_CORE = 1
"""Bytes: less than a core has, and unlike 0 it keeps the kernel from a core_pattern that is a program, too: core(5)."""
_HARDENED = trees.MOUNT_ATTR_NOSUID | trees.MOUNT_ATTR_NODEV
"""What no mount of a guest goes without."""


def prepare() -> None:
    """In the server, before it forks the zygote: what every child would do alike and inherits.

    The ending signals get their handlers and are blocked here, so that they cannot take server or zygote and with them
    all containers along; a child has but to unblock them. SIGPIPE stays ignored, as Python has it (the guest gets
    EPIPE); faults belong to wasmtime's own handlers. Capabilities that no guest may ever have leave the bounding set.
    Keys of whoever started this stay behind, and nobody dumps core into a program of the host's.
    """
    if os.geteuid() == 0:
        capabilities.drop_bounding(KEPT_CAPABILITIES)
    capabilities.leave_session_keyring()
    resource.setrlimit(resource.RLIMIT_CORE, (_NO_CORE, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    clone.block_only(*signals.ENDING)
    clone.exit_on(*signals.ENDING)


class Cradle(Record):
    """What a child is cloned with, whatever becomes of it: its ends of the two pipes, the system call filters, and who
    cloned it (for a user namespace). ``foreign`` are descriptors of its parent's to be closed."""

    report: int
    start: int
    foreign: tuple[int, ...]
    filters: tuple[bytes, ...]
    user_namespace: bool
    uid: int
    gid: int


class Birth(Record):
    """What it becomes: its place, its command, its program, its stdio, the file that its meter counts in, the
    cgroup.procs files to join, the network namespace, or -1, and the server of HTTP that it is to be, if it is one."""

    sandbox: Sandbox
    command: Command
    program: Program
    stdio: tuple[int, int, int]
    meter: int
    join: tuple[int, ...] = ()
    network: int = -1
    front: Front | None = None


class Doing:
    """What is being done, for the error message; "" once the guest is on its own."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = "start"


def wait_to_live(
    cradle: Cradle, line: int, rehearse: Callable[[], None], receive: Callable[[int], Birth | None]
) -> NoReturn:
    """Do all that is alike for every container, wait to be told by ``line`` whose this is to be, and be its first
    process: never returns."""

    def be(doing: Doing) -> None:
        _arrive(cradle, doing)
        doing.step = "rehearse"
        rehearse()
        birth = receive(line)
        if birth is None:
            os._exit(0)
        _become(cradle, birth, doing)

    telling(cradle, be)


def wait_to_live_beside(cradle: Cradle, line: int, receive: Callable[[int], Birth | None]) -> NoReturn:
    """Be a further process of a container, cloned into its namespaces: never returns."""

    def be(doing: Doing) -> None:
        _prepare_process(cradle)
        birth = receive(line)
        if birth is None:
            os._exit(0)
        _take_stdio(birth)
        _share_meter(birth)
        doing.step = "join cgroups"
        _join_cgroups(birth)
        doing.step = "set resource limits"
        _set_rlimits(birth)
        _be_a_guest(cradle, birth, doing, ())

    telling(cradle, be)


def telling(cradle: Cradle, be: Callable[[Doing], None]) -> NoReturn:
    """Whatever happens in ``be``, the parent hears of it, and the process ends here."""
    doing = Doing()
    try:
        be(doing)
    # A fault of ours must not unwind into the zygote's own loop in this child.
    except BaseException as error:  # noqa: BLE001
        _fail(cradle.report, doing.step, error)
    finally:
        os._exit(1)


def _arrive(cradle: Cradle, doing: Doing) -> None:
    """What can be done before it is known what for."""
    doing.step = "prepare the process"
    _prepare_process(cradle)
    if cradle.user_namespace:
        doing.step = "map user ids"
        clone.map_to_root(cradle.uid, cradle.gid)
    doing.step = "part the mounts from the host's"
    mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_SLAVE)


def _become(cradle: Cradle, birth: Birth, doing: Doing) -> NoReturn:
    for name, action in _STEPS:
        doing.step = name
        action(birth)
    doing.step = "listen"
    if birth.front is not None:
        _be_a_server(cradle, birth, doing, birth.front)
    _be_a_guest(cradle, birth, doing, _listeners(birth))


def _be_a_guest(cradle: Cradle, birth: Birth, doing: Doing, listeners: tuple[int, ...]) -> NoReturn:
    """Shut the sandbox, then run what must not be trusted."""
    end = _ending(cradle.report, alone=not birth.program.spawns)
    doing.step = "open the volumes"
    guest_config = _guest_config(birth.sandbox, birth.command, listeners)
    doing.step = "shut the sandbox"
    _shut(cradle, birth)
    doing.step = "instantiate the module"
    guest = new_guest(birth.program, guest_config, end)
    if not birth.program.runs_at_instantiation:
        guest.instantiate()
    report.ready(cradle.report)
    _await_start(cradle.start)
    doing.step = ""
    if birth.program.runs_at_instantiation:
        guest.instantiate()
    end(guest.run())


def _be_a_server(cradle: Cradle, birth: Birth, doing: Doing, front: Front) -> NoReturn:
    """The same for a process whose guests come and go: see httpd/front.py."""
    front.listen()
    end = _ending(cradle.report, alone=True)
    doing.step = "open the volumes"
    config = _guest_config(birth.sandbox, birth.command, ())
    front.open(config)
    doing.step = "shut the sandbox"
    _shut(cradle, birth)
    report.ready(cradle.report)
    _await_start(cradle.start)
    doing.step = ""
    front.serve()
    end(0)


def _fail(report_fd: int, step: str, error: BaseException) -> NoReturn:
    """Before Start the parent hears of it and refuses the task; after it, whoever reads stderr does."""
    if step:
        report.failure(report_fd, step, error)
        os._exit(1)
    os.write(2, f"wherry: {report.as_wherry_error('run the module', error)}\n".encode(errors="replace"))
    _ending(report_fd, alone=False)(_CANNOT_RUN)


def _ending(report_fd: int, *, alone: bool) -> Callable[[int], NoReturn]:
    """What ends the process. It stays a moment, if its one thread is ``alone``: others would go on with the guest."""

    def end(code: int) -> NoReturn:
        # Reported first: taking the namespaces down delays wait() by milliseconds.
        report.ended(report_fd, code)
        if alone:
            select.select((), (), (), report.LINGER)
        os._exit(code)

    return end


def _await_start(fd: int) -> None:
    if not os.read(fd, 1):
        os._exit(128 + signals.SIGKILL)
    os.close(fd)


def _prepare_process(cradle: Cradle) -> None:
    for fd in cradle.foreign:
        os.close(fd)
    gc.disable()
    clone.block_only()
    clone.prctl(clone.PR_SET_PDEATHSIG, signals.SIGKILL)
    os.setsid()


def _take_stdio(birth: Birth) -> None:
    for number, fd in enumerate(birth.stdio):
        os.dup2(fd, number, inheritable=True)
    for fd in set(birth.stdio):
        os.close(fd)
    if birth.command.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _share_meter(birth: Birth) -> None:
    birth.program.meter.share(birth.meter)
    os.close(birth.meter)


def _join_cgroups(birth: Birth) -> None:
    """Enter each cgroup whose cgroup.procs is open, and close them."""
    for fd in birth.join:
        os.write(fd, b"0")
        os.close(fd)


def _join_network(birth: Birth) -> None:
    if birth.network >= 0:
        clone.setns(birth.network, clone.CLONE_NEWNET)
        os.close(birth.network)
    for name, value in birth.sandbox.sysctls:  # what of /proc/sys/net is seen there depends on who looks
        with open(f"/proc/sys/{name.replace('.', '/')}", "w") as file:
            file.write(value)


def _listeners(birth: Birth) -> tuple[int, ...]:
    """For a program that can't make any: one for each TCP port it may be reached at, by number."""
    policy = birth.sandbox.sockets
    if policy is None or not policy.listen or not birth.program.wants_listeners:
        return ()
    from wherry.wasm.wasi.socket import listen_at  # loaded with the program

    return tuple(listen_at(port) for port, protocol in sorted(policy.listen) if protocol == "tcp")


def _mount_rootfs(birth: Birth) -> None:
    sandbox = birth.sandbox
    if not sandbox.mounts:
        mounts.mount(sandbox.rootfs, sandbox.rootfs, "", mounts.MS_BIND | mounts.MS_REC)
    for mount in sandbox.mounts:
        target = f"{sandbox.rootfs}/{mount.target}" if mount.target else sandbox.rootfs
        mounts.mount_with(mount.type, mount.source, mount.options, target)


def _enter_rootfs(birth: Birth) -> None:
    """Change the root, carrying the volumes' trees over by descriptor."""
    sandbox, command = birth.sandbox, birth.command
    carried = [(volume, trees.open_tree(volume.source, recursive=volume.recursive) if volume.source else -1)
               for volume in sandbox.volumes]  # fmt: skip
    os.chdir(sandbox.rootfs)
    mounts.pivot_root(".", ".")
    mounts.umount(".", mounts.MNT_DETACH)
    os.chdir("/")
    for volume, tree in carried:
        _mount_volume(volume, tree)
    if command.cwd != "/":
        os.makedirs(command.cwd, exist_ok=True)
    # An image may bring device nodes: by them root in a container would have the host's disks.
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    trees.set_attributes(root, _HARDENED | (trees.MOUNT_ATTR_RDONLY if sandbox.readonly else 0), recursive=False)
    os.close(root)


def _mount_volume(volume: Volume, tree: int) -> None:
    if tree < 0:
        os.makedirs(volume.target, exist_ok=True)
        flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC | (mounts.MS_RDONLY if volume.readonly else 0)
        mounts.mount("tmpfs", volume.target, "tmpfs", flags, volume.data)
        return
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(volume.target, exist_ok=True)
    else:
        os.makedirs(posixpath.dirname(volume.target), exist_ok=True)
        _make_file(volume.target)
    trees.set_attributes(tree, _HARDENED | (trees.MOUNT_ATTR_RDONLY if volume.readonly else 0), recursive=True)
    trees.attach(tree, volume.target)
    os.close(tree)


def _make_file(path: str) -> None:
    """A file for a mount to cover, unless there is something: an image's FIFO or device must not be opened."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return


def _set_hostname(birth: Birth) -> None:
    if birth.sandbox.hostname:
        clone.sethostname(birth.sandbox.hostname)


def _set_rlimits(birth: Birth) -> None:
    for name, soft, hard in birth.command.rlimits:
        number = getattr(resource, name, None)
        if number is not None:
            try:
                resource.setrlimit(number, (_rlimit(soft), _rlimit(hard)))
            except ValueError:  # how Python words EPERM and EINVAL here
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), f"{name} {soft}:{hard}") from None


def _rlimit(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 2**63 else value


_STEPS: tuple[tuple[str, Callable[[Birth], None]], ...] = (
    ("take stdio", _take_stdio),
    ("share the meter", _share_meter),
    ("join cgroups", _join_cgroups),
    ("join the network", _join_network),
    ("mount the rootfs", _mount_rootfs),
    ("enter the rootfs", _enter_rootfs),
    ("set the hostname", _set_hostname),
    ("set resource limits", _set_rlimits),
)
"""What is done to the process before its sandbox is shut, in this order."""


def _guest_config(sandbox: Sandbox, command: Command, listeners: tuple[int, ...]) -> GuestConfig:
    """Open what the guest finds open, while the process still has its privileges."""
    has_files = "path_*" not in sandbox.refused
    wanted = [("/", not sandbox.readonly)]
    wanted += [(volume.target, not volume.readonly) for volume in sandbox.volumes]
    preopens = [
        Preopen(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), writable)
        for path, writable in wanted
        if has_files and os.path.isdir(path)
    ]
    return GuestConfig(  # by position and all of them: a value by name is made by more code
        tuple(map(os.fsencode, command.args)),
        tuple(map(os.fsencode, command.env)),
        tuple(preopens),
        command.entry,
        sandbox.memory or None,
        command.cwd if has_files else "/",
        listeners,
        sandbox.sockets,
        sandbox.fuel,
        sandbox.refused,
    )


def _shut(cradle: Cradle, birth: Birth) -> None:
    """Give up everything the guest has no use for, in an order in which each step still can be done."""
    command = birth.command
    sockets = birth.sandbox.sockets if birth.program.imports_sockets else None
    if command.umask is not None:
        os.umask(command.umask)
    if cradle.user_namespace:
        capabilities.drop_bounding(KEPT_CAPABILITIES)  # a new one comes with all; else the zygote's are gone already
    else:
        os.setgroups(command.groups)
    if command.uid or command.gid:
        os.setresgid(command.gid, command.gid, command.gid)
        os.setresuid(command.uid, command.uid, command.uid)
        clone.prctl(clone.PR_SET_PDEATHSIG, signals.SIGKILL)  # cleared by the change of ids
    capabilities.set_effective(
        command.capabilities if sockets is not None else command.capabilities - SOCKET_CAPABILITIES
    )
    landlock.confine("/", tcp=_tcp_rules(sockets))
    if birth.front is not None:
        seccomp.install(birth.front.filter)
        return
    seccomp.install(cradle.filters[(sockets is not None) + 2 * birth.program.spawns])  # see policy.programs


def _tcp_rules(policy: SocketPolicy | None) -> landlock.TcpRules:
    if policy is None:
        return landlock.TcpRules((), False)
    if policy.listen is None:
        return landlock.TcpRules(None, policy.outbound)
    return landlock.TcpRules((0, *(port for port, protocol in policy.listen if protocol == "tcp")), policy.outbound)
