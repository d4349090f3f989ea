"""A task's figures for Stats: its cgroup's, or its processes' own where nothing counts them.

Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, proc_pid_io.5.html
"""

from __future__ import annotations

import os

from wherry.record import Record
from wherry.suppress import suppress
from wherry.wire import metrics

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.linux.cgroups import Cgroup, Limits
    from wherry.wire.usage import Usage

# Places in /proc/PID/stat, counted from the one after the name.
_UTIME, _STIME, _THREADS = 11, 12, 17


class Figures(Record):
    """Of one process, or of several together. CPU time in nanoseconds; ``memory`` in bytes, of pages that n processes
    share an n-th; ``read`` and ``written`` in bytes, of what went to or came from disks."""

    user: int = 0
    system: int = 0
    threads: int = 0
    memory: int = 0
    read: int = 0
    written: int = 0

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(*(a + b for a, b in zip(self, other, strict=True)))


def metrics_of(pids: Sequence[int], cgroup: Cgroup, limits: Limits, usage: Usage) -> metrics.Metrics:
    """What Stats answers of a task whose processes are ``pids``."""
    own = together(pids)
    # A cgroup joined late has not seen the beginning, and processes that are gone only a cgroup remembers.
    total = max(cgroup.cpu_usage_ns() or 0, own.user + own.system)
    memory = cgroup.memory_usage()
    periods, throttled, nanoseconds = cgroup.throttling()
    usage_of_memory = metrics.MemoryEntry(
        usage=own.memory if memory is None else memory,
        limit=max(limits.memory or 0, 0),
        max=cgroup.memory_peak(),
        failcnt=cgroup.memory_failures(),
    )
    return metrics.Metrics(
        pids=metrics.PidsStat(current=own.threads, limit=max(limits.pids or 0, 0)),
        cpu=metrics.CPUStat(
            usage=metrics.CPUUsage(total=total, kernel=own.system, user=own.user),
            throttling=metrics.Throttle(periods=periods, throttled_periods=throttled, throttled_time=nanoseconds),
        ),
        memory=metrics.MemoryStat(rss=own.memory, usage=usage_of_memory),
        blkio=_blkio(own),
        wasm=usage,
    )


def _blkio(own: Figures) -> metrics.BlkIOStat:
    pairs = (("Read", own.read), ("Write", own.written))
    entries = tuple(metrics.BlkIOEntry(op=name, value=value) for name, value in pairs if value)
    return metrics.BlkIOStat(io_service_bytes_recursive=entries)


def together(pids: Iterable[int]) -> Figures:
    """The figures of processes, but for those that have just ended."""
    total = Figures()
    for pid in pids:
        with suppress(OSError, ValueError, IndexError, StopIteration):
            total = total.plus(_of_process(f"/proc/{pid}"))
    return total


def _of_process(folder: str) -> Figures:
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    with open(f"{folder}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    with open(f"{folder}/smaps_rollup", "rb") as file:
        memory = next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    disk: dict[bytes, int] = {}
    with suppress(PermissionError), open(f"{folder}/io", "rb") as file:
        disk = {key: int(value) for key, _, value in (line.partition(b": ") for line in file)}
    return Figures(
        user=int(fields[_UTIME]) * tick,
        system=int(fields[_STIME]) * tick,
        threads=int(fields[_THREADS]),
        memory=memory,
        read=disk.get(b"read_bytes", 0),
        written=disk.get(b"write_bytes", 0),
    )
