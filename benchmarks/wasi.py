"""Calls of WASI, as a guest times them: under wherry's host, and under wasmtime's own."""

import os
from collections.abc import Mapping

from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.guests import hosted, timings

_PART = "wasi"
_FILES = 100
_FILE_SIZE = 4 << 20
# Name of the call in programs/wasi_calls.c: what it is, and how many times as long as under wasmtime's own host.
_CALLS = {
    "fd_write": ("fd_write of 4 KiB to a pipe", Bound(1.5)),
    "fd_read": ("fd_read of 4 KiB", Bound(0.3)),
    "path_open": ("path_open and fd_close", Bound(0.7)),
    "path_filestat_get": ("path_filestat_get", Bound(0.4)),
    "fd_readdir": ("fd_readdir of 100", Bound(0.3)),
    "clock_time_get": ("clock_time_get", None),
}


class WasiPart:
    """Per round one guest under each host, which makes thousands of each call."""

    name = _PART

    def __init__(self, folder: str, module: str, environ: Mapping[str, str]) -> None:
        folder = os.path.join(folder, _PART)
        root = os.path.join(folder, "root")
        os.makedirs(os.path.join(root, "folder"))
        for number in range(_FILES):
            open(os.path.join(root, "folder", f"file{number}"), "xb").close()
        with open(os.path.join(root, "file"), "xb") as file:
            file.write(bytes(_FILE_SIZE))
        made = hosted(module, folder, environ)
        self._environ = environ
        self._commands = {"ours": [*made.ours, root], "native": [*made.native, root]}
        self._taken = {host: {name: Samples() for name in _CALLS} for host in self._commands}

    def warm_up(self) -> None:
        """Files into the page cache."""
        for command in self._commands.values():
            timings(command, self._environ)

    def round(self, number: int) -> None:
        """One of each, in changing order."""
        for host in turns(tuple(self._commands), number):
            for name, (taken,) in timings(self._commands[host], self._environ).items():
                self._taken[host][name].add(taken)

    def rows(self) -> list[Row]:
        """Each call under both, and how they compare."""
        rows = []
        for name, (what, bound) in _CALLS.items():
            ours = self._taken["ours"][name].row(_PART, f"{what}, ours", "us")
            native = self._taken["native"][name].row(_PART, f"{what}, wasmtime's own", "us")
            ratio = ours.value / native.value if ours.value and native.value else None
            rows += [ours, native, Row(_PART, f"{what}: ours / wasmtime's own", "x", ratio, None, ours.rounds, bound)]
        return rows
