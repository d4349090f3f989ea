"""Control groups of version 1, 2 and both at once: where a container is counted, limited, frozen and killed.

The version 2 hierarchy is used wherever it is mounted (on hybrid machines too: freezing, killing and CPU time need no
controller there). A version 1 hierarchy is joined only for a limit, since moving a process costs milliseconds.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/
"""

from __future__ import annotations

import errno
import os

from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_V1_CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "blkio")


class Hierarchies(Record):
    """Where the machine has cgroups mounted: ``unified`` is version 2's folder or "", ``v1`` by controller."""

    unified: str
    controllers: frozenset[str]
    v1: Mapping[str, str]


class Limits(Record):
    """None is unlimited, or, in a change, as it was; -1 is unlimited from now on. ``memory`` in bytes; ``quota`` in
    microseconds of CPU per ``period``; ``shares`` as v1's."""

    memory: int | None = None
    quota: int | None = None
    period: int = 100_000
    shares: int | None = None
    pids: int | None = None

    def controllers(self) -> frozenset[str]:
        """The controllers that these limits need."""
        wanted = {
            "memory": self.memory is not None,
            "cpu": self.quota is not None or self.shares is not None,
            "pids": self.pids is not None,
        }
        return frozenset(name for name, needed in wanted.items() if needed)

    def changed_by(self, change: Limits) -> Limits:
        """These, with what ``change`` names as there."""
        values = (old if new is None else new for old, new in zip(self, change, strict=True))
        return Limits(*values)


class Cgroup:
    """One container's cgroups: folders by hierarchy ("" is the unified one), and which controllers are missing."""

    __slots__ = ("folders", "missing")

    def __init__(self, folders: dict[str, str], missing: frozenset[str] = frozenset()) -> None:
        self.folders = folders
        self.missing = missing

    @property
    def unified(self) -> str:
        """The version 2 folder, or ""."""
        return self.folders.get("", "")

    def _file(self, controller: str, v1_name: str, v2_name: str) -> str | None:
        if controller in self.folders:
            return f"{self.folders[controller]}/{v1_name}"
        return f"{self.unified}/{v2_name}" if self.unified else None

    def set_limits(self, limits: Limits) -> None:
        """Write each limit where its controller is; one whose controller is missing is left out."""
        for path, value in self._writes(limits):
            if os.path.exists(path):
                _write(path, value)

    def _writes(self, limits: Limits) -> Iterator[tuple[str, str]]:
        unified = self.unified
        if limits.memory is not None:
            if "memory" in self.folders:
                yield from self._memory_v1(self.folders["memory"], str(limits.memory))
            elif unified:
                yield f"{unified}/memory.max", _or_max(limits.memory)
                yield f"{unified}/memory.swap.max", "0"
        if limits.pids is not None and (path := self._file("pids", "pids.max", "pids.max")):
            yield path, _or_max(limits.pids)
        if limits.quota is not None:
            if "cpu" in self.folders:
                yield f"{self.folders['cpu']}/cpu.cfs_period_us", str(limits.period)
                yield f"{self.folders['cpu']}/cpu.cfs_quota_us", str(limits.quota)
            elif unified:
                yield f"{unified}/cpu.max", f"{_or_max(limits.quota)} {limits.period}"
        if limits.shares is not None:
            weight = 1 + ((limits.shares - 2) * 9999) // 262142
            if path := self._file("cpu", "cpu.shares", "cpu.weight"):
                yield path, str(limits.shares if "cpu" in self.folders else weight)

    def _memory_v1(self, folder: str, value: str) -> Iterator[tuple[str, str]]:
        """Memory alone may never be more than memory and swap together, not between two writes either."""
        files = [f"{folder}/memory.limit_in_bytes", f"{folder}/memory.memsw.limit_in_bytes"]
        now = _number(files[0])
        raised = value == "-1" or (now is not None and int(value) > now)
        return ((path, value) for path in (reversed(files) if raised else files))

    def join_files(self) -> list[str]:
        """The version 1 files into which a child writes "0" to join; the unified one is joined at clone."""
        return [f"{folder}/cgroup.procs" for name, folder in self.folders.items() if name]

    def freeze(self, frozen: bool) -> bool:
        """Freeze or thaw all processes; False where no hierarchy can."""
        if not self.unified or not os.path.exists(f"{self.unified}/cgroup.freeze"):
            return False
        _write(f"{self.unified}/cgroup.freeze", "1" if frozen else "0")
        return True

    def oom_kills(self) -> int:
        """How often the kernel killed here for want of memory."""
        path = self._file("memory", "memory.oom_control", "memory.events")
        return _keyed(path).get("oom_kill", 0) if path else 0

    def memory_usage(self) -> int | None:
        """Bytes charged, None where nothing counts them."""
        return _number(self._file("memory", "memory.usage_in_bytes", "memory.current"))

    def memory_peak(self) -> int:
        """The most bytes there ever were, 0 where nothing counts them."""
        return _number(self._file("memory", "memory.max_usage_in_bytes", "memory.peak")) or 0

    def memory_failures(self) -> int:
        """How often the limit was hit."""
        if "memory" in self.folders:
            return _number(f"{self.folders['memory']}/memory.failcnt") or 0
        return _keyed(f"{self.unified}/memory.events").get("max", 0) if self.unified else 0

    def throttling(self) -> tuple[int, int, int]:
        """Periods of a CPU quota, how many of them were cut short, and for how many nanoseconds together."""
        folder = self.folders.get("cpu") or self.unified
        found = _keyed(f"{folder}/cpu.stat") if folder else {}
        spent = found.get("throttled_time") or found.get("throttled_usec", 0) * 1000
        return found.get("nr_periods", 0), found.get("nr_throttled", 0), spent

    def cpu_usage_ns(self) -> int | None:
        """CPU time used by all processes that were ever here, in nanoseconds."""
        usage = _keyed(f"{self.unified}/cpu.stat").get("usage_usec") if self.unified else None
        return usage * 1000 if usage is not None else None

    def pids(self) -> list[int]:
        """The processes inside, as the caller's pid namespace numbers them."""
        for folder in self.folders.values():
            with suppress(OSError), open(f"{folder}/cgroup.procs") as file:
                return [int(line) for line in file]
        return []

    def remove(self) -> bool:
        """Remove the empty folders; False while a process is still leaving one."""
        done = True
        for name, folder in list(self.folders.items()):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                done = False
                continue
            del self.folders[name]
        return done


def find(mountinfo: Iterable[str]) -> Hierarchies:
    """Read the hierarchies off lines of /proc/self/mountinfo. Pure."""
    unified, v1 = "", {}
    for line in mountinfo:
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or not kind:
            continue
        if kind[0] == "cgroup2":
            unified = fields[4]
        elif kind[0] == "cgroup" and len(kind) > 2:
            v1.update({name: fields[4] for name in kind[2].split(",") if name in _V1_CONTROLLERS})
    return Hierarchies(unified, frozenset(), v1)


def discover() -> Hierarchies:
    """The hierarchies of this machine, with the controllers that the unified one offers."""
    with open("/proc/self/mountinfo") as file:
        found = find(file)
    controllers: frozenset[str] = frozenset()
    with suppress(OSError), open(f"{found.unified}/cgroup.controllers") as file:
        controllers = frozenset(file.read().split())
    return Hierarchies(found.unified, controllers, found.v1)


def create(hierarchies: Hierarchies, path: str, limits: Limits) -> Cgroup:
    """Make the cgroups ``path`` (as the OCI spec's cgroupsPath) that ``limits`` need, and set them.

    Folders that may not be made are left out: `Cgroup.missing` names the controllers that are wanted and not there.
    """
    folders: dict[str, str] = {}
    wanted = limits.controllers()
    relative = os.path.normpath("/" + path).lstrip("/")
    if not relative:
        raise InvalidArgument(f"cgroup {path!r} is that of the whole machine: name one below it")
    if hierarchies.unified:
        folder = _make(hierarchies.unified, relative, wanted & hierarchies.controllers)
        if folder:
            folders[""] = folder
    for controller in sorted(wanted - (hierarchies.controllers if "" in folders else frozenset())):
        folder = _make(hierarchies.v1[controller], relative, frozenset()) if controller in hierarchies.v1 else ""
        if folder:
            folders[controller] = folder
    missing = wanted - frozenset(folders) - (hierarchies.controllers if "" in folders else frozenset())
    cgroup = Cgroup(folders, missing)
    cgroup.set_limits(limits)
    return cgroup


def _make(top: str, relative: str, enable: frozenset[str]) -> str:
    """Make the folder below ``top``, its parents offering ``enable``; "" when that may not be."""
    here = top
    try:
        for part in relative.split("/"):
            for controller in enable:
                _write(f"{here}/cgroup.subtree_control", f"+{controller}")
            here = f"{here}/{part}"
            with suppress(FileExistsError):
                os.mkdir(here)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return ""
        raise
    return here


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _or_max(value: int) -> str:
    return str(value) if value >= 0 else "max"


def _number(path: str | None) -> int | None:
    if path:
        with suppress(OSError, ValueError), open(path) as file:
            return int(file.read())
    return None


def _keyed(path: str) -> dict[str, int]:
    found: dict[str, int] = {}
    with suppress(OSError), open(path) as file:
        for line in file:
            key, _, value = line.partition(" ")
            if value.strip().isdigit():
                found[key] = int(value)
    return found
