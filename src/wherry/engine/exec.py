"""Exec: one more process in a running container, by the four calls of the Engine API."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.core.tasks.tasks import ExitStatus, Process
from wherry.engine.attach import AttachOptions, AttachSession, attached
from wherry.engine.containers.containers import Containers
from wherry.engine.containers.execspec import add, exec_document
from wherry.engine.containers.folders import exec_fifos
from wherry.engine.containers.launch import NOT_RUNNABLE, exit_code_of
from wherry.engine.containers.live import Live
from wherry.engine.document import Form, checked, is_command, is_flag, is_text, is_texts
from wherry.engine.run import GRACE, Nowhere, Run
from wherry.engine.streams import Streams
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError

Json = dict[str, Any]

_CONFIG: Final[dict[str, tuple[Form, Any]]] = {
    "User": (is_text, ""),
    "Privileged": (is_flag, False),
    "Tty": (is_flag, False),
    "AttachStdin": (is_flag, False),
    "AttachStdout": (is_flag, False),
    "AttachStderr": (is_flag, False),
    "DetachKeys": (is_text, ""),
    "Env": (is_texts, []),
    "WorkingDir": (is_text, ""),
    "Cmd": (is_command, None),
}


_NS: Final = 1_000_000_000
_KEPT: Final = 300
"""Seconds for which one that has ended can be asked about; moby forgets it after five to ten minutes."""
_AWAITED: Final = 3600
"""Seconds within which one is started, or forgotten."""
_SWEEP: Final = 60
"""Seconds between two looks for those: who runs one a second shall not fill the memory, nor look at all each time."""


@dataclass(frozen=True, slots=True)
class ExecStart:
    """Body of POST /exec/{id}/start. ``size`` is (height, width) in cells."""

    detach: bool = False
    tty: bool = False
    size: tuple[int, int] | None = None


@dataclass(slots=True)
class _Exec:
    """``exit_code`` is None until it has ended; ``process`` None until it is started. ``since`` is when it was made, or
    ended, in nanoseconds since the epoch."""

    id: str
    live: Live
    config: Json
    since: int
    process: Process | None = None
    pid: int = 0
    exit_code: int | None = None
    started: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> bool:
        return self.process is not None and self.exit_code is None


class Execs:
    """Execs are kept for a while after their end, and no longer than their container; ``ref`` is an exec's full id.
    They do not outlive the engine.

    NotFound: ``No such exec instance: x``.
    """

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._services = containers.services
        self._background = containers.background
        self._tell = containers.tell
        self._execs: dict[str, _Exec] = {}
        self._swept = 0

    async def create(self, ref: str, config: Mapping[str, Any]) -> Json:
        """``ref`` is a container's. Returns ``{"Id"}``. Conflict: the container does not run."""
        wanted = checked(config, _CONFIG, "exec configuration")
        if not wanted["Cmd"]:
            raise InvalidArgument("No exec command specified")
        live = self._containers.registry.get(ref)
        await live.settled()
        if live.record.state.status == "paused":
            raise Conflict(f"Container {ref} is paused, unpause the container before exec")
        live.process()
        now = self._services.clock()
        if not 0 <= now - self._swept < _SWEEP * _NS:
            self._forget(now)
        made = _Exec(self._services.new_id(), live, wanted, now)
        self._execs[made.id] = made
        live.exec_ids.add(made.id)
        self._tell(live.record, f"exec_create: {' '.join(wanted['Cmd'])}", execID=made.id)
        return {"Id": made.id}

    async def start(self, ref: str, start: ExecStart) -> AttachSession | None:
        """None when detached. Conflict: it was started before, or the container does not run any more.

        A program that cannot be run is told to an attached client in its stdout, with exit code 126 or 127, as moby
        does: docker's CLI takes no answer but the hijacked stream. A detached client gets the error.
        """
        found = self._get(ref)
        async with found.lock:
            if found.started:
                raise Conflict(f"exec {ref} has already been started" if found.running else f"exec {ref} has ended")
            found.started = True
        live, config = found.live, found.config
        run = Run(Streams(tty=config["Tty"], close_stdin_with_client=True, clock=self._services.clock))
        options = AttachOptions(
            stdin=config["AttachStdin"], stdout=config["AttachStdout"], stderr=config["AttachStderr"]
        )
        session = None if start.detach else await attached(run.streams, options)
        try:
            await self._launch(found, run, start)
        except WherryError as error:
            found.exit_code = found.exit_code or exit_code_of(error)
            self._over(found)
            if session is None:
                raise
            return session
        self._tell(live.record, f"exec_start: {' '.join(config['Cmd'])}", execID=found.id)
        return session

    async def _launch(self, found: _Exec, run: Run, start: ExecStart) -> None:
        config = found.config
        try:
            task = found.live.process()
            document = await asyncio.to_thread(exec_document, self._services, found.live.record, config, start.size)
            io = await exec_fifos(
                self._services.config.state, found.live, found.id, stdin=config["AttachStdin"], terminal=config["Tty"]
            )
        except WherryError as error:  # no runtime was asked: no such user, a full disk, or the container has just ended
            found.exit_code = NOT_RUNNABLE
            run.streams.output.say("stdout", f"{error}\r\n".encode())
            run.failed()
            raise
        process: Process | None = None
        try:
            run.open(io, Nowhere(), self._background)
            process = await add(task, found.id, document, io, wasm=found.live.record.kind == "wasm")
            found.pid = await process.start()
        except BaseException as error:
            if isinstance(error, WherryError):
                run.streams.output.say("stdout", _refusal(error))
            run.failed()
            if process is not None:
                with contextlib.suppress(WherryError):
                    await process.delete()
            await asyncio.to_thread(run.remove)
            raise
        run.started(process)
        found.process = process
        found.live.exec_programs[found.pid] = " ".join(config["Cmd"])
        self._background.spawn(self._watch(found, process, run))

    async def _watch(self, found: _Exec, process: Process, run: Run) -> None:
        live = found.live
        try:
            try:
                ended = await process.wait()
            except WherryError:
                ended = ExitStatus(137, 0)
            await run.ended(0 if live.record.kind == "wasm" and not found.config["Tty"] else GRACE)
            found.exit_code = ended.code
            with contextlib.suppress(WherryError):
                await process.delete()
            await asyncio.to_thread(run.remove)
            self._tell(live.record, "exec_die", execID=found.id, exitCode=str(ended.code))
        finally:
            self._over(found)
            live.exec_programs.pop(found.pid, None)
            run.failed()

    async def inspect(self, ref: str) -> Json:
        """The document of GET /exec/x/json."""
        found = self._get(ref)
        config, command = found.config, found.config["Cmd"]
        return {
            "ID": found.id,
            "ContainerID": found.live.record.id,
            "Running": found.running,
            "ExitCode": found.exit_code,
            "Pid": found.pid,
            "CanRemove": False,
            "DetachKeys": config["DetachKeys"],
            "OpenStdin": config["AttachStdin"],
            "OpenStdout": config["AttachStdout"],
            "OpenStderr": config["AttachStderr"],
            "ProcessConfig": {
                "tty": config["Tty"],
                "entrypoint": command[0],
                "arguments": command[1:],
                "privileged": config["Privileged"],
                "user": config["User"],
            },
        }

    async def resize(self, ref: str, height: int, width: int) -> None:
        """Cells. Conflict: it does not run."""
        found = self._get(ref)
        if found.process is None or not found.running:
            raise Conflict(f"exec {ref} is not running")
        await found.process.resize(width, height)

    def _get(self, ref: str) -> _Exec:
        found = self._execs.get(ref)
        if found is None or found.live.gone:
            raise NotFound(f"No such exec instance: {ref[:128]}")
        return found

    def _over(self, found: _Exec) -> None:
        """It is its container's no more, but can be asked about for a while."""
        found.live.exec_ids.discard(found.id)
        found.since = self._services.clock()

    def _forget(self, now: int) -> None:
        """Those that nobody will ask about any more, or start."""
        self._swept = now
        for found in list(self._execs.values()):
            age = (now - found.since) / _NS
            old = age > _KEPT if found.exit_code is not None else not found.started and age > _AWAITED
            if old or found.live.gone:
                found.live.exec_ids.discard(found.id)
                del self._execs[found.id]


def _refusal(error: WherryError) -> bytes:
    """The line that docker prints; runc's own messages begin so already."""
    prefix = "OCI runtime exec failed: "
    return f"{prefix}{str(error).removeprefix(prefix)}\r\n".encode()
