"""The server's end of a process beside it, which speaks with clients in the server's stead and hands on what they say
in HTTP/1.1: for TLS and for HTTP/2.

It is forked at the first connection that it is for. What it runs is loaded by it alone.
"""

from __future__ import annotations

import _socket
import marshal
import os
import struct

from wherry.linux import seccomp, signals
from wherry.shim import policy
from wherry.shim.httpd.connection import Connection
from wherry.shim.httpd.worker import fork_beside
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

_INT = struct.Struct("i")
ANCILLARY = _socket.CMSG_SPACE(_INT.size)
MOST_MESSAGE = 128 << 10


class Relay:
    """``work`` is what the process does, with the descriptor of its end of the line; ``speaks`` what it is
    for; ``own`` descriptors are nobody's but its."""

    def __init__(self, speaks: str, work: Callable[[int], None], own: tuple[int, ...] = ()) -> None:
        self.speaks = speaks
        self.own = own
        self._work = work
        self._line: _socket.socket | None = None
        self._pid = 0
        self._draining = False

    @property
    def is_alive(self) -> bool:
        return self._line is not None

    @property
    def fd(self) -> int:
        """By which it can be heard; -1 if it is not there."""
        return self._line.fileno() if self._line is not None else -1

    def fork(self, foreign: list[int]) -> None:
        """Start it. ``foreign`` are descriptors that it has no business with."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        line = theirs.fileno()
        self._pid = fork_beside(
            [*(fd for fd in foreign if fd not in self.own), ours.fileno()], _confine, lambda: self._work(line)
        )
        theirs.close()
        ours.setblocking(False)
        self._line = ours

    def give(self, connection: Connection) -> bool:
        """Have it speak with this client, who may have said something already; False: it does not keep up."""
        assert self._line is not None
        words = connection.scheme, connection.peer, connection.peer_port, bytes(connection.buffer)
        try:
            send(self._line, marshal.dumps(words), connection.fd)
        except OSError:
            return False
        return True

    def take(self, now: float) -> Connection | None:
        """A connection that it makes for a client; None: it has ended. BlockingIOError: there is none now."""
        assert self._line is not None
        try:
            message, fd = receive(self._line)
        except BlockingIOError:
            raise
        except OSError:
            return None
        if not message:
            return None
        scheme, major, peer, port = marshal.loads(message)
        made = _socket.socket(fileno=fd)
        made.setblocking(False)
        return Connection(made, peer, port, now, scheme, major)

    def drain(self) -> None:
        """Have it end with what it has begun."""
        if self._line is not None and not self._draining:
            self._draining = True
            with suppress(OSError):
                self._line.shutdown(_socket.SHUT_WR)

    def bury(self) -> bool:
        """See it off; whether it ended well. The next connection gets another one."""
        assert self._line is not None
        self._line.close()
        self._line = None
        with suppress(ProcessLookupError):
            os.kill(self._pid, signals.SIGKILL)
        os.waitpid(self._pid, 0)
        return self._draining


def _confine() -> None:
    seccomp.install(policy.terminator_program())


def send(line: _socket.socket, message: bytes, fd: int) -> None:
    """Send a message with a descriptor, for `receive` at the other end. OSError."""
    line.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _INT.pack(fd))])


def receive(line: _socket.socket) -> tuple[bytes, int]:
    """The next message and its descriptor; b"" at the end. OSError."""
    message, ancillary, _, _ = line.recvmsg(MOST_MESSAGE, ANCILLARY)
    return message, _INT.unpack(ancillary[0][2])[0] if ancillary else -1
