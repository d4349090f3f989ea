"""Containers by the real shim and ttrpc alone, with no engine: for tests of what a guest finds in its sandbox."""

import asyncio
import os
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fifos import read_to_end
from wherry.core.tasks.fifos import FifoReader, make_fifos
from wherry.core.tasks.runtimes import RuntimeTable
from wherry.core.tasks.shim_tasks import ShimTasks, TasksConfig
from wherry.core.tasks.tasks import NewTask, Task
from wherry.errors import NotFound, Unavailable
from wherry.oci.mount import Mount

DEADLINE = 60


@dataclass
class Ended:
    out: str
    err: str
    code: int


@dataclass
class Box:
    """One engine's tasks, and a folder whose ``lower`` is the image of each container made."""

    tasks: ShimTasks
    folder: Path
    state: Path
    made: list[Task] = field(default_factory=list)

    def spec(self, container_id: str, args: tuple[str, ...], changes: dict[str, Any]) -> dict[str, Any]:
        process = {"args": ["/guest.wasm", *args], "cwd": "/", "user": {"uid": 0, "gid": 0}}
        namespaces = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network", "cgroup")]
        document = {
            "ociVersion": "1.1.0",
            "process": process | changes.pop("process", {}),
            "root": {"path": "rootfs"} | changes.pop("root", {}),
            "linux": {"cgroupsPath": f"/wherrytest/{container_id}", "namespaces": namespaces}
            | changes.pop("linux", {}),
        }
        return document | changes

    def rootfs(self, container_id: str) -> list[Mount]:
        upper, work = self.folder / container_id / "upper", self.folder / container_id / "work"
        for path in (upper, work):
            path.mkdir(parents=True)
        options = (f"lowerdir={self.folder / 'lower'}", f"upperdir={upper}", f"workdir={work}")
        return [Mount("overlay", "overlay", options)]

    async def create(self, *args: str, stdin: bool = False, terminal: bool = False, **changes: Any) -> Task:
        container_id = uuid.uuid4().hex
        io = make_fifos(str(self.state / "io" / container_id), stdin=stdin, terminal=terminal)
        if terminal:
            changes["process"] = {"terminal": True, "consoleSize": {"height": 24, "width": 80}}
        spec = self.spec(container_id, args, changes)
        mounts = self.rootfs(container_id)
        task = await self.tasks.create(NewTask(container_id, "io.containerd.wherry.v1", spec, mounts, io))
        self.made.append(task)
        return task

    async def run(self, *args: str, **changes: Any) -> Ended:
        task = await self.create(*args, **changes)
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            out = group.create_task(read_to_end(FifoReader(task.io.stdout)))
            err = group.create_task(read_to_end(FifoReader(task.io.stderr)))
            await task.start()
            status = await task.wait()
        return Ended(out.result().decode(), err.result().decode(), status.code)


@asynccontextmanager
async def open_box(guest: Path, compiled: Path, folder: Path) -> AsyncIterator[Box]:
    """A box whose image is the module ``guest`` as /guest.wasm; ``compiled`` is the cache of compiled modules."""
    state = Path("/tmp") / f"wt-{uuid.uuid4().hex[:8]}"
    state.mkdir(mode=0o700)
    (folder / "lower").mkdir()
    shutil.copy(guest, folder / "lower/guest.wasm")
    path = [os.path.dirname(sys.executable), *os.environ["PATH"].split(":")]
    environ = {"PATH": ":".join(path), "WHERRY_CACHE": str(compiled)}
    tasks = await ShimTasks.open(
        TasksConfig(str(state), RuntimeTable(path), environ, namespace="wherrytest", publisher="/bin/true")
    )
    made = Box(tasks, folder, state)
    yield made
    for task in made.made:
        try:
            if (await task.state()).status in ("running", "paused"):
                await task.kill(signal.SIGKILL)
                await task.wait()
            await task.delete()
        except (NotFound, Unavailable):  # deleted, or dead with its shim
            continue
    await tasks.close()
    shutil.rmtree(state)
