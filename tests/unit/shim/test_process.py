"""A child that does not keep to its words: whoever broke out of its guest still has the pipe."""

import os
import signal

import pytest

from wherry.errors import WherryError
from wherry.shim import report
from wherry.shim.process import STOPPED, Process
from wherry.shim.reactor import Reactor
from wherry.shim.stdio import Paths, Stdio
from wherry.shim.usage import Page


def watched(says: bytes) -> tuple[Process, list[str], int]:
    """A child that writes ``says`` and then sleeps, watched to its end; what was heard of it, and how it died."""
    reactor, heard = Reactor(), list[str]()
    reading, writing = os.pipe()
    start = os.open(os.devnull, os.O_WRONLY)
    pid = os.fork()
    if pid == 0:
        report.forked(writing, os.getpid())
        report.ready(writing)
        while says:
            says = says[os.write(writing, says) :]
        signal.pause()
    os.close(writing)

    def ready(_: Process, error: WherryError | None) -> None:
        heard.append(f"ready {error}")

    def exited(process: Process) -> None:
        heard.append(f"exit {process.exit and process.exit.status}")

    process = Process(
        reactor,
        name="child",
        stdio=Stdio(reactor, Paths("", "", "", False)),
        page=Page(),
        report_fd=reading,
        start_fd=start,
        on_ready=ready,
        on_exit=exited,
    )
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


def test_one_that_never_stops_talking_is_not_listened_to() -> None:
    process, heard, _ = watched(b"E\xff\xff" + b"x" * (60 << 10))
    assert (process.state, heard) == (STOPPED, ["ready None", "exit 143"])
