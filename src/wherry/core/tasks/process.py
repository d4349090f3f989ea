"""Processes and tasks of a shim: the Protocols of tasks.py, each method one call of the Task service."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.core.tasks.bundle import check_id
from wherry.core.tasks.client import ConnectionLost
from wherry.core.tasks.fifos import held
from wherry.core.tasks.forwarded import seconds
from wherry.core.tasks.shim import Shim
from wherry.core.tasks.tasks import ExitStatus, Process, Status, TaskIO, TaskState
from wherry.errors import FailedPrecondition, Internal, NotFound, WherryError
from wherry.wire import metrics, task, wellknown

KILLED: Final = 137
"""128 + SIGKILL: what is said of a process whose shim died, for then it dies too."""
_STATUS: Final[Mapping[int, Status]] = {
    task.CREATED: "created",
    task.RUNNING: "running",
    task.STOPPED: "stopped",
    task.PAUSED: "paused",
    task.PAUSING: "pausing",
}


@dataclass(frozen=True, slots=True)
class Handle:
    """What a task and its processes share. ``gone`` gets the main process's exit when the shim died with it;
    ``forget`` clears away shim and bundle after Delete."""

    container_id: str
    shim: Shim
    gone: asyncio.Future[ExitStatus]
    forget: Callable[[], Awaitable[None]]


class ShimProcess:
    """The process ``exec_id`` of a task, "" for the main one."""

    def __init__(self, handle: Handle, exec_id: str, io: TaskIO) -> None:
        self._handle = handle
        self._exec_id = exec_id
        self._io = io
        self._started = False

    @property
    def io(self) -> TaskIO:
        return self._io

    async def start(self) -> int:
        try:
            # An exec's FIFOs are opened by Start, the main process's were by Create.
            with held(self._io) if self._exec_id else contextlib.nullcontext():
                answer = await self._handle.shim.call("Start", self._request(), task.StartResponse)
        except Internal as error:
            raise await self._explain(error, "created", "was started before") from None
        self._started = True
        return answer.pid

    async def wait(self) -> ExitStatus:
        shim, gone = self._handle.shim, self._handle.gone
        lost = False
        while not gone.done():
            try:
                answer = await shim.call("Wait", self._request(), task.WaitResponse, None)
            except ConnectionLost:
                lost = True
                if not await shim.settled():
                    break
            except NotFound:
                if not lost:
                    raise
                break  # another shim answers at the address now: ours was dead, and is being buried
            else:
                usage = answer.usage.to_dict() if answer.usage else None
                return ExitStatus(answer.exit_status, seconds(answer.exited_at), usage)
        ended = await asyncio.shield(gone)
        return ExitStatus(KILLED, ended.exited_at) if self._exec_id else ended

    async def kill(self, signal: int, *, everyone: bool = False) -> None:
        request = task.KillRequest(id=self._handle.container_id, exec_id=self._exec_id, signal=signal, all=everyone)
        await self._handle.shim.call("Kill", request, wellknown.Empty)

    async def resize(self, width: int, height: int) -> None:
        request = task.ResizePtyRequest(id=self._handle.container_id, exec_id=self._exec_id, width=width, height=height)
        await self._handle.shim.call("ResizePty", request, wellknown.Empty)

    async def close_stdin(self) -> None:
        request = task.CloseIORequest(id=self._handle.container_id, exec_id=self._exec_id, stdin=True)
        await self._handle.shim.call("CloseIO", request, wellknown.Empty)

    async def state(self) -> TaskState:
        return _state(await self._handle.shim.call("State", self._request(), task.StateResponse))

    async def delete(self) -> ExitStatus:
        try:
            answer = await self._handle.shim.call("Delete", self._request(), task.DeleteResponse)
        except Internal as error:
            raise await self._explain(error, "stopped", "still runs: stop it first") from None
        return ExitStatus(answer.exit_status, seconds(answer.exited_at))

    def _request(self) -> task.ProcessRequest:
        return task.ProcessRequest(id=self._handle.container_id, exec_id=self._exec_id)

    async def _explain(self, error: Internal, wanted: Status, otherwise: str) -> WherryError:
        """runc's shim gives no code to its refusals: tell by the state whether that was the reason."""
        try:
            status = (await self.state()).status
        except WherryError:
            return error
        name = self._exec_id or self._handle.container_id
        return error if status == wanted else FailedPrecondition(f"{name} {otherwise}")


class ShimTask(ShimProcess):
    """The main process of a container, and the container."""

    def __init__(self, handle: Handle, io: TaskIO, pid: int) -> None:
        super().__init__(handle, "", io)
        self._pid = pid

    @property
    def container_id(self) -> str:
        return self._handle.container_id

    @property
    def pid(self) -> int:
        return self._pid

    async def delete(self) -> ExitStatus:
        gone = self._handle.gone
        if gone.done():
            return gone.result()
        try:
            if not self._started:
                await self._end_unstarted()
            status = await super().delete()
        except ConnectionLost:
            if await self._handle.shim.settled():
                raise
            return await asyncio.shield(gone)
        await self._handle.forget()
        return status

    async def _end_unstarted(self) -> None:
        """runc takes seconds to delete a container that was created only, but not to kill it first."""
        if (await self.state()).status == "created":
            with contextlib.suppress(NotFound):
                await self.kill(signal.SIGKILL)
            await self.wait()

    async def exec(self, exec_id: str, process: Mapping[str, Any], io: TaskIO) -> Process:
        spec = wellknown.Any(type_url=task.PROCESS_TYPE_URL, value=json.dumps(process).encode())
        request = task.ExecProcessRequest(
            id=self.container_id,
            exec_id=check_id(exec_id),
            terminal=io.terminal,
            stdin=io.stdin,
            stdout=io.stdout,
            stderr=io.stderr,
            spec=spec,
        )
        await self._handle.shim.call("Exec", request, wellknown.Empty)  # opens no FIFO yet: Start does
        return ShimProcess(self._handle, exec_id, io)

    async def process(self, exec_id: str) -> Process:
        request = task.ProcessRequest(id=self.container_id, exec_id=check_id(exec_id))
        found = await self._handle.shim.call("State", request, task.StateResponse)
        return ShimProcess(self._handle, exec_id, TaskIO(found.stdin, found.stdout, found.stderr, found.terminal))

    async def pids(self) -> Sequence[int]:
        answer = await self._handle.shim.call("Pids", self._task(), task.PidsResponse)
        return [process.pid for process in answer.processes]

    async def pause(self) -> None:
        await self._handle.shim.call("Pause", self._task(), wellknown.Empty)

    async def resume(self) -> None:
        await self._handle.shim.call("Resume", self._task(), wellknown.Empty)

    async def stats(self) -> Mapping[str, Any]:
        answer = (await self._handle.shim.call("Stats", self._task(), task.StatsResponse)).stats
        if answer is None or answer.name not in metrics.TYPES:
            raise Internal(f"shim of {self.container_id} sent figures of unknown type {answer and answer.type_url!r}")
        figures = metrics.TYPES[answer.name].decode(answer.value)
        return (metrics.as_v1(figures) if isinstance(figures, metrics.Metrics2) else figures).to_dict()

    async def update(self, resources: Mapping[str, Any]) -> None:
        packed = wellknown.Any(type_url=task.RESOURCES_TYPE_URL, value=json.dumps(resources).encode())
        request = task.UpdateTaskRequest(id=self.container_id, resources=packed)
        await self._handle.shim.call("Update", request, wellknown.Empty)

    def _task(self) -> task.TaskRequest:
        return task.TaskRequest(id=self.container_id)


def _state(answer: task.StateResponse) -> TaskState:
    status = _STATUS.get(answer.status, "unknown")
    ended = ExitStatus(answer.exit_status, seconds(answer.exited_at)) if status == "stopped" else None
    return TaskState(status, answer.pid, ended)
