"""Workers: processes forked by the server, each of which serves one request after the other.

A request that does not end is ended with its worker; another one is forked then. A worker has its end of a line, by
which come jobs with their connections and go outcomes, and a byte that it shares with the server: whether the present
job's answer has begun.
"""

from __future__ import annotations

import _socket
import gc
import marshal
import mmap
import os
import struct

from wherry.linux import clone, signals
from wherry.shim.httpd.exchange import Abort, Clock, Exchange, Job, Outcome
from wherry.suppress import suppress
from wherry.wire.http1 import RequestHead

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from wherry.shim.httpd.handler import Serving

_INT = struct.Struct("i")
_ANCILLARY = _socket.CMSG_SPACE(_INT.size)
MOST_MESSAGE = 512 << 10


def new_buffer() -> memoryview:
    """For one message after the other: a new one for each would be mapped, faulted in and unmapped by the kernel."""
    return memoryview(bytearray(MOST_MESSAGE))


class Worker:
    """A worker as its server knows it."""

    def __init__(self, pid: int, line: _socket.socket, slot: int, begun: mmap.mmap) -> None:
        self.pid = pid
        self.line = line
        self.slot = slot
        self._begun = begun
        self.job: int | None = None
        self.idle_since = 0.0

    def give(self, job: Job, connection: int) -> None:
        """Start it on a job. OSError: it is dead."""
        self._begun[self.slot] = 0
        self.line.sendmsg(
            [marshal.dumps((*job[:-1], tuple(job.head)))],
            [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _INT.pack(connection))],
        )
        self.job = job.number

    @property
    def has_begun(self) -> bool:
        """Whether the answer to its job, or to the last one, has begun."""
        return self._begun[self.slot] != 0

    def take(self, buffer: memoryview) -> Outcome | None:
        """What became of the job; None: the worker is dead. ``buffer`` has room for `MOST_MESSAGE`."""
        try:
            size = self.line.recv_into(buffer)
        except OSError:
            return None
        return Outcome(*marshal.loads(buffer[:size])) if size else None

    def bury(self) -> int:
        """End it, whatever it does; its status as waitpid gives it."""
        self.line.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signals.SIGKILL)
        return os.waitpid(self.pid, 0)[1]


def fork(
    serving: Serving, slot: int, begun: mmap.mmap, body_limit: int, confine: Callable[[], None], foreign: list[int]
) -> Worker:
    """A new worker. ``foreign`` are descriptors that it has no business with; ``confine`` is called in it first."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = fork_beside([*foreign, ours.fileno()], confine, lambda: _work(serving, theirs, slot, begun, body_limit))
    theirs.close()
    return Worker(pid, ours, slot, begun)


def fork_beside(foreign: list[int], confine: Callable[[], None], work: Callable[[], None]) -> int:
    """The id of a new process that does ``work`` for the server and ends. The rest is as of `fork`."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for fd in foreign:
            with suppress(OSError):
                os.close(fd)
        # What ends the server ends it; of signals to the group, such as a terminal's, it hears nothing.
        clone.prctl(clone.PR_SET_PDEATHSIG, signals.SIGKILL)
        clone.block_only(*signals.ENDING)
        confine()
        gc.enable()
        work()
        os._exit(0)
    # Whatever it is, this process must not go on as a second server.
    except BaseException as error:  # noqa: BLE001
        os.write(2, f"wherry: a worker ended: {type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(1)


def _work(serving: Serving, line: _socket.socket, slot: int, begun: mmap.mmap, body_limit: int) -> NoReturn:
    def on_head() -> None:
        begun[slot] = 1

    buffer = new_buffer()
    buffers = (buffer,)
    clock = Clock()
    while True:
        size, ancillary, _, _ = line.recvmsg_into(buffers, _ANCILLARY)
        if not size:
            os._exit(0)
        connection = _INT.unpack(ancillary[0][2])[0]
        *rest, head = marshal.loads(buffer[:size])
        job = Job(*(*rest, RequestHead(*head)))
        exchange = Exchange(connection, job, body_limit, clock.date(), on_head)
        try:
            serving.serve(job, exchange)
        except Abort as abort:
            exchange.fail(abort.status, str(abort))
        # A fault of ours in one request is that request's alone.
        except Exception as error:  # noqa: BLE001
            exchange.fail(500, f"fault of the server: {type(error).__name__}: {error}")
        outcome = exchange.outcome()
        os.close(connection)
        line.send(marshal.dumps(tuple(outcome)))
