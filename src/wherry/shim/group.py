"""Where the shims of this user lie: one group for all containers of one engine and namespace, found by its folder.

A group's folder holds `group` (who serves it, where), `lock` (held while one is started), `pending/` (a file per
container that has been told the address and has not come yet) and `log`. The shell script beside this file reads the
first two lines of `group` too; keep both in step.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import stat
import time

from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.record import Record
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import TextIO

_PENDING_SECONDS = 10.0
_BETWEEN = str.maketrans("", "", "-_.")


class Server(Record):
    """The process that serves a group: ``born`` is its start time in clock ticks, so that a number used again by
    another process is told apart; ``address`` a unix:// URL."""

    pid: int
    born: str
    address: str

    def alive(self) -> bool:
        """Whether that very process is there."""
        return birth_of(self.pid) == self.born


class Group(Record):
    """A group's folder."""

    folder: str

    def server(self) -> Server | None:
        """Who serves it, as last written; None if nobody ever did."""
        try:
            with open(f"{self.folder}/group") as file:
                pid, born = file.readline().split()
                return Server(int(pid), born, file.readline().strip())
        except (OSError, ValueError):
            return None

    def write(self, server: Server) -> None:
        """Say who serves it."""
        temporary = f"{self.folder}/group.new"
        with open(temporary, "w") as file:
            file.write(f"{server.pid} {server.born}\n{server.address}\n")
        os.rename(temporary, f"{self.folder}/group")

    def remove(self, pid: int) -> bool:
        """Take folder and socket away, if ``pid`` is who serves; False while another server is being started."""
        server = self.server()
        return server is None or server.pid != pid or self._take_away(server)

    def sweep(self) -> None:
        """Take away what a server that was killed left behind."""
        server = self.server()
        if not (server is not None and server.alive()) and not self.expecting():
            self._take_away(server)

    def _take_away(self, server: Server | None) -> bool:
        with suppress(FileNotFoundError), open(f"{self.folder}/lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if server is not None:
                with suppress(OSError):
                    os.unlink(server.address.removeprefix("unix://"))
            with suppress(OSError):
                for name in os.listdir(f"{self.folder}/pending"):
                    self.arrived(name)
                os.rmdir(f"{self.folder}/pending")
                for name in os.listdir(self.folder):
                    os.unlink(f"{self.folder}/{name}")
                os.rmdir(self.folder)
        return True

    def expect(self, container_id: str) -> None:
        """Note that ``container_id`` was told the address, so that the server does not leave before it comes."""
        with open(f"{self.folder}/pending/{container_id}", "w"):
            pass

    def arrived(self, container_id: str) -> None:
        """It came, or never will."""
        with suppress(OSError):
            os.unlink(f"{self.folder}/pending/{container_id}")

    def expecting(self) -> bool:
        """Whether somebody was told the address within the last seconds and has not come."""
        now = time.time()
        with suppress(OSError), os.scandir(f"{self.folder}/pending") as entries:
            return any(now - entry.stat().st_mtime < _PENDING_SECONDS for entry in entries)
        return False

    def locked(self) -> TextIO:
        """Hold the group's lock until what is returned is closed: one starts a server at a time."""
        file = open(f"{self.folder}/lock", "w")  # noqa: SIM115 - the lock is held as long as it is open
        fcntl.flock(file, fcntl.LOCK_EX)
        return file


def check_id(text: str) -> str:
    """``text``, if it can be a container's id: files are named after it. InvalidArgument.

    Source: containerd pkg/identifiers: letters and digits, with - _ . between them, 76 at most.
    """
    plain = text.translate(_BETWEEN)
    if not (plain.isascii() and plain.isalnum() and len(text) <= 76 and text[0].isalnum() and text[-1].isalnum()):
        raise InvalidArgument(f"{text[:80]!r} is no container id: letters, digits and - _ . between them, 76 at most")
    return text


def birth_of(pid: int) -> str:
    """A process's start time in clock ticks, "" if there is no such process or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def run_folder(uid: int, runtime_dir: str) -> str:
    """Where this user's shims keep their sockets; ``runtime_dir`` is XDG_RUNTIME_DIR or ""."""
    if uid == 0:
        return "/run/wherry/shim"
    return f"{runtime_dir}/wherry/shim" if runtime_dir else f"/tmp/wherry-{uid}/shim"


def sweep(run: str) -> None:
    """Take away the groups in the folder ``run`` that nobody serves any more, and sockets that belong to none."""
    with suppress(OSError), os.scandir(run) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                Group(entry.path).sweep()
            elif entry.name.endswith(".sock") and time.time() - entry.stat().st_mtime > _PENDING_SECONDS:
                _unlink_if_dead(entry.path)


def _unlink_if_dead(path: str) -> None:
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    probe.setblocking(False)  # one that is alive may be too busy to accept
    try:
        probe.connect(path)
    except BlockingIOError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    finally:
        probe.close()


def open_group(run: str, namespace: str, address: str) -> Group:
    """The group of one namespace of the engine at ``address``, its folder made if it is not there.

    FailedPrecondition: the folder belongs to somebody else.
    """
    name = f"{namespace}@{address.replace('/', '_')}"
    if "/" in namespace or len(name) > 250:
        raise FailedPrecondition(f"namespace and address are no name for a folder: {name[:80]}")
    folder = f"{run}/{name}"
    for path in (os.path.dirname(run), run, folder, f"{folder}/pending"):
        _own_folder(path)
    return Group(folder)


def _own_folder(path: str) -> None:
    """Make a folder, or find it to be nobody else's: who can put one of his own in its place, would be our shim."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise FailedPrecondition(f"{path} belongs to another user or is writable by others: remove it")
