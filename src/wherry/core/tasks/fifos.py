"""The FIFOs a task's stdio is bound to, seen from the engine: making them, reading output, writing input.

What is read is not interpreted here: logs and attached clients are the engine's matter.
"""

import asyncio
import contextlib
import fcntl
import os
import select
import shutil
import stat
import termios
from collections.abc import Callable, Iterable, Iterator

from wherry.core.spares import Spares
from wherry.core.tasks.spool import SUFFIX, Spool
from wherry.core.tasks.tasks import TaskIO
from wherry.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable

READ_SIZE = 256 << 10
"""Bytes taken by one read: few wake-ups at hundreds of MB/s, little memory when many readers idle."""
LEDGER = "ledger"
"""Beside the FIFOs: how far their log has come. See core/logs/ledger.py."""
_STARTED = "started"
_OUTPUTS = frozenset(("stdout", "stderr"))
_ALL = _OUTPUTS | {name + SUFFIX for name in _OUTPUTS} | {LEDGER, _STARTED}
_PIPE_SIZE = 1 << 20  # /proc/sys/fs/pipe-max-size' default: the most that an unprivileged process may ask for


def make_fifos(directory: str, *, stdin: bool = False, terminal: bool = False, parents: bool = True) -> TaskIO:
    """Make the FIFOs of one process in ``directory``, which is made too; leftovers of the same name are replaced.

    With ``terminal`` there is no stderr: a terminal has one output. Blocks, but only on directory entries.
    ResourceExhausted, InvalidArgument: the folder cannot be written. NotFound: it has no parent, and shall have none.
    """
    names = [name for name, wanted in (("stdin", stdin), ("stdout", True), ("stderr", not terminal)) if wanted]
    paths = {name: os.path.join(directory, name) for name in names}
    try:
        try:
            os.mkdir(directory, 0o700)
        except (FileNotFoundError, FileExistsError) as error:
            if isinstance(error, FileNotFoundError) and not parents:
                raise NotFound(f"cannot make FIFOs in {directory}: {error.strerror}") from None
            os.makedirs(directory, 0o700, exist_ok=True)
            _remove_kept(directory, paths.values())
        for path in paths.values():
            try:
                os.mkfifo(path, 0o600)
            except FileExistsError:
                os.unlink(path)
                os.mkfifo(path, 0o600)
    except OSError as error:
        kind = ResourceExhausted if error.errno in (28, 122) else InvalidArgument  # ENOSPC, EDQUOT
        raise kind(f"cannot make FIFOs in {directory}: {error.strerror}") from None
    return TaskIO(**paths, terminal=terminal)


def remove_fifos(io: TaskIO) -> None:
    """Remove the FIFOs and their folder if it is empty; what is gone already is no error."""
    paths = [path for path in (io.stdin, io.stdout, io.stderr) if path]
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for folder in {os.path.dirname(path) for path in paths}:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            _remove_kept(folder, paths)
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _remove_kept(folder: str, paths: Iterable[str]) -> None:
    beside = (os.path.join(folder, name) for name in (LEDGER, _STARTED))
    for path in (*(path + SUFFIX for path in paths), *beside):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def note_start(io: TaskIO, moment: int) -> None:
    """Leave word beside the FIFOs that their process runs, since ``moment`` (nanoseconds since the epoch), once. It
    outlives the engine and the process, though not the machine. Where it cannot be left, it is not."""
    with contextlib.suppress(OSError):  # a link holds a few bytes by one call, within microseconds
        os.symlink(str(moment), os.path.join(os.path.dirname(io.stdout or io.stdin), _STARTED))


def noted_start(directory: str) -> int:
    """The moment that `note_start` was told; 0: there is no word of it."""
    try:
        return int(os.readlink(os.path.join(directory, _STARTED)))
    except (OSError, ValueError):
        return 0


class FifoFolders:
    """FIFOs of processes, a folder each. That of one that has ended is another's, once nobody holds them any more."""

    def __init__(self, spares: Spares) -> None:
        self._spares = spares

    def make(self, directory: str, *, stdin: bool = False, terminal: bool = False) -> TaskIO:
        """See `make_fifos`."""
        if stdin or terminal or not self._spares.take(directory):
            return make_fifos(directory, stdin=stdin, terminal=terminal)
        return TaskIO(stdout=os.path.join(directory, "stdout"), stderr=os.path.join(directory, "stderr"))

    def retire(self, io: TaskIO) -> Callable[[], None]:
        """Take the folder of a process's FIFOs out of the way, which a rename in memory does, not a disk; what is
        returned keeps or removes it, and may block. What is gone already is no error."""
        old = self._spares.name()
        if not self._spares.move(os.path.dirname(io.stdout or io.stdin), old):
            return lambda: None
        return lambda: self._keep(old)

    def _keep(self, folder: str) -> None:
        if not (_renewed(folder) and self._spares.keep(folder)):
            shutil.rmtree(folder, ignore_errors=True)  # an exec may still take its own away


def _renewed(folder: str) -> bool:
    """Whether a folder of FIFOs is as if just made."""
    try:
        names = set(os.listdir(folder))
        if not (_OUTPUTS <= names <= _ALL and all(_is_free(os.path.join(folder, name)) for name in _OUTPUTS)):
            return False
        for name in names - _OUTPUTS:
            os.unlink(os.path.join(folder, name))
    except OSError:
        return False
    return True


def _is_free(path: str) -> bool:
    """Whether it is a FIFO as we make them, and no process has it open. Source: fifo(7)."""
    status = os.lstat(path)
    if (status.st_mode, status.st_uid, status.st_nlink) != (stat.S_IFIFO | 0o600, os.geteuid(), 1):
        return False
    flags = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(OSError):  # ENXIO: nobody reads it
        os.close(os.open(path, os.O_WRONLY | flags))
        return False
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        return os.read(fd, 1) == b""
    except BlockingIOError:  # somebody may write to it
        return False
    finally:
        os.close(fd)


@contextlib.contextmanager
def held(io: TaskIO) -> Iterator[None]:
    """Both ends of a process's FIFOs open meanwhile: some shims wait in Create until somebody is at the other end."""
    with contextlib.ExitStack() as stack:
        for path in (io.stdin, io.stdout, io.stderr):
            if path:
                stack.callback(os.close, _open_as_it_is(path, os.O_RDWR))
        yield


@contextlib.contextmanager
def reading_ends(io: TaskIO) -> Iterator[list[int]]:
    """The ends of a process's output FIFOs that are read from, meanwhile: what lies in a FIFO is gone when nobody has
    it open, and somebody may inherit these. Those that are not there are left out."""
    with contextlib.ExitStack() as stack:
        fds = []
        for path in (io.stdout, io.stderr):
            with contextlib.suppress(Unavailable):
                fd = _open_as_it_is(path, os.O_RDONLY) if path else -1
                if fd >= 0:
                    fds.append(fd)
                    stack.callback(os.close, fd)
        yield fds


class FifoReader:
    """Reads one FIFO to its end: when somebody has opened it for writing and all writers are gone again.

    Before the first writer comes, `read` waits. One reader at a time. It holds a descriptor until `close`.

    With ``start``, what is read is kept beside the FIFO until it is `release`d, and a later reader gets it again: that
    is the position, counted from the first byte ever read, at which this one begins.
    """

    def __init__(self, path: str, start: int | None = None) -> None:
        self._fd = _open(path, os.O_RDONLY)
        self._kept = path + SUFFIX
        self._start = start
        self._spool: Spool | None = None
        # Most never say anything: the file is made when there is something for it.
        self._fresh = self._lazy = start == 0 and not os.path.exists(self._kept)
        self._poll = select.poll()
        self._poll.register(self._fd, 0)  # POLLHUP comes whether asked for or not
        self._expired = False
        self._waiting: asyncio.Future[None] | None = None

    async def read(self, size: int = READ_SIZE) -> bytes:
        """The next bytes, at most ``size``; b"" at the end. Unavailable: it was closed meanwhile."""
        while True:
            if self._fd < 0:
                raise Unavailable("FIFO is closed")
            if not self._lazy or self._expired:
                data = self._take(size)
                if data is None and self._expired:
                    return b""
                if data is not None:
                    return data
            await self._readable()
            self._lazy = False

    def release(self, position: int) -> None:
        """What lies before ``position`` need not be kept any more."""
        if self._spool is not None:
            self._spool.release(position)

    def expire(self) -> None:
        """No more writers are expected: `read` returns what is there, then b"", though one may hold it open still.

        For tasks that ended while nobody read, and for those whose orphans keep their output open.
        """
        self._expired = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Let go of it; a `read` under way raises Unavailable. Twice is no error."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._waiting is not None:
            asyncio.get_running_loop().remove_reader(fd)
        self.expire()
        os.close(fd)
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _take(self, size: int) -> bytes | None:
        """What is there: bytes, b"" at the end, None while there is nothing yet."""
        try:
            data = self._some(size)
            if data:
                return data
            # Before the first writer comes there is nothing to read either, but then the kernel does not say POLLHUP.
            # Read once more: a writer may have come and gone in between.
            return self._some(size) if self._poll.poll(0) else None
        except BlockingIOError:
            return None

    def _some(self, size: int) -> bytes:
        if self._fresh and not self._waits():
            if self._poll.poll(0):
                return b""
            raise BlockingIOError
        self._fresh = False
        if self._spool is None and self._start is not None:
            try:
                self._spool = Spool(self._kept, self._start)
            except OSError:  # no room, no descriptor: it is read all the same
                self._start = None
        return os.read(self._fd, size) if self._spool is None else self._spool.take(self._fd, size)

    def _waits(self) -> bool:
        """Whether there is anything in the FIFO. Source: pipe(7), FIONREAD."""
        return any(fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"))

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        fd = self._fd
        waiting = self._waiting = loop.create_future()
        loop.add_reader(fd, _wake, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            if self._fd == fd:
                loop.remove_reader(fd)


class FifoWriter:
    """Writes one FIFO. It keeps the FIFO open itself, so bytes may be written before the task opens its end.

    Therefore a vanished reader is not noticed: who writes stops when the task has ended.
    """

    def __init__(self, path: str) -> None:
        self._fd = _open(path, os.O_RDWR)

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while the FIFO is full. Unavailable: closed."""
        view = memoryview(data)
        while view:
            if self._fd < 0:
                raise Unavailable("FIFO is closed")
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._writable()

    def close(self) -> None:
        """End of input, once all others that hold it for writing let go too. Twice is no error."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        asyncio.get_running_loop().remove_writer(fd)
        os.close(fd)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        fd = self._fd
        ready = loop.create_future()
        loop.add_writer(fd, _wake, ready)
        try:
            await ready
        finally:
            if self._fd == fd:
                loop.remove_writer(fd)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _open_as_it_is(path: str, mode: int) -> int:
    try:
        return os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise Unavailable(f"cannot open FIFO {path}: {error.strerror}") from None


def _open(path: str, mode: int) -> int:
    fd = _open_as_it_is(path, mode)
    # The default 64 KiB is kept where the user's quota of pipe pages is used up.
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return fd
