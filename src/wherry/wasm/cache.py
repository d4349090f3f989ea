"""Where compiled modules are kept: names, trust, and writing so that a file is there whole or not at all.

A compiled module is native code: whoever can write one owns whoever runs it. So the folder is the engine's own (0700),
and a file that could be somebody else's is refused, never used.
"""

import os
import stat
import time

from wherry.errors import NotFound, PermissionDenied, ResourceExhausted

COMPILED = ".cwasm"
TEMPORARY = ".tmp-"
_STALE_SECONDS = 3600


class Cache:
    """A folder of compiled modules, ``DIGEST-ENVIRONMENT.cwasm``, each with what inspection told, ``.info``:
    in marshal's format, which needs no module to read, and is trusted as the code beside it is.

    The environment stands for wasmtime's version, the engine's settings and the processor's features: a file made under
    others is never found.
    """

    def __init__(self, folder: str, environment: str) -> None:
        """``environment``: a short name of all that the code depends on beside the module."""
        self.folder = folder
        self._environment = environment

    def path(self, digest_hex: str) -> str:
        """Where the module of that digest (in hex) is, or would be."""
        return os.path.join(self.folder, f"{digest_hex}-{self._environment}{COMPILED}")

    def prepare(self) -> None:
        """Make the folder if it is missing. PermissionDenied: it is not this user's alone."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        status = os.lstat(self.folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionDenied(
                f"{self.folder} is not this user's alone: compiled modules are not kept there (0700)"
            )

    def find(self, digest_hex: str) -> str | None:
        """The path of a compiled module, None if there is none. PermissionDenied: it can't be trusted."""
        path = self.path(digest_hex)
        try:
            os.close(open_trusted(path))
            os.close(open_trusted(info_path(path)))
        except NotFound:
            return None
        return path

    def store(self, digest_hex: str, compiled: bytes, info: bytes, more: tuple[bytes, ...] = ()) -> str:
        """Keep a compiled module and its info; returns its path. A component has a part for each of its cores, one and
        ``more``. ResourceExhausted: the disk is full."""
        path = self.path(digest_hex)
        self._sweep()
        # The first part last: a compiled module that can be seen has its info and the other parts beside it.
        write(info_path(path), info)
        for number, data in enumerate(more, 1):
            write(part_path(path, number), data)
        write(path, compiled)
        return path

    def _sweep(self) -> None:
        """Remove what writers that were killed left behind."""
        limit = time.time() - _STALE_SECONDS
        for item in os.scandir(self.folder):
            if item.name.startswith(TEMPORARY):
                try:
                    if item.stat(follow_symlinks=False).st_mtime < limit:
                        os.unlink(item.path)
                except FileNotFoundError:
                    continue  # its writer has just renamed it


def clear_after(folder: str, pid: int) -> None:
    """Remove what the writer ``pid``, which was killed, left half written. Blocks, shortly."""
    for name in os.listdir(folder):
        if name.startswith(f"{TEMPORARY}{pid}-"):
            os.unlink(os.path.join(folder, name))


def info_path(path: str) -> str:
    """Where the info of the compiled module at ``path`` lies."""
    return path.removesuffix(COMPILED) + ".info"


def part_path(path: str, number: int) -> str:
    """Where a part of the compiled module at ``path`` lies: the first one there."""
    return f"{path}.{number}" if number else path


def files(path: str) -> list[str]:
    """All files of the compiled module at ``path``, in the order to delete them in: the first is what it is found by;
    that one is named even when it is not there."""
    found = [path]
    while os.path.exists(part := part_path(path, len(found))):
        found.append(part)
    return [*found, info_path(path)]


def open_trusted(path: str) -> int:
    """Open a file of the cache for reading. NotFound; PermissionDenied: not this user's, or others may write it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"no compiled module at {path}") from None
    except OSError as error:
        raise PermissionDenied(f"{path} can't be used: {error.strerror}") from None
    if _is_trusted(os.fstat(fd)):
        return fd
    os.close(fd)
    raise PermissionDenied(f"{path} is not this user's alone: remove it, it will be compiled again")


def _is_trusted(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def edition(path: str, status: os.stat_result) -> str:
    """What a loaded file of the cache is known by: whoever finds the same again finds what was loaded."""
    return f"{path}\0{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


def find_edition(path: str) -> str:
    """The edition of the file at ``path``; "" if there is none that `open_trusted` would open."""
    try:
        status = os.lstat(path)
    except OSError:
        return ""
    return edition(path, status) if _is_trusted(status) else ""


def write(target: str, data: bytes) -> None:
    """Have ``data`` at ``target`` whole or not at all. ResourceExhausted."""
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)
    except OSError as error:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise ResourceExhausted(f"compiled code can't be kept in {folder}: {error.strerror}") from None
