"""A child that does not keep to its words: whoever broke out of its guest still has the pipe."""

import gc
import os
import signal
import weakref
from types import SimpleNamespace

import pytest

from wherry.errors import FailedPrecondition, WherryError
from wherry.shim import report
from wherry.shim.process import STOPPED, Process
from wherry.shim.reactor import Reactor
from wherry.shim.stdio import Paths, Stdio
from wherry.shim.usage import Page


def watched(says: bytes, *, later: bytes = b"") -> tuple[Process, list[str], int]:
    """A child that writes ``says``, and ``later`` once it is heard to be ready, and then sleeps, watched to its end;
    what was heard of it, and how it died."""
    reactor, heard = Reactor(), list[str]()
    container = SimpleNamespace(heard=heard)
    reading, writing = os.pipe()
    start = os.open(os.devnull, os.O_WRONLY)
    pid = os.fork()
    if pid == 0:
        report.forked(writing, os.getpid())
        os.write(writing, report.READY)
        while says:
            says = says[os.write(writing, says) :]
        signal.pause()

    def ready(_: Process, error: WherryError | None) -> None:
        container.heard.append(f"ready {error}")
        os.write(writing, later)  # the pipe is the same, whoever writes
        os.close(writing)

    def exited(process: Process) -> None:
        container.heard.append(f"exit {process.exit and process.exit.status}")

    process = Process(
        reactor,
        name="child",
        stdio=Stdio(reactor, Paths("", "", "", False)),
        page=Page(),
        report_fd=reading,
        start_fd=start,
        explain=lambda number, error: FailedPrecondition(f"call {number}: {error}"),
        on_ready=ready,
        on_exit=exited,
    )
    container.leader = process
    process.stdio.after_clone()
    process.when_reaped(reactor.stop)
    process.when_reaped(process.page.close)
    reactor.later(20, lambda: os.kill(pid, signal.SIGUSR1))
    if len(says) > 4096:
        reactor.later(0.2, lambda: process.kill(signal.SIGTERM))
    reactor.run()
    return process, heard, pid


def test_one_that_says_it_has_ended_is_ended() -> None:
    process, heard, pid = watched(b"X\x07")
    assert (process.state, heard) == (STOPPED, ["ready None", "exit 7"])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_names_another_process_has_no_say_in_who_waits_for_it() -> None:
    other = os.fork()
    if other == 0:
        os._exit(5)
    for word in (b"G", b"P"):
        process, heard, pid = watched(b"", later=word + other.to_bytes(4, "little") + b"X\x07")
        assert (process.state, process.pid, heard) == (STOPPED, pid, ["ready None", "exit 7"])
    assert os.waitpid(other, 0) == (other, 5 << 8)  # still ours to be waited for


def test_one_that_never_stops_talking_is_not_listened_to() -> None:
    process, heard, _ = watched(b"E\xff\xff" + b"x" * (60 << 10))
    assert (process.state, heard) == (STOPPED, ["ready None", "exit 143"])


@pytest.mark.parametrize("says", [b"X\x07", b"E" + len(b"Internal\0no").to_bytes(2, "little") + b"Internal\0noX\x07"])
def test_nothing_of_it_is_left_to_the_collector(says: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        process, _, _ = watched(says)
        gone = weakref.ref(process)
        del process
        assert gone() is None
    finally:
        gc.enable()
