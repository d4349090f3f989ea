"""What a container will not get though it was asked for: the lines that `docker run` prints. Pure.

What the kernel has not is in fit.py. What would be dangerous to leave out is refused instead, in hostconfig.py.
"""

from collections.abc import Collection
from typing import Any, Final

from wherry.engine.record import Record
from wherry.engine.spec.devices import THROTTLES
from wherry.oci.platform import Platform

# Fields of HostConfig, the options that set them, and why they change nothing.
_NOT_FOR_WASM: Final = (
    (("Privileged",), "--privileged has no effect on a WASM container: its sandbox is always on"),
    (("Devices", "DeviceCgroupRules"), "--device has no effect on a WASM container: it has no /dev"),
    (("Sysctls",), "--sysctl has no effect on a WASM container: nothing in it can read them"),
    (("ShmSize",), "--shm-size has no effect on a WASM container: it has no /dev/shm"),
    (("CpusetCpus", "CpusetMems"), "--cpuset-cpus has no effect on a WASM container: use --cpus"),
    (
        ("CpuRealtimePeriod", "CpuRealtimeRuntime"),
        "--cpu-rt-runtime has no effect on a WASM container: use --cpus",
    ),
    (("MemoryReservation",), "--memory-reservation has no effect on a WASM container: use --memory"),
    (("MemorySwappiness",), "--memory-swappiness has no effect on a WASM container: use --memory-swap"),
    (("OomKillDisable",), "--oom-kill-disable has no effect on a WASM container: who exceeds --memory is killed"),
    (("BlkioWeight", *THROTTLES), "--blkio-weight and --device-read-bps have no effect on a WASM container"),
)
_NOT_ROOTLESS: Final = (
    (
        ("Memory", "MemoryReservation", "NanoCpus", "CpuQuota", "CpuShares", "CpusetCpus", "PidsLimit", "BlkioWeight"),
        "limits have no effect on a Linux container of an engine that is not root's: no cgroup. Limitation discarded.",
    ),
    (("Devices", "DeviceCgroupRules"), "--device has no effect on a Linux container of an engine that is not root's"),
)
_UNSAID: Final = (("ShmSize", 64 << 20), ("MemorySwappiness", -1))
"""Defaults that the docker CLI sends though nobody asked for anything."""


def warnings(record: Record, only: Collection[str] | None = None, *, rootless: bool = False) -> list[str]:
    """One line for each option that has no effect; of the fields in ``only``, if that is given. ``rootless``: the
    engine is not root's."""
    host = record.host_config if only is None else {name: record.host_config[name] for name in only}
    table = _NOT_FOR_WASM if record.kind == "wasm" else _NOT_ROOTLESS if rootless else ()
    found = [text for fields, text in table if any(_is_set(name, host.get(name)) for name in fields)]
    if only is not None:
        return found
    if record.kind == "wasm":
        found += [
            f"--security-opt {option[:40]} has no effect on a WASM container: its sandbox is always on"
            for option in host["SecurityOpt"] or ()
            if not option.startswith("no-new-privileges")
        ]
    if host["NetworkMode"] == "host" and (host["PortBindings"] or host["PublishAllPorts"]):
        found.append("Published ports are discarded when using host network mode")
    return found


def foreign_platform(image: Platform, host: Platform) -> list[str]:
    """What docker says when nobody named a platform and the image is for another processor; it may run all the same,
    by binfmt_misc."""
    if image.is_wasm or host.matches(image):
        return []
    mismatch = f"The requested image's platform ({image}) does not match the detected host platform ({host})"
    return [f"{mismatch} and no specific platform was requested"]


def _is_set(name: str, value: Any) -> bool:
    return bool(value) and (name, value) not in _UNSAID
