"""Folders and listening sockets of the daemon: made, checked, and taken away again."""

import errno
import grp
import ipaddress
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry.daemon.config import WHY_LOOPBACK, Address, PassedAddress, TcpAddress, UnixAddress
from wherry.errors import (
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    WherryError,
)

_SOCKET_GROUP = "docker"


def private_folder(path: str, uid: int) -> None:
    """Make ``path``, readable by its owner alone, and refuse one that somebody else could have laid there.

    FailedPrecondition; PermissionDenied; ResourceExhausted.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise _folder_error(path, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise FailedPrecondition(f"{path} is not a folder")
    if found.st_uid != uid:
        raise PermissionDenied(f"{path} belongs to uid {found.st_uid}, not to uid {uid}: choose another folder")
    if found.st_mode & 0o022:
        raise PermissionDenied(f"{path} is writable for others: chmod go-w {path}")


def _folder_error(path: str, error: OSError) -> WherryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(f"cannot make {path}: the disk is full")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"cannot make {path}: permission denied; choose a folder of yours")
    return FailedPrecondition(f"cannot use {path}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket. ``inode`` tells whether a unix socket's path is still ours."""

    sock: socket.socket
    path: str = ""
    inode: int = 0

    @property
    def address(self) -> str:
        """Where clients find it, with the port that the kernel chose."""
        if self.sock.family == socket.AF_UNIX:
            return str(UnixAddress(os.fsdecode(self.sock.getsockname())))
        return str(TcpAddress(*self.sock.getsockname()[:2]))


def listen(
    addresses: Sequence[Address], uid: int, group: str = "", passed: Callable[[], list[socket.socket]] = list
) -> list[Listener]:
    """Bind every address, or none; ``passed`` gives the sockets of ``fd://``. Conflict: somebody answers there; else as
    `private_folder` and `group_id`."""
    bound: list[Listener] = []
    owner = group_id(group)
    try:
        for address in addresses:
            if isinstance(address, PassedAddress):
                bound += [Listener(sock) for sock in passed()]
                _check_passed(bound, address)
            elif isinstance(address, UnixAddress):
                bound.append(_listen_unix(address, uid, owner, given=bool(group)))
            else:
                bound.append(_listen_tcp(address))
    except BaseException:  # whatever it was, no socket must outlive this call
        close(bound)
        raise
    return bound


def _check_passed(listeners: Sequence[Listener], address: PassedAddress) -> None:
    """PermissionDenied: one is to be reached from elsewhere by clients without certificates."""
    for listener in listeners:
        if listener.sock.family != socket.AF_UNIX and not address.verified:
            host = ipaddress.ip_address(listener.sock.getsockname()[0].partition("%")[0])
            if not host.is_loopback:
                raise PermissionDenied(f"refusing to listen on {listener.address}, which was passed: {WHY_LOOPBACK}")


def group_id(name: str) -> int:
    """The group's number, which may be what ``name`` is; -1 for none: dockerd's group, and there is none such.
    InvalidArgument: no such group."""
    try:
        return grp.getgrnam(name or _SOCKET_GROUP).gr_gid
    except KeyError:
        pass
    if not name:
        return -1
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    raise InvalidArgument(f"invalid group {name[:60]!r}: there is none; make it by groupadd, or name another")


def close(listeners: Sequence[Listener]) -> None:
    """Close them and take the paths of unix sockets away, unless they are another engine's by now."""
    for listener in listeners:
        listener.sock.close()
        try:
            if listener.path and os.lstat(listener.path).st_ino == listener.inode:
                os.unlink(listener.path)
        except OSError:
            pass  # gone already, or its folder is no longer ours: nothing is left to be tidied


def answers(path: str) -> bool:
    """Whether somebody accepts connections at ``path``; also if that cannot be said."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # busy, or not ours to ask: leave it alone
        return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PermissionDenied(f"cannot remove the stale socket {path}: {error.strerror}") from error


def _listen_unix(address: UnixAddress, uid: int, group: int, *, given: bool) -> Listener:
    path = address.path
    make_parent(os.path.dirname(path), uid)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise FailedPrecondition(f"cannot listen on {address}: {path} exists and is no socket")
        if answers(path):
            raise Conflict(f"cannot listen on {address}: another engine answers there")
        _unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)  # nobody may connect between bind and chmod
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise FailedPrecondition(f"cannot listen on {address}: {error.strerror}") from error
    finally:
        os.umask(before)
    if uid == 0 or given:
        try:
            _open_to_group(path, group)
        except OSError as error:
            sock.close()
            os.unlink(path)
            raise PermissionDenied(f"cannot give {path} to the group {group}: {error.strerror}") from error
    return Listener(sock, path, os.lstat(path).st_ino)


def make_parent(folder: str, uid: int) -> None:
    """Make a default folder; one that is there must be root's or ours. PermissionDenied; as `private_folder`."""
    if not os.path.isdir(folder):
        try:
            os.makedirs(folder, mode=0o755 if uid == 0 else 0o700)
        except OSError as error:
            raise _folder_error(folder, error) from error
    elif os.lstat(folder).st_uid not in (0, uid):
        raise PermissionDenied(f"{folder} belongs to another user: choose another --host")


def _open_to_group(path: str, group: int) -> None:
    """Its owner's stays what it is: the engine's user."""
    if group >= 0:
        os.chown(path, -1, group)
    os.chmod(path, 0o660)


def _listen_tcp(address: TcpAddress) -> Listener:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise FailedPrecondition(f"cannot listen on {address}: {error.strerror}") from error
    return Listener(sock)
