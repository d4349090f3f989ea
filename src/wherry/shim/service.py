"""containerd's Task service over this shim's containers: one method per call, in one table.

Source: containerd api/runtime/task/v2/shim.proto and runtime/v2/README.md (which events follow which call).
"""

from __future__ import annotations

import os

from wherry import __version__
from wherry.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
    WherryError,
)
from wherry.linux import cgroups, signals
from wherry.oci.mount import Mount
from wherry.oci.spec import Resources
from wherry.shim import sandbox
from wherry.shim.birth import HTTP_ANNOTATION, HTTP_KINDS, Command
from wherry.shim.bundle import from_json, read_process, read_spec
from wherry.shim.container import Container
from wherry.shim.group import Group, check_id
from wherry.shim.listener import Call
from wherry.shim.modules import Modules
from wherry.shim.nursery import Newborn, Nursery
from wherry.shim.process import CREATED, PAUSED, RUNNING, Process
from wherry.shim.publisher import Publisher
from wherry.shim.reactor import Reactor
from wherry.shim.report import as_wherry_error
from wherry.shim.stdio import Paths, Stdio
from wherry.shim.usage import Page
from wherry.suppress import suppress
from wherry.wire import events, metrics
from wherry.wire import task as api
from wherry.wire.protobuf import Message
from wherry.wire.wellknown import Any as Packed
from wherry.wire.wellknown import Empty, Timestamp

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wherry.shim.birth import Sandbox
    from wherry.shim.wagi.plan import Plan as HttpPlan

_CGROUP_RETRY = 0.01
_CGROUP_TRIES = 300
_WORTH_ANOTHER_TRY = (DataLoss, Unavailable)
"""The compiled module was damaged, and will be made anew; or the zygote had just died."""


class TaskService:
    """Answers the calls; ``on_shutdown`` is called when Shutdown finds no task left."""

    def __init__(
        self,
        reactor: Reactor,
        modules: Modules,
        nursery: Nursery,
        publisher: Publisher,
        hierarchies: cgroups.Hierarchies,
        group: Group,
        on_shutdown: Callable[[], None],
    ) -> None:
        self.containers: dict[str, Container] = {}
        self._reactor = reactor
        self._modules = modules
        self._nursery = nursery
        self._publisher = publisher
        self._hierarchies = hierarchies
        self._group = group
        self._on_shutdown = on_shutdown
        self._methods: Mapping[str, Callable[[Call, Any], Message | None]] = {
            "Create": self._create,
            "Start": self._start,
            "State": self._state,
            "Wait": self._wait,
            "Kill": self._kill,
            "Delete": self._delete,
            "Exec": self._exec,
            "ResizePty": self._resize_pty,
            "CloseIO": self._close_io,
            "Pids": self._pids,
            "Pause": self._pause,
            "Resume": self._resume,
            "Stats": self._stats,
            "Update": self._update,
            "Connect": self._connect,
            "Shutdown": self._shutdown,
        }

    def dispatch(self, call: Call) -> None:
        """Answer ``call`` now, or keep it for later: a method that returns None has."""
        request = call.request
        try:
            method = self._methods.get(request.method)
            if request.service not in (api.SERVICE, "containerd.task.v3.Task") or method is None:
                raise Unimplemented(f"{request.service}/{request.method} is not offered by this shim")
            answer = method(call, api.METHODS[request.method][0].decode(request.payload))
        except WherryError as error:
            call.fail(error)
        except OSError as error:
            call.fail(
                FailedPrecondition(f"{request.method}: {error.filename or ''} {error.strerror}".replace("  ", " "))
            )
        # A fault of ours in one call must not take down the other containers.
        except Exception as error:  # noqa: BLE001
            call.fail(error)
        else:
            if answer is not None:
                call.reply(answer)

    def _container(self, container_id: str) -> Container:
        found = self.containers.get(container_id)
        if found is None:
            raise NotFound(f"task {container_id} does not exist")
        return found

    # Create

    def _create(self, call: Call, request: api.CreateTaskRequest) -> None:
        if check_id(request.id) in self.containers:
            raise AlreadyExists(f"task {request.id} exists already")
        if request.checkpoint:
            raise Unimplemented("checkpoints are not offered for WASM containers")
        spec = read_spec(request.bundle)
        mounts = tuple(Mount(mount.type, mount.source, mount.options, mount.target) for mount in request.rootfs)
        plan = sandbox.plan_sandbox(spec, mounts, request.bundle)
        command = sandbox.plan_command(spec.process)
        if request.terminal != command.terminal:
            raise InvalidArgument("the request and the spec disagree on whether there is a terminal")
        plan, front = _http(plan, command, spec.annotations)
        path = front.modules[0] if front is not None else sandbox.module_on_host(plan, command)
        limits, linux = sandbox.limits_of(spec.linux.resources), spec.linux
        container = Container(request.id, request.bundle, plan, linux.cgroups_path, limits, cgroups.Cgroup({}))
        container.io[""] = Paths(request.stdin, request.stdout, request.stderr, request.terminal)
        self.containers[request.id] = container
        self._group.arrived(request.id)

        if front is not None:
            self._find_all(call, container, command, front, {})
        else:
            self._find_and_clone(call, container, command, path)

    def _find_all(
        self, call: Call, container: Container, command: Command, front: HttpPlan, compiled: dict[str, str]
    ) -> None:
        """The modules of a server of HTTP, one after the other."""
        left = [path for path in front.modules if path not in compiled]
        if not left:
            container.sandbox = sandbox.with_http(container.sandbox, front.compiled(compiled))
            self._find_and_clone(call, container, command, front.modules[0])
            return

        def found(module: str, error: WherryError | None) -> None:
            if error is not None:
                self._forget(container)
                call.fail(error)
                return
            self._find_all(call, container, command, front, {**compiled, left[0]: module})

        self._modules.find(left[0], found, fuel=bool(container.sandbox.fuel))

    def _find_and_clone(
        self, call: Call, container: Container, command: Command, path: str, *, again: bool = False
    ) -> None:
        """``again``: it went wrong in a way that may not happen twice."""

        def found(module: str, error: WherryError | None) -> None:
            try:
                if error is not None:
                    raise error
                self._clone(call, container, command, path, module, again=again)
            # Also what the kernel refuses: a call that is not answered would be waited for without end.
            except (WherryError, OSError) as failure:
                self._forget(container)
                call.fail(as_wherry_error("create the task", failure))

        self._modules.find(path, found, fuel=bool(container.sandbox.fuel))

    def _clone(
        self, call: Call, container: Container, command: Command, path: str, module: str, *, again: bool
    ) -> None:
        def ready(process: Process, error: WherryError | None) -> None:
            if isinstance(error, _WORTH_ANOTHER_TRY) and not again:
                process.when_reaped(lambda: self._clone_anew(call, container, command, path, module, error))
                return
            if error is not None:
                process.when_reaped(lambda: self._forget(container))
                call.fail(error)
                return
            paths = container.io[""]
            io = events.TaskIO(stdin=paths.stdin, stdout=paths.stdout, stderr=paths.stderr, terminal=paths.terminal)
            call.reply(api.CreateTaskResponse(pid=process.pid))
            self._publish(events.TaskCreate(container_id=container.id, bundle=container.bundle, io=io, pid=process.pid))

        def exited(process: Process) -> None:
            self._exited(container, "", process)

        stdio = Stdio(self._reactor, container.io[""])
        page: Page | None = None
        try:
            page = Page()
            if command.terminal and command.console_size:
                stdio.resize(command.console_size[1], command.console_size[0])
            if container.cgroups_path:
                container.cgroup = cgroups.create(self._hierarchies, container.cgroups_path, container.limits)
            new = Newborn(container.id, container.sandbox, command, module, stdio, page, ready, exited)
            container.leader = self._nursery.spawn(new, container.cgroup)
        except (WherryError, OSError):
            _let_go(stdio, page)
            raise

    def _clone_anew(
        self,
        call: Call,
        container: Container,
        command: Command,
        path: str,
        module: str,
        error: WherryError,
    ) -> None:
        if container.leader is not None:
            container.leader.let_go()
        if isinstance(error, DataLoss):
            self._modules.forget(module)
        self._find_and_clone(call, container, command, path, again=True)

    def _forget(self, container: Container) -> None:
        """Drop a container that never came to be, or was deleted."""
        if self.containers.get(container.id) is container:
            del self.containers[container.id]
        if container.leader is not None:
            container.leader.let_go()
        self._remove_cgroup(container.cgroup, _CGROUP_TRIES)

    def _remove_cgroup(self, cgroup: cgroups.Cgroup, tries: int) -> None:
        if not cgroup.remove() and tries:
            self._reactor.later(_CGROUP_RETRY, lambda: self._remove_cgroup(cgroup, tries - 1))

    # Life

    def _start(self, _: Call, request: api.ProcessRequest) -> Message:
        container = self._container(request.id)
        process = container.process(request.exec_id)
        process.start()
        if request.exec_id:
            self._publish(events.TaskExecStarted(container_id=request.id, exec_id=request.exec_id, pid=process.pid))
        else:
            self._publish(events.TaskStart(container_id=request.id, pid=process.pid))
        return api.StartResponse(pid=process.pid)

    def _exited(self, container: Container, exec_id: str, process: Process) -> None:
        exit_ = process.exit
        assert exit_ is not None
        if not exec_id:
            for other in container.processes():
                with suppress(NotFound):  # one that is being made has no pid yet: it is born into a dead namespace
                    other.kill(signals.SIGKILL)
            if exit_.status == 128 + signals.SIGKILL and container.cgroup.oom_kills():
                self._publish(events.TaskOOM(container_id=container.id))
        at = Timestamp.from_ns(exit_.at)
        usage = container.usage() if not exec_id else None
        for call in container.waiters.pop(exec_id, []):
            call.reply(api.WaitResponse(exit_status=exit_.status, exited_at=at, usage=usage))
        self._publish(
            events.TaskExit(
                container_id=container.id,
                id=exec_id or container.id,
                pid=process.pid,
                exit_status=exit_.status,
                exited_at=at,
            )
        )

    def _state(self, _: Call, request: api.ProcessRequest) -> Message:
        return self._container(request.id).state(request.exec_id)

    def _wait(self, call: Call, request: api.ProcessRequest) -> Message | None:
        container = self._container(request.id)
        process = container.process(request.exec_id)
        if process.exit is not None:
            at = Timestamp.from_ns(process.exit.at)
            usage = container.usage() if not request.exec_id else None
            return api.WaitResponse(exit_status=process.exit.status, exited_at=at, usage=usage)
        container.waiters.setdefault(request.exec_id, []).append(call)
        return None

    def _kill(self, _: Call, request: api.KillRequest) -> Message:
        container = self._container(request.id)
        if not 0 < request.signal <= signals.LAST:
            raise InvalidArgument(f"signal {request.signal} does not exist")
        if request.all:
            for process in list(container.processes()):
                process.kill(request.signal)
        else:
            container.process(request.exec_id).kill(request.signal)
        return Empty()

    def _delete(self, call: Call, request: api.ProcessRequest) -> Message | None:
        container = self._container(request.id)
        process = container.process(request.exec_id)
        process.require("delete")
        if process.state == CREATED:
            process.kill(signals.SIGKILL)
            process.when_reaped(lambda: call.reply(self._deleted(container, request.exec_id, process)))
            return None
        return self._deleted(container, request.exec_id, process)

    def _deleted(self, container: Container, exec_id: str, process: Process) -> Message:
        exit_ = process.exit
        assert exit_ is not None
        at = Timestamp.from_ns(exit_.at)
        if exec_id:
            container.execs.pop(exec_id, None)
            container.io.pop(exec_id, None)
            container.used.bury(process.page)
            process.let_go()
        else:
            self.containers.pop(container.id, None)
            process.bury()
            process.when_reaped(lambda: self._forget(container))
            event = events.TaskDelete(
                container_id=container.id, id=container.id, pid=process.pid, exit_status=exit_.status, exited_at=at
            )
            self._publish(event)
        return api.DeleteResponse(pid=process.pid, exit_status=exit_.status, exited_at=at)

    # Execs

    def _exec(self, call: Call, request: api.ExecProcessRequest) -> None:
        container = self._container(request.id)
        leader = container.process("")
        leader.require("exec")
        if not request.exec_id or request.exec_id in container.io:
            raise AlreadyExists(f"exec {request.exec_id!r} of task {request.id} exists already")
        command = sandbox.plan_command(read_process(request.spec))
        path = sandbox.module_on_host(container.sandbox, command)
        container.io[request.exec_id] = Paths(request.stdin, request.stdout, request.stderr, request.terminal)

        def found(module: str, error: WherryError | None) -> None:
            try:
                if error is not None:
                    raise error
                self._clone_beside(call, container, request.exec_id, command, module)
            except (WherryError, OSError) as failure:
                container.io.pop(request.exec_id, None)
                call.fail(as_wherry_error("make the process", failure))

        self._modules.find(path, found, fuel=bool(container.sandbox.fuel))

    def _clone_beside(self, call: Call, container: Container, exec_id: str, command: Command, module: str) -> None:
        leader = container.process("")
        leader.require("exec")
        stdio = Stdio(self._reactor, container.io[exec_id])

        def ready(process: Process, error: WherryError | None) -> None:
            if error is not None:
                container.execs.pop(exec_id, None)
                container.io.pop(exec_id, None)
                process.let_go()
                call.fail(error)
                return
            self._publish(events.TaskExecAdded(container_id=container.id, exec_id=exec_id))
            call.reply(Empty())

        def exited(process: Process) -> None:
            if exec_id in container.execs:
                self._exited(container, exec_id, process)

        page: Page | None = None
        try:
            page = Page()
            new = Newborn(exec_id, container.sandbox, command, module, stdio, page, ready, exited)
            container.execs[exec_id] = self._nursery.spawn_beside(new, leader, container.cgroup)
        except (WherryError, OSError):
            _let_go(stdio, page)
            raise

    # Stdio, freezing, figures

    def _resize_pty(self, _: Call, request: api.ResizePtyRequest) -> Message:
        process = self._container(request.id).process(request.exec_id)
        process.require("resize")
        process.stdio.resize(request.width, request.height)
        return Empty()

    def _close_io(self, _: Call, request: api.CloseIORequest) -> Message:
        if request.stdin:
            self._container(request.id).process(request.exec_id).stdio.close_stdin()
        return Empty()

    def _pids(self, _: Call, request: api.TaskRequest) -> Message:
        pids = self._container(request.id).pids()
        return api.PidsResponse(processes=tuple(api.ProcessInfo(pid=pid) for pid in pids))

    def _pause(self, _: Call, request: api.TaskRequest) -> Message:
        self._freeze(request.id, "pause", PAUSED, signals.SIGSTOP)
        self._publish(events.TaskPaused(container_id=request.id))
        return Empty()

    def _resume(self, _: Call, request: api.TaskRequest) -> Message:
        self._freeze(request.id, "resume", RUNNING, signals.SIGCONT)
        self._publish(events.TaskResumed(container_id=request.id))
        return Empty()

    def _freeze(self, container_id: str, verb: str, state: int, otherwise: int) -> None:
        """By the cgroup's freezer; where there is none, by signals that no process can refuse."""
        container = self._container(container_id)
        leader = container.process("")
        leader.require(verb)
        if not container.cgroup.freeze(state == PAUSED):
            for process in container.processes():
                process.kill(otherwise)
        leader.state = state

    def _stats(self, _: Call, request: api.TaskRequest) -> Message:
        figures = self._container(request.id).metrics()
        return api.StatsResponse(stats=Packed(type_url=metrics.V1_TYPE_URL, value=figures.encode()))

    def _update(self, _: Call, request: api.UpdateTaskRequest) -> Message:
        container = self._container(request.id)
        if request.resources is None:
            raise InvalidArgument("update without resources")
        limits = sandbox.limits_of(Resources.from_json(from_json(request.resources.value, "resources")), unlimited=-1)
        container.update(self._hierarchies, limits)
        return Empty()

    # The shim itself

    def _connect(self, _: Call, request: api.TaskRequest) -> Message:
        container = self.containers.get(request.id)
        pid = container.leader.pid if container is not None and container.leader is not None else 0
        return api.ConnectResponse(shim_pid=os.getpid(), task_pid=pid, version=__version__)

    def _shutdown(self, _: Call, request: api.ShutdownRequest) -> Message:
        if not self.containers:
            self._reactor.later(0, self._on_shutdown)
        return Empty()

    def _publish(self, event: Message) -> None:
        self._publisher.publish(event)


def _http(place: Sandbox, command: Command, annotations: Mapping[str, str]) -> tuple[Sandbox, HttpPlan | None]:
    """What the annotations say of a server of HTTP: of a component's, in the sandbox; of WAGI's, beside it.
    InvalidArgument: that makes no sense."""
    if not any(name.startswith(HTTP_ANNOTATION) for name in annotations):
        return place, None
    kind = annotations.get(HTTP_ANNOTATION, "")
    if kind not in ("", *HTTP_KINDS):
        raise InvalidArgument(f"{HTTP_ANNOTATION} is {kind[:40]!r}: {' or '.join(HTTP_KINDS)} is what there is")
    from wherry.shim.httpd import settings  # few containers are such

    if kind != "wagi":
        return sandbox.with_http(place, (tuple(settings.of(annotations)), kind, ())), None
    from wherry.shim.wagi import plan  # as above

    return place, plan.make(place, command, annotations)


def _let_go(stdio: Stdio, page: Page | None) -> None:
    """Of a process that did not come to be."""
    stdio.after_clone()
    stdio.release()
    if page is not None:
        page.close()
