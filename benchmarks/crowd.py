"""Many clients at once: 200 runs by 20 of them, each a process, every container from create to its removal."""

import gc
import os
import time
from typing import Final

from benchmarks.engines import Wherryd
from benchmarks.figures import Bound, Row, Samples
from wherry.errors import Internal

_PART: Final = "crowd"
_CLIENTS: Final = 20
_RUNS: Final = 10
"""Of each client."""
_AT_LEAST: Final = Bound(150.0, at_least=True)
_QUIET: Final = 0.5
# Seconds before each round, for the last one's processes to be taken down by the kernel.
_BODY: Final = {"Image": "hello", "AttachStdout": True, "AttachStderr": True, "HostConfig": {"NetworkMode": "none"}}


class CrowdPart:
    """Per round the whole crowd, its processes' start included."""

    name = _PART

    def __init__(self, engine: Wherryd) -> None:
        self._engine = engine
        self._samples = Samples()

    def warm_up(self) -> None:
        """One crowd that is not counted."""
        self._crowd()

    def round(self, number: int) -> None:
        """One crowd."""
        time.sleep(_QUIET)
        self._samples.add(self._crowd())

    def rows(self) -> list[Row]:
        """Runs per second."""
        runs = _CLIENTS * _RUNS * 1e9
        what = f"runs per second by {_CLIENTS} clients at once: create, attach, start, wait, remove"
        rate, slow = runs / self._samples.median(), runs / self._samples.p90()
        return [Row(_PART, what, "/s", rate, slow, len(self._samples), _AT_LEAST)]

    def _crowd(self) -> int:
        """The nanoseconds it took. Internal: a client found something wrong."""
        before = time.perf_counter_ns()
        clients = [self._client() for _ in range(_CLIENTS)]
        failed = [pid for pid in clients if os.waitpid(pid, 0)[1]]
        taken = time.perf_counter_ns() - before
        if failed:
            raise Internal(f"{len(failed)} of {_CLIENTS} clients at once found something wrong")
        return taken

    def _client(self) -> int:
        """The process of one."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            gc.disable()
            code = 0 if all(self._run() for _ in range(_RUNS)) else 1
        finally:
            os._exit(code)

    def _run(self) -> bool:
        cycle = self._engine.api.cycle(_BODY)
        self._engine.api.remove(cycle.container_id)
        return not cycle.exit_code and cycle.output.endswith(b"hello\n")
