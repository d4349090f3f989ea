"""ttrpc Start -> first byte of a sandboxed guest's output, beside posix_spawn of the same C program built native."""

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import bundles
from benchmarks.bundles import Bundle
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.programs import Programs
from benchmarks.shim import Shim, running
from wherry.errors import Internal
from wherry.wire import task as api

_PART = "start"
_EXPECTED = b"hello\n"
_RATIO = Bound(1.5)
# Seconds before each contender: the kernel takes a container's namespaces down behind our back, and whoever is timed
# then pays for it. It would be the native program more often, whose figure is the floor.
_QUIET = 0.02


class Containers:
    """Containers of one module in one rootfs, each made, started, timed and removed."""

    def __init__(self, shim: Shim, folder: str, rootfs: str, args: Sequence[str], expected: bytes) -> None:
        self._shim = shim
        self._folder = folder
        self._rootfs = rootfs
        self._args = args
        self._expected = expected
        self._made = 0

    def run(self, *, limited: bool) -> tuple[int, int]:
        """Nanoseconds of Create, and of Start until the first byte. Internal: it did not say what it should."""
        bundle = self._bundle(limited=limited)
        shim, one = self._shim, api.ProcessRequest(id=bundle.request.id)
        reading = os.open(bundle.stdout, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.set_blocking(reading, True)
            before = time.perf_counter_ns()
            shim.call("Create", bundle.request, api.CreateTaskResponse)
            created = time.perf_counter_ns() - before
            prepared = shim.prepare("Start", one)
            before = time.perf_counter_ns()
            stream_id = shim.send(prepared)
            output = os.read(reading, 4096)
            started = time.perf_counter_ns() - before
            shim.answer(stream_id)
        finally:
            os.close(reading)
        status = shim.call("Wait", one, api.WaitResponse).exit_status
        shim.call("Delete", one, api.DeleteResponse)
        shutil.rmtree(bundle.folder)
        if output != self._expected or status:
            raise Internal(f"the container wrote {output[:80]!r} and ended with {status}")
        return created, started

    def _bundle(self, *, limited: bool) -> Bundle:
        """A container with limits or none."""
        self._made += 1
        container_id = f"{os.path.basename(self._folder)}{self._made}"
        resources = {"memory": {"limit": 256 << 20}, "pids": {"limit": 64}}
        limits: dict[str, Any] = {"resources": resources, "cgroupsPath": f"/wherry/{container_id}"}
        spec = bundles.spec(container_id, self._args, **(limits if limited else {}))
        return bundles.make(self._folder, container_id, self._rootfs, spec)


class StartPart:
    """Per round a container with limits, one without, and a native process, in changing order; only the way to a first
    byte is timed, and Create for itself."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        self._folder = os.path.join(folder, _PART)
        self._native = programs.native
        rootfs = os.path.join(self._folder, "rootfs")
        os.makedirs(rootfs)
        shutil.copy(programs.hello, os.path.join(rootfs, "hello.wasm"))
        shim = stack.enter_context(running(self._folder, environ))
        self._containers = Containers(shim, self._folder, rootfs, ["/hello.wasm"], _EXPECTED)
        self._created = {True: Samples(), False: Samples()}
        self._started = {True: Samples(), False: Samples()}
        self._spawned = Samples()

    def warm_up(self) -> None:
        """Compile the module, fault everything in."""
        for _ in range(5):
            self._containers.run(limited=True)
            self._containers.run(limited=False)
            self._process()

    def round(self, number: int) -> None:
        """One of each."""
        for contender in turns(("limited", "plain", "process"), number):
            time.sleep(_QUIET)
            if contender == "process":
                self._spawned.add(self._process())
                continue
            limited = contender == "limited"
            created, started = self._containers.run(limited=limited)
            self._created[limited].add(created)
            self._started[limited].add(started)

    def rows(self) -> list[Row]:
        """Both kinds of container against the native process, and what their Create takes."""
        spawned = self._spawned.row(_PART, "posix_spawn -> first byte, the same program static and native", "us")
        rows = [spawned]
        for limited, kind in ((True, "with limits"), (False, "without limits")):
            started = self._started[limited].row(_PART, f"ttrpc Start -> first byte, sandboxed container {kind}", "us")
            ratio = started.value / spawned.value if started.value and spawned.value else None
            what = f"that container {kind} / native process"
            rows += [started, Row(_PART, what, "x", ratio, rounds=started.rounds, bound=_RATIO)]
            rows.append(self._created[limited].row(_PART, f"ttrpc Create before it, {kind}", "us"))
        return rows

    def _process(self) -> int:
        """Nanoseconds until the native program's first byte arrives on a pipe."""
        reading, writing = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        before = time.perf_counter_ns()
        pid = os.posix_spawn(self._native, [self._native], {}, file_actions=actions)
        output = os.read(reading, 4096)
        spawned = time.perf_counter_ns() - before
        os.close(reading)
        os.close(writing)
        os.waitpid(pid, 0)
        if output != _EXPECTED:
            raise Internal(f"the native program wrote {output[:80]!r}")
        return spawned
