"""Processes of a run: started, waited for, ended by their number, and measured. Nothing is ever ended by its name."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from wherry.errors import FailedPrecondition

_POLL = 0.01


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until ``condition`` holds. FailedPrecondition: it did not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise FailedPrecondition(f"gave up after {seconds:g} s: {what}")
        time.sleep(_POLL)


class Background:
    """A server process of this run, its output in a file. Ends with the ``with`` block, softly if it lets itself."""

    def __init__(self, command: Sequence[str], log: str, environ: Mapping[str, str], cwd: str = "/") -> None:
        self._log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(environ), cwd=cwd
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it to be of use. FailedPrecondition, with its last words: it ended, or took too long."""

        def ready() -> bool:
            if self._process.poll() is not None:
                raise FailedPrecondition(f"{what}: it ended with {self._process.returncode}: {self._last_words()}")
            return condition()

        wait_until(ready, seconds, what)

    def _last_words(self) -> str:
        with open(self._log, "rb") as file:
            lines = file.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def run(command: Sequence[str], environ: Mapping[str, str], what: str, cwd: str | None = None) -> bytes:
    """Run a command to its end and return its stdout. FailedPrecondition: it failed, with its last line."""
    done = subprocess.run(command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd)
    if done.returncode:
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise FailedPrecondition(f"{what}: {lines[-1] if lines else f'exit status {done.returncode}'}")
    return done.stdout


def parent_of(pid: int) -> int:
    """The parent's number."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """The numbers of its children, of all its threads."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += [int(word) for word in file.read().split()]
    return found


def pss(pid: int) -> int:
    """Proportional set size in bytes: a page that n processes share counts as one n-th of it.

    Source: https://docs.kernel.org/filesystems/proc.html (smaps_rollup).
    """
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise FailedPrecondition(f"process {pid} has no memory: it has ended")


def cpu_seconds(pid: int) -> float:
    """What all its threads have taken of the processors so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(pid: int, seconds: float = 10.0) -> None:
    """End a process that is not our child and has nothing left to do: SIGKILL, and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        wait_until(lambda: not _lives(pid), seconds, f"process {pid} does not end")
    except ProcessLookupError:
        pass  # it ended by itself meanwhile
    finally:
        os.close(handle)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
