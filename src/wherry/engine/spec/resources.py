"""Docker's limits as the runtime spec's ``linux.resources``. Pure.

Source: OCI runtime-spec v1.1, config-linux.md#control-groups.
"""

from collections.abc import Mapping
from typing import Any

_PERIOD_US = 100_000


def resources(host: Mapping[str, Any]) -> dict[str, Any]:
    """``host`` is a HostConfig, or as much of one as an update names; only limits that are set appear."""
    found = {
        "memory": _memory(host),
        "cpu": _cpu(host),
        "pids": {"limit": host["PidsLimit"]} if host.get("PidsLimit") else {},
        "blockIO": {"weight": host["BlkioWeight"]} if host.get("BlkioWeight") else {},
    }
    return {name: limits for name, limits in found.items() if limits}


def _memory(host: Mapping[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    memory, swap = host.get("Memory") or 0, host.get("MemorySwap") or 0
    if memory:
        limits["limit"] = memory
        # Docker allows as much swap again when nothing is said of it.
        limits["swap"] = swap or memory * 2
    if host.get("MemoryReservation"):
        limits["reservation"] = host["MemoryReservation"]
    if (swappiness := host.get("MemorySwappiness")) is not None and swappiness >= 0:
        limits["swappiness"] = host["MemorySwappiness"]
    if host.get("OomKillDisable"):
        limits["disableOOMKiller"] = True
    return limits


def _cpu(host: Mapping[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if host.get("NanoCpus"):
        limits["period"] = _PERIOD_US
        limits["quota"] = max(host["NanoCpus"] * _PERIOD_US // 1_000_000_000, 1_000)
    for ours, theirs in (
        ("CpuShares", "shares"),
        ("CpuQuota", "quota"),
        ("CpuPeriod", "period"),
        ("CpuRealtimePeriod", "realtimePeriod"),
        ("CpuRealtimeRuntime", "realtimeRuntime"),
        ("CpusetCpus", "cpus"),
        ("CpusetMems", "mems"),
    ):
        if host.get(ours):
            limits[theirs] = host[ours]
    return limits
