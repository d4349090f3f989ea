"""`docker stats`: the figures of a task's cgroup in Docker's form. Pure but for the clock it is given.

Source: Docker Engine API v1.51, ContainerStats.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wherry.engine.containers.usage import usage
from wherry.engine.record import Record
from wherry.engine.times import ZERO, rfc3339

Json = dict[str, Any]

_DEV_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class Machine:
    """What the task does not tell: CPU time of the whole machine in nanoseconds, and the container's network
    interfaces in Docker's form."""

    cpu_ns: int
    networks: Json


def stats(
    record: Record,
    figures: Mapping[str, Any],
    now: int,
    machine: Machine,
    before: Json | None,
) -> Json:
    """One line of the stream. ``figures`` as `Task.stats` gives them, ``machine`` what else was
    measured then, ``before`` the line that came before this one, of which CPU shares are computed."""
    cpu, memory = _of(figures, "cpu"), _of(figures, "memory")
    pids = _of(figures, "pids")
    return {
        "read": rfc3339(now),
        "preread": before["read"] if before else ZERO,
        "name": f"/{record.name}",
        "id": record.id,
        "num_procs": 0,
        "pids_stats": {key: pids[key] for key in ("current", "limit") if pids.get(key)},
        "blkio_stats": _blkio(_of(figures, "blkio")),
        "storage_stats": {},
        "cpu_stats": _cpu(cpu, machine.cpu_ns),
        "precpu_stats": before["cpu_stats"] if before else _cpu({}, 0),
        "memory_stats": _memory(memory),
        **({"networks": machine.networks} if machine.networks else {}),
        **({"Wasm": {"Usage": usage(_of(figures, "wasm"))}} if record.kind == "wasm" else {}),
    }


def stopped(record: Record) -> Json:
    """What is told of a container that does not run."""
    return {**stats(record, {}, 0, Machine(0, {}), None), "read": ZERO}


def measure(pid: int, *, shares_network: bool) -> Machine:
    """Look now. ``pid`` is a process of the container; its network counts unless it is the host's. Blocks."""
    return Machine(machine_cpu_ns(), {} if shares_network else networks(pid))


def networks(pid: int) -> Json:
    """Figures of the interfaces that a process has, loopback left out.

    Source: https://man7.org/linux/man-pages/man5/proc_net.5.html, /proc/net/dev.
    """
    try:
        with open(_net_dev(pid), encoding="ascii", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:  # it has just ended
        return {}
    found = {name.strip(): values.split() for name, colon, values in lines if colon}
    return {name: _interface(words) for name, words in found.items() if name != "lo" and len(words) >= _DEV_COLUMNS}


def _net_dev(pid: int) -> str:
    return f"/proc/{pid}/net/dev"


def _interface(words: list[str]) -> Json:
    names = ("bytes", "packets", "errors", "dropped")
    sent = len(words) // 2
    return {f"rx_{name}": int(words[place]) for place, name in enumerate(names)} | {
        f"tx_{name}": int(words[sent + place]) for place, name in enumerate(names)
    }


def machine_cpu_ns() -> int:
    """CPU time that the machine has spent since it booted, in nanoseconds. Blocks, shortly."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = sum(int(word) for word in file.readline().split()[1:9])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _of(figures: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = figures.get(key)
    return found if isinstance(found, Mapping) else {}


def _cpu(cpu: Mapping[str, Any], system_ns: int) -> Json:
    usage, throttling = _of(cpu, "usage"), _of(cpu, "throttling")
    result: Json = {
        "cpu_usage": {
            "total_usage": usage.get("total", 0),
            "usage_in_kernelmode": usage.get("kernel", 0),
            "usage_in_usermode": usage.get("user", 0),
        },
        "throttling_data": {
            "periods": throttling.get("periods", 0),
            "throttled_periods": throttling.get("throttled_periods", 0),
            "throttled_time": throttling.get("throttled_time", 0),
        },
    }
    if system_ns:
        result |= {"system_cpu_usage": system_ns, "online_cpus": os.cpu_count() or 1}
    return result


def _memory(memory: Mapping[str, Any]) -> Json:
    usage = _of(memory, "usage")
    if not usage:
        return {}
    names = ("cache", "rss", "mapped_file", "active_anon", "inactive_anon", "active_file", "inactive_file")
    figures = {name: memory.get(name, 0) for name in names}
    limit = usage.get("limit", 0)
    return {
        "usage": usage.get("usage", 0),
        "max_usage": usage.get("max", 0),
        "failcnt": usage.get("failcnt", 0),
        # The kernel says "no limit" by a number near 2^63; clients divide by it, so they are given the machine's.
        "limit": limit if 0 < limit < 1 << 60 else machine_memory(),
        "stats": {**figures, "total_inactive_file": memory.get("total_inactive_file", memory.get("inactive_file", 0))},
    }


def machine_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _blkio(blkio: Mapping[str, Any]) -> Json:
    def entries(name: str) -> list[Json]:
        return [
            {
                "major": entry.get("major", 0),
                "minor": entry.get("minor", 0),
                "op": entry.get("op", ""),
                "value": entry.get("value", 0),
            }
            for entry in blkio.get(name) or ()
            if isinstance(entry, Mapping)
        ]

    return {name: entries(name) for name in ("io_service_bytes_recursive", "io_serviced_recursive")}
