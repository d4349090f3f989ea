"""The server's end of what speaks TLS for it: another process, which hands on what it hears in the clear.

It is forked at the first connection that comes, and speaks with all clients: see translator.py, which is what it
runs. Loaded only by servers that have a certificate.
"""

from __future__ import annotations

import _socket
import marshal
import os
import struct

from wherry.linux import seccomp, signals
from wherry.shim import policy
from wherry.shim.httpd import tls
from wherry.shim.httpd.connection import Connection
from wherry.shim.httpd.translator import ANCILLARY, MOST_MESSAGE, Translator, with_descriptor
from wherry.shim.httpd.worker import fork_beside
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    import ssl

    from wherry.shim.httpd.settings import Settings

_INT = struct.Struct("i")


class Terminator:
    """Made while the host's files are in reach, opened in the container's rootfs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._line: _socket.socket | None = None
        self._pid = 0
        self._draining = False
        self._filter = policy.terminator_program()

    @property
    def is_alive(self) -> bool:
        return self._line is not None

    @property
    def fd(self) -> int:
        """By which it can be heard; -1 if it is not there."""
        return self._line.fileno() if self._line is not None else -1

    def open(self) -> None:
        """Read the certificate and its key. FailedPrecondition: there is none, or it is none."""
        self._context = tls.server_context(self._settings.certificate, self._settings.key)

    def fork(self, foreign: list[int]) -> None:
        """Start it. ``foreign`` are descriptors that it has no business with."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        assert self._context is not None
        translator = Translator(self._context)
        line = theirs.fileno()
        self._pid = fork_beside([*foreign, ours.fileno()], self._confine, lambda: translator.run(line))
        theirs.close()
        ours.setblocking(False)
        self._line = ours

    def _confine(self) -> None:
        seccomp.install(self._filter)

    def give(self, connection: Connection) -> bool:
        """Have it speak with this client, who may have said something already; False: it does not keep up."""
        assert self._line is not None
        message = marshal.dumps((connection.peer, connection.peer_port, bytes(connection.buffer)))
        try:
            self._line.sendmsg(*with_descriptor(message, connection.fd))
        except OSError:
            return False
        return True

    def take(self, now: float) -> Connection | None:
        """A connection that it deciphers; None: it has ended. BlockingIOError: there is none now."""
        assert self._line is not None
        try:
            message, ancillary, _, _ = self._line.recvmsg(MOST_MESSAGE, ANCILLARY)
        except BlockingIOError:
            raise
        except OSError:
            return None
        if not message:
            return None
        peer, port = marshal.loads(message)
        made = _socket.socket(fileno=_INT.unpack(ancillary[0][2])[0])
        made.setblocking(False)
        return Connection(made, peer, port, now, "https")

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
