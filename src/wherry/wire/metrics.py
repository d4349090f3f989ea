"""Figures of a task's cgroup as containerd's shims report them: io.containerd.cgroups.v1.Metrics and v2's. No I/O.

All of v1's pids, cpu, memory and blkio; of v2's what `docker stats` needs. Network figures are not the shim's to tell.

Source: https://github.com/containerd/cgroups cgroup1/stats/metrics.proto, cgroup2/stats/metrics.proto.
"""

from __future__ import annotations

from wherry.wire import usage
from wherry.wire.protobuf import Message, message, messages, string, uint64, uint64s
from wherry.wire.usage import Usage

V1_TYPE_URL = "io.containerd.cgroups.v1.Metrics"
V2_TYPE_URL = "io.containerd.cgroups.v2.Metrics"


class PidsStat(Message):
    current: int = uint64(1)
    limit: int = uint64(2)


class CPUUsage(Message):
    """Nanoseconds."""

    total: int = uint64(1)
    kernel: int = uint64(2)
    user: int = uint64(3)
    per_cpu: tuple[int, ...] = uint64s(4)


class Throttle(Message):
    """``throttled_time`` in nanoseconds."""

    periods: int = uint64(1)
    throttled_periods: int = uint64(2)
    throttled_time: int = uint64(3)


class CPUStat(Message):
    usage: CPUUsage | None = message(1, CPUUsage)
    throttling: Throttle | None = message(2, Throttle)


class MemoryEntry(Message):
    """Bytes; ``max`` is the high-water mark, ``failcnt`` how often the limit was hit."""

    limit: int = uint64(1)
    usage: int = uint64(2)
    max: int = uint64(3)
    failcnt: int = uint64(4)


class MemoryStat(Message):
    """Bytes, and counts of page events; the names are memory.stat's of cgroup v1."""

    cache: int = uint64(1)
    rss: int = uint64(2)
    rss_huge: int = uint64(3)
    mapped_file: int = uint64(4)
    dirty: int = uint64(5)
    writeback: int = uint64(6)
    pg_pg_in: int = uint64(7)
    pg_pg_out: int = uint64(8)
    pg_fault: int = uint64(9)
    pg_maj_fault: int = uint64(10)
    inactive_anon: int = uint64(11)
    active_anon: int = uint64(12)
    inactive_file: int = uint64(13)
    active_file: int = uint64(14)
    unevictable: int = uint64(15)
    hierarchical_memory_limit: int = uint64(16)
    hierarchical_swap_limit: int = uint64(17)
    total_cache: int = uint64(18)
    total_rss: int = uint64(19)
    total_rss_huge: int = uint64(20)
    total_mapped_file: int = uint64(21)
    total_dirty: int = uint64(22)
    total_writeback: int = uint64(23)
    total_pg_pg_in: int = uint64(24)
    total_pg_pg_out: int = uint64(25)
    total_pg_fault: int = uint64(26)
    total_pg_maj_fault: int = uint64(27)
    total_inactive_anon: int = uint64(28)
    total_active_anon: int = uint64(29)
    total_inactive_file: int = uint64(30)
    total_active_file: int = uint64(31)
    total_unevictable: int = uint64(32)
    usage: MemoryEntry | None = message(33, MemoryEntry)
    swap: MemoryEntry | None = message(34, MemoryEntry)
    kernel: MemoryEntry | None = message(35, MemoryEntry)
    kernel_tcp: MemoryEntry | None = message(36, MemoryEntry)


class MemoryOomControl(Message):
    oom_kill_disable: int = uint64(1)
    under_oom: int = uint64(2)
    oom_kill: int = uint64(3)


class BlkIOEntry(Message):
    op: str = string(1)
    device: str = string(2)
    major: int = uint64(3)
    minor: int = uint64(4)
    value: int = uint64(5)


class BlkIOStat(Message):
    io_service_bytes_recursive: tuple[BlkIOEntry, ...] = messages(1, BlkIOEntry)
    io_serviced_recursive: tuple[BlkIOEntry, ...] = messages(2, BlkIOEntry)
    io_queued_recursive: tuple[BlkIOEntry, ...] = messages(3, BlkIOEntry)
    io_service_time_recursive: tuple[BlkIOEntry, ...] = messages(4, BlkIOEntry)
    io_wait_time_recursive: tuple[BlkIOEntry, ...] = messages(5, BlkIOEntry)
    io_merged_recursive: tuple[BlkIOEntry, ...] = messages(6, BlkIOEntry)
    io_time_recursive: tuple[BlkIOEntry, ...] = messages(7, BlkIOEntry)
    sectors_recursive: tuple[BlkIOEntry, ...] = messages(8, BlkIOEntry)


class Metrics(Message):
    """io.containerd.cgroups.v1.Metrics; ``wasm`` is wherry's shim's own."""

    pids: PidsStat | None = message(2, PidsStat)
    cpu: CPUStat | None = message(3, CPUStat)
    memory: MemoryStat | None = message(4, MemoryStat)
    blkio: BlkIOStat | None = message(5, BlkIOStat)
    memory_oom_control: MemoryOomControl | None = message(9, MemoryOomControl)
    wasm: Usage | None = message(usage.FIELD, Usage)


class CPUStat2(Message):
    """Microseconds."""

    usage_usec: int = uint64(1)
    user_usec: int = uint64(2)
    system_usec: int = uint64(3)
    nr_periods: int = uint64(4)
    nr_throttled: int = uint64(5)
    throttled_usec: int = uint64(6)


class MemoryStat2(Message):
    """Bytes, and counts of page events; the names are memory.stat's of cgroup v2."""

    anon: int = uint64(1)
    file: int = uint64(2)
    inactive_anon: int = uint64(11)
    active_anon: int = uint64(12)
    inactive_file: int = uint64(13)
    active_file: int = uint64(14)
    pgfault: int = uint64(18)
    pgmajfault: int = uint64(19)
    usage: int = uint64(32)
    usage_limit: int = uint64(33)
    swap_usage: int = uint64(34)
    swap_limit: int = uint64(35)
    max_usage: int = uint64(36)


class IOEntry2(Message):
    major: int = uint64(1)
    minor: int = uint64(2)
    rbytes: int = uint64(3)
    wbytes: int = uint64(4)
    rios: int = uint64(5)
    wios: int = uint64(6)


class IOStat2(Message):
    usage: tuple[IOEntry2, ...] = messages(1, IOEntry2)


class MemoryEvents2(Message):
    low: int = uint64(1)
    high: int = uint64(2)
    max: int = uint64(3)
    oom: int = uint64(4)
    oom_kill: int = uint64(5)


class Metrics2(Message):
    """io.containerd.cgroups.v2.Metrics."""

    pids: PidsStat | None = message(1, PidsStat)
    cpu: CPUStat2 | None = message(2, CPUStat2)
    memory: MemoryStat2 | None = message(4, MemoryStat2)
    io: IOStat2 | None = message(6, IOStat2)
    memory_events: MemoryEvents2 | None = message(8, MemoryEvents2)


TYPES: dict[str, type[Metrics | Metrics2]] = {V1_TYPE_URL: Metrics, V2_TYPE_URL: Metrics2}
"""Which message a StatsResponse holds, by its Any's type."""


def as_v1(figures: Metrics2) -> Metrics:
    """Figures of cgroup v2 under v1's names, so that readers know one set of names."""
    cpu, memory = figures.cpu or CPUStat2(), figures.memory or MemoryStat2()
    usage = CPUUsage(total=cpu.usage_usec * 1000, kernel=cpu.system_usec * 1000, user=cpu.user_usec * 1000)
    throttling = Throttle(
        periods=cpu.nr_periods, throttled_periods=cpu.nr_throttled, throttled_time=cpu.throttled_usec * 1000
    )
    return Metrics(
        pids=figures.pids,
        cpu=CPUStat(usage=usage, throttling=throttling),
        memory=MemoryStat(
            cache=memory.file,
            rss=memory.anon,
            inactive_file=memory.inactive_file,
            active_file=memory.active_file,
            total_inactive_file=memory.inactive_file,
            usage=MemoryEntry(limit=memory.usage_limit, usage=memory.usage, max=memory.max_usage),
            swap=MemoryEntry(limit=memory.swap_limit, usage=memory.swap_usage),
        ),
        blkio=_blkio(figures.io),
        memory_oom_control=MemoryOomControl(oom_kill=figures.memory_events.oom_kill if figures.memory_events else 0),
    )


def _blkio(figures: IOStat2 | None) -> BlkIOStat:
    entries = figures.usage if figures else ()
    pairs = [(e, op, value) for e in entries for op, value in (("Read", e.rbytes), ("Write", e.wbytes))]
    return BlkIOStat(
        io_service_bytes_recursive=tuple(
            BlkIOEntry(op=op, major=e.major, minor=e.minor, value=value) for e, op, value in pairs
        )
    )
