"""CPython for WASI: walking a tree under both hosts, and a container that prints one number."""

import contextlib
import os
import shutil
from collections.abc import Mapping

from benchmarks import fetched
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.guests import hosted, timings
from benchmarks.shim import running
from benchmarks.start import Containers

_PART = "python"
_FOLDERS = 40
_FILES = 50  # in each
_TREE = "walking, statting and reading 2,000 files"
_TREE_BOUND = Bound(0.6)
_PRINT_BOUND = Bound(100.0)
_WALK = """
import os, sys, time
before, read, files = time.monotonic_ns(), 0, 0
for folder, _, names in os.walk("/tree"):
    for name in names:
        path = os.path.join(folder, name)
        read += os.stat(path).st_size
        with open(path, "rb") as file:
            files += len(file.read()) > 0
sys.stderr.write(f"walk {time.monotonic_ns() - before} {files}")
"""


class PythonPart:
    """Per round a walk under each host, and a container."""

    name = _PART

    def __init__(self, folder: str, environ: Mapping[str, str], stack: contextlib.ExitStack) -> None:
        """FailedPrecondition: CPython can't be fetched."""
        folder = os.path.join(folder, _PART)
        root, rootfs = os.path.join(folder, "root"), os.path.join(folder, "rootfs")
        _make_tree(os.path.join(root, "tree"))
        module = os.path.join(fetched.npm(fetched.CPYTHON, environ), "dist", "python.wasm")
        made = hosted(module, folder, environ)
        self._environ = environ
        walk = ["-c", _WALK]
        self._commands = {"ours": [*made.ours, root, *walk], "native": [*made.native, root, *walk]}
        self._walked = {host: Samples() for host in self._commands}
        os.makedirs(rootfs)
        shutil.copy(module, os.path.join(rootfs, "python.wasm"))
        shim = stack.enter_context(running(folder, environ))
        self._containers = Containers(shim, folder, rootfs, ["/python.wasm", "-c", "print(1)"], b"1\n")
        self._printed = Samples()

    def warm_up(self) -> None:
        """Compile the container's module, read the tree once."""
        self._containers.run(limited=False)
        for command in self._commands.values():
            timings(command, self._environ)

    def round(self, number: int) -> None:
        """One of each."""
        for host in turns(tuple(self._commands), number):
            taken, _ = timings(self._commands[host], self._environ)["walk"]
            self._walked[host].add(taken)
        self._printed.add(self._containers.run(limited=False)[1])

    def rows(self) -> list[Row]:
        """The walk under both, how they compare, and the container."""
        ours = self._walked["ours"].row(_PART, f"CPython {_TREE}, ours", "ms")
        native = self._walked["native"].row(_PART, f"CPython {_TREE}, wasmtime's own", "ms")
        ratio = ours.value / native.value if ours.value and native.value else None
        what = f"CPython {_TREE}: ours / wasmtime's own"
        printed = "CPython container, ttrpc Start -> print(1)"
        return [
            ours,
            native,
            Row(_PART, what, "x", ratio, None, ours.rounds, _TREE_BOUND),
            self._printed.row(_PART, printed, "ms", _PRINT_BOUND),
        ]


def _make_tree(root: str) -> None:
    for number in range(_FOLDERS):
        folder = os.path.join(root, f"folder{number}")
        os.makedirs(folder)
        for name in range(_FILES):
            with open(os.path.join(folder, f"file{name}"), "xb") as file:
                file.write(b"x" * 1000)
