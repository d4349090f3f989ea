"""``wherry serve``: from a file's change to the first answer that it makes, and its compilation alone."""

import contextlib
import os
import re
import sys
import time

from benchmarks import proc
from benchmarks.engines import Wherryd
from benchmarks.figures import Bound, Row, Samples
from benchmarks.programs import wherry
from wherry.client.address import Address
from wherry.client.connection import Connection, dial
from wherry.errors import Internal, WherryError
from wherry.wasm.library import library_path

_PART = "reload"
_AT_MOST = 300.0
"""Milliseconds beside the compilation."""
_PATIENCE = 30.0
_QUIET = 0.3  # seconds, in which the version before ends
_POLL = 0.005
_PAGE = """(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\22\\00\\00\\00content-type: text/plain\\0a\\0a{:08}")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"""


class ReloadPart:
    """Per round: a change to contents that were never there, and a compilation of others like them."""

    name = _PART

    def __init__(self, folder: str, engine: Wherryd, stack: contextlib.ExitStack) -> None:
        self._file = os.path.join(folder, "reload.wat")
        self._changes, self._compilations = Samples(), Samples()
        self._cache = os.path.join(folder, "reload-cache")
        self._environ = engine.environ
        self._write(0)
        command = [*wherry(), "serve", "--port", "0", self._file]
        log = os.path.join(folder, "serve.log")
        background = stack.enter_context(proc.Background(command, log, engine.environ))
        background.until(lambda: b"serving" in _read(log), _PATIENCE, "wherry serve does not come up")
        found = re.search(rb":(\d+)/", _read(log))
        if found is None:
            raise Internal(f"wherry serve said {_read(log)[-200:]!r}")
        self._address = Address.parse(f"tcp://127.0.0.1:{int(found[1])}")

    def warm_up(self) -> None:
        """One change that is not counted."""
        self._change(1)

    def round(self, number: int) -> None:
        """One of each."""
        self._changes.add(self._change(number + 2))
        self._compilations.add(self._compile(number + 10_000_000))

    def rows(self) -> list[Row]:
        """The bound is what a compilation takes, and 300 ms."""
        what = "wherry serve, from a file's change to its first answer"
        if not len(self._compilations):
            return [Row(_PART, what, "ms", None, note="no round was run")]
        bound = Bound(round(_AT_MOST + self._compilations.median() / 1e6))
        return [
            self._changes.row(_PART, what, "ms", bound, "300 ms and the compilation"),
            self._compilations.row(_PART, "of that, compiling it", "ms"),
        ]

    def _compile(self, contents: int) -> int:
        """Nanoseconds of the compiler's process."""
        other = self._file + ".other.wat"
        with open(other, "w", encoding="ascii") as file:
            file.write(_PAGE.format(contents))
        command = [sys.executable, "-m", "wherry.shim.compiler", "--cache", self._cache]
        before = time.perf_counter_ns()
        proc.run([*command, "--library", library_path(sys.path), other], self._environ, "compiling")
        return time.perf_counter_ns() - before

    def _change(self, contents: int) -> int:
        """Nanoseconds until it is answered with. Internal: it is not."""
        time.sleep(_QUIET)
        wanted = b"%08d" % contents
        before = time.perf_counter_ns()
        self._write(contents)
        while self._answer() != wanted:
            if time.perf_counter_ns() - before > _PATIENCE * 1e9:
                raise Internal("the changed file is not served")
            time.sleep(_POLL)
        return time.perf_counter_ns() - before

    def _write(self, contents: int) -> None:
        with open(self._file + ".new", "w", encoding="ascii") as file:
            file.write(_PAGE.format(contents))
        os.rename(self._file + ".new", self._file)

    def _answer(self) -> bytes:
        connection = Connection(dial(self._address))
        try:
            return connection.request("GET", "/").read()
        except WherryError:
            return b""
        finally:
            connection.close()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
