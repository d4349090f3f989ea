"""One process of a task, from its clone to its reaping: the state machine and what is known of the process.

Having it cloned is nursery.py's, what it does with itself child.py's.
"""

from __future__ import annotations

import os
import time

from wherry.errors import FailedPrecondition, Internal, NotFound, Unavailable, WherryError
from wherry.linux import signals
from wherry.record import Record
from wherry.shim import heard, report
from wherry.shim.reactor import Reactor
from wherry.shim.stdio import Stdio
from wherry.shim.usage import Page
from wherry.suppress import suppress
from wherry.wire import task as api

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

CREATED, RUNNING, PAUSED, STOPPED = api.CREATED, api.RUNNING, api.PAUSED, api.STOPPED

_WHY = {CREATED: "is not started yet", RUNNING: "still runs", PAUSED: "is paused", STOPPED: "has ended"}
_MOST_WORDS = 1 << 14
_ALLOWED = {
    "kill": (CREATED, RUNNING, PAUSED),
    "pause": (RUNNING,),
    "resume": (PAUSED,),
    "exec": (RUNNING,),
    "resize": (CREATED, RUNNING, PAUSED),
    "delete": (CREATED, STOPPED),
}
"""Which states allow which verb."""


class Exit(Record):
    """``status`` 0-255, 128+n for signal n; ``at`` in nanoseconds since the epoch."""

    status: int
    at: int


class Process:
    """A child and its state. ``on_ready`` hears once whether it got to wait for Start, ``on_exit`` once of its end;
    ``explain`` knows which call of its orders has a number, and what it means that it failed with an errno.

    Each is let go of as soon as it won't be called any more. They know the container, which knows its processes: in
    such a ring all of it would stay after its end until the collector looks at what is old: every 2,000 containers.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        name: str,
        stdio: Stdio,
        page: Page,
        report_fd: int,
        start_fd: int,
        explain: Callable[[int, int], WherryError],
        on_ready: Callable[[Process, WherryError | None], None],
        on_exit: Callable[[Process], None],
    ) -> None:
        self.name = name
        self.stdio = stdio
        self.page = page
        self.pid = 0
        self.state = CREATED
        self.exit: Exit | None = None
        self._reactor = reactor
        self._pidfd = -1
        self._go_between = 0
        self._report_fd = report_fd
        self._start_fd = start_fd
        self._explain: Callable[[int, int], WherryError] | None = explain
        self._words = b""
        self._has_failed = False
        self._on_ready: Callable[[Process, WherryError | None], None] | None = on_ready
        self._on_exit: Callable[[Process], None] | None = on_exit
        self._when_reaped: list[Callable[[], None]] = []
        self.reaped = False
        reactor.add(report_fd, self._read_report)

    def require(self, verb: str) -> None:
        """Check the table. NotFound for a process that has ended; FailedPrecondition for any other wrong state."""
        if self.state in _ALLOWED[verb]:
            return
        if verb == "kill":
            raise NotFound(f"process {self.name} has ended")
        raise FailedPrecondition(f"cannot {verb} {self.name}: it {_WHY[self.state]}")

    def start(self) -> None:
        """Let it run."""
        if self.state != CREATED:
            raise FailedPrecondition(f"cannot start {self.name}: it was started before")
        self.state = RUNNING
        with suppress(OSError):  # it died while it waited: its exit is about to be read
            os.write(self._start_fd, b"\n")
        os.close(self._start_fd)
        self._start_fd = -1

    def kill(self, number: int) -> None:
        """Send a signal. NotFound: it has ended."""
        self.require("kill")
        if self._pidfd < 0:
            raise NotFound(f"process {self.name} is not there yet")
        try:
            # One that waits for Start has no handler's work to do: any signal ends it, as in runc's created state.
            signals.send(self._pidfd, number)
        except ProcessLookupError:
            raise NotFound(f"process {self.name} has ended") from None

    def _read_report(self) -> None:
        try:
            data = os.read(self._report_fd, 8192)
        except OSError:
            data = b""
        if not data:
            self._reactor.remove(self._report_fd)
            if not self.pid:  # nobody lived to say that there is a process
                self._lost(Unavailable(f"process {self.name} could not be cloned: the zygote died"))
            return
        self._words += data
        if len(self._words) > _MOST_WORDS:  # it is not ours that speaks: what it is worth is found when it is reaped
            self._reactor.remove(self._report_fd)
            return
        words = heard.parse(self._words)
        if self._on_ready is not None:
            self._listen(words)
        if words.exit_code is not None:
            self._end(words.exit_code)
            # It has said so and is about to be gone; one that only said so is not to go on unseen.
            self._reactor.later(report.LINGER, self.bury)

    def bury(self) -> None:
        """It has ended: take down what is left of it."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signals.send(self._pidfd, signals.SIGKILL)

    def _listen(self, words: heard.Words) -> None:
        """What is said before it waits for Start is said by our own code. Later it may be a guest that has broken out,
        and names another container's process, which would be waited for in the place of who should."""
        if words.go_between and not self._go_between:
            self._go_between = words.go_between
            reap_later(self._reactor, words.go_between)
        if words.pid and not self.pid:
            self._adopt(words.pid)
        if words.failure is not None and not self.pid:
            self._lost(words.failure)
        elif words.failure is not None:
            self._settle(words.failure)
        elif words.refused is not None and self._explain is not None:
            self._settle(self._explain(*words.refused))
        elif words.ready and self.pid:
            self._settle(None)

    def _lost(self, error: WherryError) -> None:
        """There is no process and will be none."""
        self.reaped = True
        self._settle(error)
        self._end(255)
        self._release()
        self._tell_reaped()

    def _adopt(self, pid: int) -> None:
        """It is there, whoever cloned it: our own child in any case."""
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._reactor.add(self._pidfd, self._reap)

    def _settle(self, error: WherryError | None) -> None:
        on_ready, self._on_ready, self._explain = self._on_ready, None, None
        if on_ready is not None:
            self._has_failed = error is not None
            on_ready(self, error)

    def _reap(self) -> None:
        """It is dead: what it had to say lies in the pipe."""
        self._reactor.remove(self._pidfd)
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        self._pidfd = -1
        self.reaped = True
        os.set_blocking(self._report_fd, False)
        self._read_report()
        self._settle(Internal("the container's process died while it was being set up"))
        # Without a word before it, an exit is the handler of a signal (see clone.exit_on), and so is a death by one.
        self._end(128 + result.si_status if result is not None else 255)
        self._release()
        self._tell_reaped()

    def _tell_reaped(self) -> None:
        callbacks, self._when_reaped = self._when_reaped, []
        for callback in callbacks:
            callback()

    def when_reaped(self, callback: Callable[[], None]) -> None:
        """Call back once the kernel has let go of it; at once if it has."""
        if self.reaped:
            callback()
        else:
            self._when_reaped.append(callback)

    def _end(self, status: int) -> None:
        if self.exit is None:
            self.exit = Exit(status & 0xFF, time.time_ns())
            self.state = STOPPED
            self.stdio.ended()
            on_exit, self._on_exit = self._on_exit, None
            if on_exit is not None and not self._has_failed:  # else it never was, for anybody who asks
                on_exit(self)

    def let_go(self) -> None:
        """Nobody asks about it any more."""
        self.stdio.release()
        self.page.close()

    def _release(self) -> None:
        self._reactor.remove(self._report_fd)
        for fd in (self._report_fd, self._start_fd):
            if fd >= 0:
                os.close(fd)
        self._report_fd = self._start_fd = -1


def reap_later(reactor: Reactor, pid: int) -> None:
    """Wait for the end of a child that nobody else waits for."""
    pidfd = os.pidfd_open(pid)

    def reap() -> None:
        reactor.remove(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)

    reactor.add(pidfd, reap)
