"""Where clients come in by a unix socket: each short-lived one that has come is a connection at once.

asyncio's own server makes a task and a future for each of them, and waits a turn of the loop for both. Only this file
leans on asyncio's insides for that.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

_AT_ONCE: Final = 100
"""Clients let in before others are seen to."""
_PAUSE: Final = 0.5
"""Seconds, when there are no descriptors left: clients wait in the backlog meanwhile."""
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


class Door:
    """Listens from when it is made until `close`; connections that were made go on."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], backlog: int) -> None:
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        listener.listen(backlog)
        self._open()

    def _open(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._loop.remove_reader(self._listener)
                if error.errno in _SCARCE:
                    log.warning("no client is let in for a moment: %s", error.strerror)
                    self._pause = self._loop.call_later(_PAUSE, self._open)
                return
            accepted.setblocking(False)
            # What connect_accepted_socket does, but for waiting until it has been done.
            self._loop._make_socket_transport(accepted, self._protocol())  # type: ignore[attr-defined]  # noqa: SLF001

    def close(self) -> None:
        """Let nobody in any more. Twice is no error."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
