"""Finding the engine, or starting one: which address is meant, and what to do when nobody answers there.

The environment comes as a mapping: only the program's entry reads the process's own.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from wherry.client.address import Address
from wherry.client.connection import dial
from wherry.errors import PermissionDenied, Unavailable

START_DEADLINE = 20.0
"""Seconds: opening the databases of a big root takes a while on a slow disk, nothing else does."""
_POLL = 0.01
"""Seconds between two tries to reach an engine that is starting."""


class Place(NamedTuple):
    """The engine that is meant. ``startable``: it may be started, in the folder ``root``, when it does not answer."""

    address: Address
    root: str
    startable: bool


def locate(environ: Mapping[str, str], uid: int, host: str | None = None) -> Place:
    """Which engine: ``--host``, else WHERRY_HOST, else this user's own at its default place.

    One that was named is not started for the user, unless WHERRY_ROOT says where it would live. InvalidArgument: an
    address that is none.
    """
    root = os.path.abspath(environ["WHERRY_ROOT"]) if environ.get("WHERRY_ROOT") else ""
    named = host or environ.get("WHERRY_HOST", "")
    if named:
        address = Address.parse(named)
        return Place(address, root, startable=bool(root) and not host and address.scheme == "unix")
    return Place(Address.parse(f"unix://{default_socket(environ, uid)}"), root or default_root(environ, uid), True)


def default_socket(environ: Mapping[str, str], uid: int) -> str:
    """Where wherryd listens when it is told nothing."""
    if uid == 0:
        return "/run/wherry/wherry.sock"
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return f"{runtime}/wherry/wherry.sock" if runtime.startswith("/") else f"/tmp/wherry-{uid}/wherry.sock"


def default_root(environ: Mapping[str, str], uid: int) -> str:
    """Where wherryd keeps its state when it is told nothing."""
    if uid == 0:
        return "/var/lib/wherry"
    data = environ.get("XDG_DATA_HOME", "")
    return f"{data if data.startswith('/') else environ.get('HOME', '/').rstrip('/') + '/.local/share'}/wherry"


def connect(
    place: Place, environ: Mapping[str, str], uid: int, notice: Callable[[str], None] = lambda _: None
) -> socket.socket:
    """A connection to the engine, which is started when it may be and does not answer; ``notice`` is then told a line.

    Unavailable: it is not there and may not be started, or it did not come up (the message has its last words).
    PermissionDenied: its socket is not for this user, or lies in somebody else's folder.
    """
    if place.address.scheme == "unix":
        _trust(os.path.dirname(place.address.path), uid)
    try:
        return dial(place.address)
    except Unavailable:
        if not place.startable:
            raise
    notice("starting the engine (wherryd)")
    _start(place, environ)
    return dial(place.address)


def _trust(folder: str, uid: int) -> None:
    """Refuse a socket that another user could have planted, as anybody can below /tmp."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(folder)
        if status.st_uid not in (0, uid) and uid != 0:
            raise PermissionDenied(f"{folder} belongs to another user (uid {status.st_uid}): its engine is not asked")


def _start(place: Place, environ: Mapping[str, str]) -> None:
    """Start wherryd once, however many of us try at the same time: the others wait for the first one's success."""
    log = os.path.join(place.root, "log", "wherryd.log")
    try:
        os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
        lock = os.open(f"{log}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"cannot start the engine: {log}: {error.strerror}; set WHERRY_ROOT to a folder of yours"
        ) from error
    deadline = time.monotonic() + START_DEADLINE
    try:
        _lock(lock, deadline, place)
        if not _answers(place):
            _spawn(place, environ, log, deadline)
    finally:
        os.close(lock)


def _lock(descriptor: int, deadline: float, place: Place) -> None:
    import fcntl

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"another program has been starting the engine at {place.address} for too long"
                ) from None
            time.sleep(_POLL)
        else:
            return


def _answers(place: Place) -> bool:
    try:
        dial(place.address).close()
    except Unavailable:
        return False
    return True


def _spawn(place: Place, environ: Mapping[str, str], log: str, deadline: float) -> None:
    """Run wherryd in a session of its own and wait for its socket."""
    import subprocess

    command = [sys.executable, "-P", "-m", "wherry.daemon", "--root", place.root, "--host", str(place.address)]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        said_before = os.fstat(output).st_size
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(environ),
            start_new_session=True,
        )
    finally:
        os.close(output)
    while not _answers(place):
        if child.poll() is not None:
            raise Unavailable(f"the engine did not start: {_last_line(log, said_before)} (log: {log})")
        if time.monotonic() > deadline:
            child.terminate()
            child.wait()
            raise Unavailable(f"the engine did not answer within {START_DEADLINE:.0f} s (log: {log})")
        time.sleep(_POLL)
    # It outlives us, and nobody here will ever wait for it: say so, or Popen warns when it is collected.
    child.returncode = 0


def _last_line(log: str, offset: int) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(max(offset, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("wherryd: ") if said else "it said nothing"
