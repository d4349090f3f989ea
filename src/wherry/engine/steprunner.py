"""RUN steps of builds: a task of its own for each, its output told, nothing of it left behind."""

import asyncio
import contextlib
import os
import posixpath
import signal
from collections.abc import Callable
from typing import Any, Final

from wherry.build.request import RunStep
from wherry.core.tasks.fifos import FifoReader, make_fifos, remove_fifos
from wherry.core.tasks.tasks import NewTask, Task, TaskIO
from wherry.engine.containers.folders import remove_folders
from wherry.engine.containers.ground import ground
from wherry.engine.containers.launch import find_user
from wherry.engine.containers.request import parse
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.record import MountPoint, Record
from wherry.engine.runtimes import RUNC, WHERRY
from wherry.engine.services import EngineConfig, EngineServices
from wherry.engine.spec.linux import linux_spec
from wherry.engine.spec.mounts import to_spec
from wherry.engine.spec.network import joined
from wherry.engine.spec.rootless import rootless
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.linux import stacked

Output = Callable[[str, bytes], None]
_GRACE: Final = 2.0
"""Seconds that output may still come after the process has ended: somebody it left behind may hold it open."""
_NAMESPACES: Final = ("pid", "ipc", "uts", "mount", "network")


class TaskStepRunner:
    """Driver of build's `StepRunner`: one throwaway task a step, without stdin; a module has no network either."""

    def __init__(self, services: EngineServices, sandboxes: Sandboxes) -> None:
        self._services = services
        self._sandboxes = sandboxes

    async def run(self, step: RunStep, output: Output) -> int:
        """See `StepRunner.run`."""
        if step.platform.is_wasm:
            await self._compile(step)
        io = await asyncio.to_thread(make_fifos, os.path.join(self._services.config.state, "io", step.id))
        readers: dict[str, FifoReader] = {}
        try:
            readers["stdout"] = FifoReader(io.stdout)
            readers["stderr"] = FifoReader(io.stderr)
            return await self._run_task(step, io, readers, output)
        finally:
            for reader in readers.values():
                reader.close()
            await asyncio.to_thread(remove_fifos, io)

    async def _compile(self, step: RunStep) -> None:
        module = await asyncio.to_thread(stacked.resolve, step.layers, _entry(step).partition("#")[0])
        try:
            await self._services.compiler.ensure(module)
        except InvalidArgument as error:
            raise InvalidArgument(f'exec: "{step.argv[0]}": exec format error: {error}') from error

    async def _run_task(self, step: RunStep, io: TaskIO, readers: dict[str, FifoReader], output: Output) -> int:
        cgroup = posixpath.join(self._services.config.cgroup_parent, step.id)
        if step.platform.is_wasm:
            return await self._carry_out(step, WHERRY, _wasm_spec(step, cgroup), io, readers, output)
        record = _record(step)
        try:
            # First, since what is wrong with the user is told sooner than a network is made.
            spec = await asyncio.to_thread(_linux_spec, step, record, cgroup, self._services.config)
            spec = joined(spec, await self._sandboxes.open(record), wasm=False)
            if self._services.config.rootless:
                spec = rootless(spec)
            return await self._carry_out(step, RUNC, spec, io, readers, output)
        finally:
            await asyncio.shield(self._put_away(record))

    async def _put_away(self, record: Record) -> None:
        await self._sandboxes.close(record.id)
        with contextlib.suppress(OSError):  # the engine's next start tries again
            await asyncio.to_thread(remove_folders, self._services.config, record.id)

    async def _carry_out(
        self,
        step: RunStep,
        runtime: str,
        spec: dict[str, Any],
        io: TaskIO,
        readers: dict[str, FifoReader],
        output: Output,
    ) -> int:
        task = await self._services.tasks.create(NewTask(step.id, runtime, spec, step.rootfs, io))
        pumps = [asyncio.create_task(_pump(stream, reader, output)) for stream, reader in readers.items()]
        try:
            await self._sandboxes.ready(step.id, task.pid)
            await task.start()
            status = await task.wait()
            await asyncio.wait(pumps, timeout=_GRACE)
            for reader in readers.values():
                reader.expire()
            await asyncio.gather(*pumps)
            return status.code
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await asyncio.shield(_end(task))


async def _pump(stream: str, reader: FifoReader, output: Output) -> None:
    while data := await reader.read():
        output(stream, data)


async def _end(task: Task) -> None:
    """Whatever became of the step, nothing of it runs on."""
    with contextlib.suppress(NotFound):
        await task.kill(signal.SIGKILL, everyone=True)
    with contextlib.suppress(WherryError):
        await task.wait()
        await task.delete()


def _entry(step: RunStep) -> str:
    return posixpath.normpath(posixpath.join("/", step.cwd, step.argv[0]))


def _wasm_spec(step: RunStep, cgroup: str) -> dict[str, Any]:
    """The runtime spec of one step, as `wasm_spec` makes it of a container."""
    return {
        "ociVersion": "1.1.0",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [_entry(step), *step.argv[1:]],
            "env": list(step.env),
            "cwd": step.cwd or "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "build",
        "mounts": to_spec(_points(step)),
        "linux": {"namespaces": [{"type": kind} for kind in _NAMESPACES], "cgroupsPath": cgroup},
    }


def _record(step: RunStep) -> Record:
    """A step as a container with docker's defaults."""
    mode = step.network or "default"
    document = {"Image": "build", "User": step.user, "WorkingDir": step.cwd, "Env": list(step.env)}
    request = parse({**document, "HostConfig": {"NetworkMode": mode}})
    return Record(
        id=step.id,
        name=step.id,
        created=0,
        image="",
        image_id="",
        image_name="",
        platform=str(step.platform),
        runtime=RUNC,
        kind="linux",
        config={**request.config, "Hostname": "build"},
        host_config=request.host,
        networks=request.networks,
        mounts=_points(step),
    )


def _linux_spec(step: RunStep, record: Record, cgroup: str, config: EngineConfig) -> dict[str, Any]:
    """Blocks, for the image's passwd. InvalidArgument: no such user."""
    user = find_user(step.user, (), step.layers, always=True)
    there = ground(record.host_config, config)
    return linux_spec(record, args=step.argv, user=user, cgroup=cgroup, annotations={}, ground=there)


def _points(step: RunStep) -> tuple[MountPoint, ...]:
    """Outer ones first."""
    found = [
        MountPoint("bind", mount.source, mount.target, mount.writable)
        if mount.source
        else MountPoint("tmpfs", "", mount.target, True, (f"size={mount.size}",) if mount.size else ())
        for mount in step.mounts
    ]
    return tuple(sorted(found, key=lambda point: point.destination.count("/")))
