"""Limits that this machine cannot give: refused as docker refuses them, or told. Reads the kernel when asked; blocks.

What contradicts itself on any machine is refused in hostconfig.py.
"""

import glob
import os
from collections.abc import Mapping
from typing import Any, Final

from wherry.errors import InvalidArgument

_CGROUP: Final = "/sys/fs/cgroup"
_LEAST: Final = 10_000_000
"""A hundredth of a processor, in HostConfig's billionths: the kernel takes no shorter quota."""
_UNWEIGHED: Final = "Your kernel does not support Block I/O {} or the cgroup is not mounted. {} discarded."
_UNBOUND: Final = (
    "OOM killer is disabled for the container, but no memory limit is set, "
    "this can result in the system running out of resources."
)


def check(host: Mapping[str, Any], root: str = _CGROUP) -> None:
    """``host`` is a HostConfig; ``root`` where cgroups are mounted. InvalidArgument, as docker words it."""
    if host["NanoCpus"]:
        _check_cpus(host["NanoCpus"])
    for field, kind, told in (("CpusetCpus", "cpus", "CPUs"), ("CpusetMems", "mems", "memory nodes")):
        if host[field]:
            _check_set(host[field], kind, told, root)
    period, runtime = host["CpuRealtimePeriod"], host["CpuRealtimeRuntime"]
    if (period or runtime) and not os.path.exists(f"{root}/cpu/cpu.rt_runtime_us"):
        raise InvalidArgument("kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        raise InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")


def weighs(devices: bool, root: str = _CGROUP) -> bool:
    """Whether the kernel shares block devices out by weight; ``devices``: by another one for each."""
    if os.path.exists(f"{root}/cgroup.controllers"):
        return bool(glob.glob(f"{root}/*/io.weight") or glob.glob(f"{root}/*/io.bfq.weight"))
    suffix = "weight_device" if devices else "weight"
    return any(os.path.exists(f"{root}/blkio/blkio.{name}") for name in (suffix, f"bfq.{suffix}"))


def discarded(host: Mapping[str, Any], root: str = _CGROUP) -> list[str]:
    """The lines that `docker run` prints of a Linux container's limits that the kernel has not, or that are a risk."""
    found = []
    if host["BlkioWeight"] and not weighs(False, root):
        found.append(_UNWEIGHED.format("weight", "Weight"))
    if host["BlkioWeightDevice"] and not weighs(True, root):
        found.append(_UNWEIGHED.format("weight_device", "Weight-device"))
    if host["OomKillDisable"] and not host["Memory"]:
        found.append(_UNBOUND)
    return found


def _check_cpus(billionths: int) -> None:
    there = os.cpu_count() or 1
    if not _LEAST <= billionths <= there * 1_000_000_000:
        raise InvalidArgument(f"range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available")


def _check_set(text: str, kind: str, told: str, root: str) -> None:
    """Where cpusets are not mounted the runtime tells."""
    for path in (
        f"{root}/cpuset/cpuset.effective_{kind}",
        f"{root}/cpuset/cpuset.{kind}",
        f"{root}/cpuset.{kind}.effective",
    ):
        try:
            with open(path, encoding="ascii") as file:
                there = file.read().strip()
        except OSError:
            continue
        if not numbers(text) <= numbers(there):
            raise InvalidArgument(f"Requested {told} are not available - requested {text[:60]}, available: {there}")
        return


def numbers(text: str) -> set[int]:
    """``0-2,7`` as a set. InvalidArgument: it is no such list, or names very many."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 12:
            raise InvalidArgument(f"Invalid value {text[:60]} for cpuset")
        low, high = int(first), int(last or first)
        if high < low or high > 65_536:
            raise InvalidArgument(f"Invalid value {text[:60]} for cpuset")
        found.update(range(low, high + 1))
    return found
