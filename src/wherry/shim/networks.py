"""Empty network namespaces: for containers that have a network of their own and cannot make a socket.

To make one and to take it down keeps a processor busy for most of a millisecond, a twentieth of what a container takes,
and such a container leaves it as it found it: its guest cannot make a socket, nor get one. So it is the next one's. No
two have the same at a time. Namespaces that are joined by a path, or connected by somebody, are not seen here.
"""

from __future__ import annotations

import os

from wherry.linux import clone
from wherry.linux.syscalls import syscall
from wherry.suppress import suppress

_OWN = "/proc/self/ns/net"
_MOST = 64
"""Kept when nobody is in them, for seconds: each is 150 KB of the kernel's."""


class Networks:
    """The namespaces of a server, which must have one thread. They are descriptors."""

    def __init__(self) -> None:
        self._idle: list[int] = []
        self._wanted = False

    def take(self) -> int:
        """One that nobody is in; the caller's, until it is given back or closed. OSError: none can be made."""
        self._wanted = True
        return self._idle.pop() if self._idle else _make()

    def give(self, fd: int) -> None:
        """Nobody is in it any more, and nobody has changed it."""
        if self._wanted and len(self._idle) < _MOST:
            self._idle.append(fd)
        else:
            os.close(fd)

    def prepare(self) -> None:
        """Have one, if they are asked for, so that the next container need not wait for it."""
        if self._wanted and not self._idle:
            with suppress(OSError):  # the next container meets the same
                self.give(_make())

    def clear(self) -> None:
        """Nobody asks for them any more: let go of those that nobody is in."""
        self._wanted = False
        while self._idle:
            os.close(self._idle.pop())


def _make() -> int:
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall("unshare", clone.CLONE_NEWNET)
        try:
            return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            clone.setns(own, clone.CLONE_NEWNET)
    finally:
        os.close(own)
