"""What a container's process will be put into: a plan made of the bundle's spec, as values. Applying it is child.py's.

The spec may be ours or anybody's (containerd's, dockerd's, a kubelet's): what makes no sense for a WASM guest, such as
/proc and devices, is left out here and nowhere else.
"""

from __future__ import annotations

import os
import posixpath

from wherry.errors import InvalidArgument
from wherry.linux import cgroups, clone, stacked
from wherry.oci.mount import Mount
from wherry.oci.spec import Process, Resources, Spec
from wherry.shim.birth import KEPT_CAPABILITIES, Command, RootMount, Sandbox, Volume
from wherry.wasm import grants
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FUEL_ANNOTATION = "dev.wherry.fuel"
_NAMESPACES = {
    "pid": clone.CLONE_NEWPID,
    "ipc": clone.CLONE_NEWIPC,
    "uts": clone.CLONE_NEWUTS,
    "cgroup": clone.CLONE_NEWCGROUP,
    "network": clone.CLONE_NEWNET,
}
# A guest has no system calls of its own: kernel filesystems would only be a way to look at the machine.
_KERNEL_FILESYSTEMS = frozenset(("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs"))
_PROCESS_MEMORY = 2 << 20
LISTEN_ANNOTATION = "dev.wherry.listen"
"""The ports a container may be reached at: ``80/tcp,53/udp``. Without it, any."""
OUTLET_ANNOTATION = "dev.wherry.outlet"
"""Set, if somebody will connect the new network namespace before the container is started."""
_PROTOCOLS = ("tcp", "udp", "sctp")
_KERNEL_FOLDERS = ("/dev", "/proc", "/sys")
_LAST_ID = 2**32 - 2
"""The next number means "leave it as it is" to the kernel: root, here."""


def plan_sandbox(spec: Spec, mounts: Sequence[Mount], bundle: str) -> Sandbox:
    """The sandbox that ``spec`` asks for; ``mounts`` make the rootfs, ``bundle`` is the folder of both."""
    if any(".." in mount.target.split("/") for mount in mounts):
        raise InvalidArgument("a mount of the rootfs leads out of it")
    flags, network = clone.CLONE_NEWNS, ""
    for namespace in spec.linux.namespaces:
        if namespace.type == "network" and namespace.path:
            network = namespace.path
        elif not namespace.path:
            flags |= _NAMESPACES.get(namespace.type, 0)
    dropped = grants.parse(spec.annotations.get(grants.ANNOTATION, ""))
    return Sandbox(
        rootfs=posixpath.join(bundle, spec.root.path),
        mounts=tuple(RootMount(mount.type, mount.source, mount.options, mount.target) for mount in mounts),
        volumes=tuple(_volumes(spec)),
        readonly=spec.root.readonly,
        hostname=spec.hostname if flags & clone.CLONE_NEWUTS else "",
        flags=flags,
        network=network,
        sockets=_granted(socket_policy(spec), dropped),
        sysctls=_network_sysctls(spec),
        fuel=fuel_of(spec.annotations),
        memory=linear_memory(_positive(spec.linux.resources.memory_limit)),
        refused=grants.refused(dropped),
    )


def with_http(sandbox: Sandbox, http: tuple[Any, ...]) -> Sandbox:
    """The same with a server of HTTP."""
    return Sandbox(**{**dict(zip(Sandbox.fields, sandbox, strict=True)), "http": http})


def without_network(sandbox: Sandbox) -> Sandbox:
    """The same in an empty network that is there already: its descriptor comes as that of one that is to be joined."""
    values, at = list(sandbox), Sandbox.fields.index("flags")
    values[at : at + 2] = sandbox.flags & ~clone.CLONE_NEWNET, "an empty one"  # the network comes after them
    return Sandbox(*values)


def socket_policy(spec: Spec) -> SocketPolicy | None:
    """What a guest may do with sockets: nothing in a network namespace that is made for it and stays empty. In one
    that is joined by its path, or is given an outlet before the start, or the host's, it may call out, and be reached
    where the annotation says.

    InvalidArgument: the annotation is no list of ports.
    """
    namespace = spec.linux.namespace("network")
    if namespace is not None and not namespace.path and not spec.annotations.get(OUTLET_ANNOTATION):
        return None
    listed = spec.annotations.get(LISTEN_ANNOTATION)
    return SocketPolicy(None if listed is None else _ports(listed), outbound=True)


def _granted(policy: SocketPolicy | None, dropped: Sequence[str]) -> SocketPolicy | None:
    """The policy less what was dropped by name: what the kernel refuses, and not only our functions."""
    network, listen = "network" not in dropped, "listen" not in dropped
    if policy is None or not (network or listen):
        return None
    return SocketPolicy(policy.listen if listen else frozenset(), policy.outbound and network)


def _ports(listed: str) -> frozenset[tuple[int, str]]:
    found = set()
    for item in listed.split(",") if listed else ():
        number, _, protocol = item.strip().partition("/")
        if not number.isdecimal() or not 0 < int(number[:6]) < 65536 or (protocol or "tcp") not in _PROTOCOLS:
            raise InvalidArgument(f"annotation {LISTEN_ANNOTATION}: {item!r} is no port: write 80/tcp,53/udp")
        found.add((int(number), protocol or "tcp"))
    return frozenset(found)


def _network_sysctls(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Those of the network namespace; all others are no guest's business. InvalidArgument: the host's own network
    would be changed, or a name that leads elsewhere."""
    found = tuple((name, value) for name, value in spec.linux.sysctl.items() if name.startswith("net."))
    if found and spec.linux.namespace("network") is None:
        raise InvalidArgument(f"sysctl {found[0][0]} can't be set in the host's network")
    for name, _ in found:
        if not all(part.replace("_", "").replace("-", "").isalnum() for part in name.split(".")):
            raise InvalidArgument(f"sysctl {name!r} is not a name")
    return found


def linear_memory(limit: int | None) -> int:
    """The most linear memory of a guest in a container of ``limit`` bytes, 0 without bounds: what its process needs
    beside it is left out, so that a guest finds its memory at an end before the kernel kills it."""
    return max(limit - _PROCESS_MEMORY, limit // 2) if limit else 0


def fuel_of(annotations: Mapping[str, str]) -> int:
    """The units of fuel that each guest of a container may use; 0: they are not counted. InvalidArgument."""
    text = annotations.get(FUEL_ANNOTATION, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 63):
        raise InvalidArgument(f"{FUEL_ANNOTATION} is {text[:40]!r}: a whole number of units above 0 is wanted")
    return int(text)


def plan_command(process: Process) -> Command:
    """The process that ``process`` asks for. InvalidArgument: there is nothing to run."""
    if not process.args:
        raise InvalidArgument("no command given: the image has no ENTRYPOINT or CMD, so name a module to run")
    module, _, entry = process.args[0].partition("#")
    if any("\0" in word for word in (*process.args, *process.env, process.cwd)):
        raise InvalidArgument("a NUL byte in the command, the environment or the working directory")
    user = process.user
    if any(number > _LAST_ID for number in (user.uid, user.gid, *user.additional_gids)):
        raise InvalidArgument(f"user and group ids go up to {_LAST_ID}")
    effective = process.capabilities.get("effective", ()) if process.user.uid == 0 else ()
    return Command(
        module=module,
        entry=entry or "_start",
        args=(module, *process.args[1:]),
        env=process.env,
        cwd=posixpath.normpath(posixpath.join("/", process.cwd or "/")),
        terminal=process.terminal,
        console_size=process.console_size,
        uid=process.user.uid,
        gid=process.user.gid,
        groups=process.user.additional_gids,
        umask=process.user.umask,
        capabilities=frozenset(effective) & KEPT_CAPABILITIES,
        rlimits=tuple(
            (limit.type, limit.soft, limit.hard) for limit in process.rlimits if limit.type.startswith("RLIMIT_")
        ),
    )


def limits_of(resources: Resources, *, unlimited: int | None = None) -> cgroups.Limits:
    """The spec's resources as limits of a cgroup; what is negative there becomes ``unlimited``, 0 is not set."""

    def limit(value: int | None) -> int | None:
        return unlimited if value is not None and value < 0 else value or None

    return cgroups.Limits(
        memory=limit(resources.memory_limit),
        quota=limit(resources.cpu_quota),
        period=resources.cpu_period or 100_000,
        shares=_positive(resources.cpu_shares),
        pids=limit(resources.pids_limit),
    )


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _volumes(spec: Spec) -> list[Volume]:
    found = []
    for mount in spec.mounts:
        target = posixpath.normpath(posixpath.join("/", mount.destination))
        if mount.type in _KERNEL_FILESYSTEMS or any(_below(target, folder) for folder in _KERNEL_FOLDERS):
            continue
        if mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options:
            recursive = "bind" not in mount.options
            found.append(Volume(mount.source, target, mount.readonly, recursive))
        elif mount.type == "tmpfs":
            known = ("size=", "mode=", "uid=", "gid=", "nr_inodes=")
            data = ",".join(option for option in mount.options if option.startswith(known))
            found.append(Volume("", target, mount.readonly, False, data))
    return found


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def module_on_host(sandbox: Sandbox, command: Command) -> str:
    """The host's path of the module that ``command`` names, found without mounting anything.

    A bare name is looked for in the working directory, in / and in PATH, as runwasi and docker do. NotFound.
    """
    layers = layers_of(sandbox)
    candidates = [posixpath.join(command.cwd, command.module)]
    if "/" not in command.module:
        path = next((word[5:] for word in command.env if word.startswith("PATH=")), "")
        candidates += [posixpath.join(folder or "/", command.module) for folder in ("/", *path.split(":"))]
    elif not command.module.startswith("/"):
        candidates.append("/" + command.module)
    return stacked.resolve_first(
        [_in_volume(sandbox, candidate) or (layers, candidate) for candidate in candidates], command.module
    )


def layers_of(sandbox: Sandbox) -> Sequence[str]:
    """The host folders that stacked make the rootfs, topmost first."""
    if not sandbox.mounts:
        return [sandbox.rootfs]
    mount = sandbox.mounts[-1]
    if mount.type != "overlay":
        return [mount.source]
    options = dict(option.partition("=")[::2] for option in mount.options)
    upper = [options["upperdir"]] if "upperdir" in options else []
    return upper + [folder for folder in options.get("lowerdir", "").split(":") if folder]


def _in_volume(sandbox: Sandbox, path: str) -> tuple[Sequence[str], str] | None:
    path = posixpath.normpath(path)
    inside = [volume for volume in sandbox.volumes if volume.source and _below(path, volume.target)]
    if not inside:
        return None
    volume = max(inside, key=lambda volume: len(volume.target))
    rest = path[len(volume.target) :]
    if rest:
        return [volume.source], rest
    return [os.path.dirname(volume.source)], os.path.basename(volume.source)
