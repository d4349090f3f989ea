"""Sockets that systemd passes to the process it starts, and how it is told of the service's life.

Source: sd_listen_fds(3), sd_notify(3). The environment is a parameter; __main__ alone reads it.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

from wherry.errors import FailedPrecondition

_FIRST: Final = 3
_MOST: Final = 256


def passed(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """The listening sockets that were passed to process ``pid``, close-on-exec from now on. To be called once.

    FailedPrecondition: none were, or they are another process's, or no listening stream sockets.
    """
    owner, count = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    why = "cannot listen on fd://: "
    if not owner or not count:
        raise FailedPrecondition(f"{why}no sockets were passed: start wherryd by a systemd socket unit")
    if owner != str(pid):
        raise FailedPrecondition(f"{why}the sockets are for process {owner[:20]} (LISTEN_PID), this is {pid}")
    if not (count.isascii() and count.isdigit() and len(count) < 4 and 0 < int(count) <= _MOST):
        raise FailedPrecondition(f"{why}LISTEN_FDS is {count[:20]!r}, no number from 1 to {_MOST}")
    found: list[socket.socket] = []
    try:
        for number in range(_FIRST, _FIRST + int(count)):
            found.append(_adopted(number))
    except OSError as error:
        for sock in found:
            sock.detach()
        raise FailedPrecondition(f"{why}descriptor {number} is no listening stream socket: {error.strerror}") from error
    return found


def _adopted(number: int) -> socket.socket:
    """OSError: it is something else."""
    os.set_inheritable(number, False)
    sock = socket.socket(fileno=number)
    try:
        stream = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not stream or sock.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            raise OSError(0, "it is of another kind")
    except OSError:
        sock.detach()
        raise
    return sock


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tell systemd, if it wants to know: ``READY=1``, ``STOPPING=1``. Whether it listens is its own affair."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
