"""The runtime spec that runc is given, with docker's defaults. Pure: what the machine adds is a parameter.

Sources: OCI runtime-spec v1.1, config-linux.md; docker's documented defaults for masked and read-only paths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.engine.record import Record
from wherry.engine.spec.devices import Throttle, block_limits, device_rules, device_spec
from wherry.engine.spec.mounts import to_spec
from wherry.engine.spec.process import User, capabilities, every_capability, process
from wherry.engine.spec.resources import resources
from wherry.engine.spec.seccomp import custom_profile, default_profile
from wherry.engine.spec.security import UNCONFINED, Security, security
from wherry.engine.spec.wasm import namespaces
from wherry.linux.devices import DeviceNode

MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

INIT: Final = "/sbin/docker-init"
"""Where --init puts the host's init in the container."""

_NOTHING_RUNS: Final = ("nosuid", "noexec", "nodev")


@dataclass(frozen=True, slots=True)
class Ground:
    """What the machine adds. ``devices`` are those the container asks for, by their paths in it, with their access
    (r, w, m); ``throttles`` limits on block devices, with those; ``capabilities`` the most it can be given;
    ``init`` the host's path of its init, "" for none."""

    architecture: str = "amd64"
    kernel: tuple[int, int] = (0, 0)
    capabilities: tuple[str, ...] = every_capability()
    devices: tuple[tuple[DeviceNode, str], ...] = ()
    throttles: tuple[tuple[Throttle, DeviceNode], ...] = ()
    init: str = ""
    apparmor: bool = False


def linux_spec(
    record: Record, *, args: Sequence[str], user: User, cgroup: str, annotations: Mapping[str, str], ground: Ground
) -> dict[str, Any]:
    """A container as docker makes it. InvalidArgument: its seccomp profile is none."""
    host, config = record.host_config, record.config
    words = (INIT, "--", *args) if ground.init else args
    held = held_capabilities(host, ground)
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process(words, config, host, user, config["Hostname"], held),
        "root": {"path": "rootfs", "readonly": host["ReadonlyRootfs"]},
        "hostname": config["Hostname"],
        "mounts": [*_system_mounts(record), *_init_mount(ground), *to_spec(record.mounts)],
        "annotations": {**host["Annotations"], **annotations},
        "linux": _linux(record, held, cgroup, ground),
    }
    if host["UTSMode"] == "host":
        # runc refuses to name a host that is not the container's own.
        del spec["hostname"]
    profile = security(host["SecurityOpt"] or ()).apparmor
    if ground.apparmor and profile not in ("", UNCONFINED):
        spec["process"]["apparmorProfile"] = profile
    return spec


def held_capabilities(host: Mapping[str, Any], ground: Ground, *, privileged: bool = False) -> tuple[str, ...]:
    """What a process of the container holds; all, if it or the container is privileged."""
    if privileged or host["Privileged"]:
        names = every_capability()
    else:
        names = capabilities(host["CapAdd"] or (), host["CapDrop"] or ())
    return tuple(name for name in names if name in ground.capabilities)


def _linux(record: Record, held: tuple[str, ...], cgroup: str, ground: Ground) -> dict[str, Any]:
    host, privileged = record.host_config, record.host_config["Privileged"]
    limits: dict[str, Any] = {**resources(host), "devices": device_rules(host, ground.devices, everything=privileged)}
    if ground.throttles:
        limits["blockIO"] = {**limits.get("blockIO", {}), **block_limits(ground.throttles)}
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in namespaces(host)],
        "resources": limits,
        "cgroupsPath": cgroup,
        "devices": device_spec([node for node, _ in ground.devices]),
        "maskedPaths": _paths(host["MaskedPaths"], () if privileged else MASKED),
        "readonlyPaths": _paths(host["ReadonlyPaths"], () if privileged else READ_ONLY),
        "sysctl": _sysctls(record),
    }
    profile = _seccomp(security(host["SecurityOpt"] or ()), held, ground, privileged=privileged)
    if profile is not None:
        linux["seccomp"] = profile
    return {key: value for key, value in linux.items() if value}


def _paths(own: Sequence[str] | None, usual: Sequence[str]) -> list[str]:
    return list(usual if own is None else own)


def _sysctls(record: Record) -> dict[str, str]:
    """The kernel's word for a host's domain is a sysctl of the UTS namespace."""
    host, domain = record.host_config, record.config["Domainname"]
    named = {"kernel.domainname": domain} if domain and host["UTSMode"] != "host" else {}
    return {**named, **(host["Sysctls"] or {})}


def _seccomp(options: Security, held: Sequence[str], ground: Ground, *, privileged: bool) -> dict[str, Any] | None:
    if options.seccomp == UNCONFINED or (privileged and not options.seccomp):
        return None
    if options.seccomp:
        return custom_profile(options.seccomp, ground.architecture, held, ground.kernel)
    return default_profile(ground.architecture, held)


def _init_mount(ground: Ground) -> list[dict[str, Any]]:
    return [_mount(INIT, "bind", ground.init, "bind", "ro")] if ground.init else []


def _system_mounts(record: Record) -> list[dict[str, Any]]:
    """What every container has but where the user mounts something of their own, there or above."""
    own = {point.destination for point in record.mounts}
    return [
        mount
        for mount in _usual_mounts(record.host_config)
        if not own & {mount["destination"], mount["destination"].rpartition("/")[0]}
    ]


def _usual_mounts(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    open_ = host["Privileged"]
    sys_mode = "rw" if open_ else "ro"
    cgroup_mode = "rw" if open_ or security(host["SecurityOpt"] or ()).writable_cgroups else "ro"
    return [
        _mount("/proc", "proc", "proc", *_NOTHING_RUNS),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", *_NOTHING_RUNS, sys_mode),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_NOTHING_RUNS, cgroup_mode),
        *_ipc_mounts(host),
    ]


def _ipc_mounts(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Mounted anew it shows the queues of the namespace that the container is in, the host's too.
    mqueue = _mount("/dev/mqueue", "mqueue", "mqueue", *_NOTHING_RUNS)
    if host["IpcMode"] == "host":
        return [mqueue, _mount("/dev/shm", "bind", "/dev/shm", "rbind", *_NOTHING_RUNS)]
    if host["IpcMode"] == "none":
        return [mqueue]
    size = host["ShmSize"] or 64 << 20
    return [mqueue, _mount("/dev/shm", "tmpfs", "shm", *_NOTHING_RUNS, "mode=1777", f"size={size}")]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
