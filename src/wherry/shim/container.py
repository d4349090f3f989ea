"""A task as the shim keeps it: its first process, its execs, its cgroup, and who waits for which of them."""

from __future__ import annotations

from wherry.errors import NotFound
from wherry.linux import cgroups
from wherry.shim import figures
from wherry.shim.birth import Sandbox
from wherry.shim.listener import Call
from wherry.shim.process import PAUSED, STOPPED, Process
from wherry.shim.stdio import Paths
from wherry.shim.usage import Sum
from wherry.wire import metrics
from wherry.wire import task as api
from wherry.wire.usage import Usage
from wherry.wire.wellknown import Timestamp

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterator


class Container:
    """One task. ``leader`` is None until it is cloned (its module may be compiling); ``used`` is what those
    of its guests used that are gone."""

    def __init__(
        self,
        container_id: str,
        bundle: str,
        sandbox: Sandbox,
        cgroups_path: str,
        limits: cgroups.Limits,
        cgroup: cgroups.Cgroup,
    ) -> None:
        self.id = container_id
        self.bundle = bundle
        self.sandbox = sandbox
        self.cgroups_path = cgroups_path
        self.limits = limits
        self.cgroup = cgroup
        self.used = Sum()
        self.io: dict[str, Paths] = {}
        self.leader: Process | None = None
        self.execs: dict[str, Process] = {}
        self.waiters: dict[str, list[Call]] = {}

    def process(self, exec_id: str) -> Process:
        """The first process for "", else the exec. NotFound."""
        found = self.execs.get(exec_id) if exec_id else self.leader
        if found is None:
            raise NotFound(f"exec {exec_id} of task {self.id} does not exist" if exec_id else f"task {self.id}")
        return found

    def processes(self) -> Iterator[Process]:
        """All of its processes that have not ended."""
        for process in (self.leader, *self.execs.values()):
            if process is not None and process.state != STOPPED:
                yield process

    def state(self, exec_id: str) -> api.StateResponse:
        """What State answers."""
        process = self.process(exec_id)
        io = self.io[exec_id]
        paused = self.leader is not None and self.leader.state == PAUSED and process.state != STOPPED
        return api.StateResponse(
            id=self.id,
            bundle=self.bundle,
            pid=process.pid,
            status=PAUSED if paused else process.state,
            stdin=io.stdin,
            stdout=io.stdout,
            stderr=io.stderr,
            terminal=io.terminal,
            exit_status=process.exit.status if process.exit else 0,
            exited_at=Timestamp.from_ns(process.exit.at) if process.exit else None,
            exec_id=exec_id,
        )

    def pids(self) -> list[int]:
        """The processes that are there, as the host numbers them."""
        return sorted({process.pid for process in self.processes() if process.pid} | set(self.cgroup.pids()))

    def update(self, hierarchies: cgroups.Hierarchies, limits: cgroups.Limits) -> None:
        """Set limits while it runs, joining hierarchies that were not needed before."""
        path = self.cgroups_path or f"/wherry/{self.id}"
        changed = cgroups.create(hierarchies, path, limits)
        for name in set(changed.folders) - set(self.cgroup.folders):
            for process in self.processes():
                with open(f"{changed.folders[name]}/cgroup.procs", "w") as file:
                    file.write(str(process.pid))
        self.cgroup.folders.update(changed.folders)
        self.limits = self.limits.changed_by(limits)

    def usage(self) -> Usage:
        """What its guests used so far."""
        for process in self.processes():
            process.page.look(process.pid)
        processes = (self.leader, *self.execs.values())
        return self.used.usage([process.page for process in processes if process is not None], self.sandbox.fuel)

    def metrics(self) -> metrics.Metrics:
        """What Stats answers."""
        return figures.metrics_of(self.pids(), self.cgroup, self.limits, self.usage())
