"""A process's stdio: the FIFOs of whoever made the task, or a terminal copied to and from them.

Without a terminal the guest's descriptors are the FIFOs themselves and nothing is copied. The shim holds each FIFO
open meanwhile, so that a reader or writer that dies (an engine being restarted) neither breaks the guest's pipe nor
loses what lies in it; it lets go once the guest has ended and the FIFO is drained.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.record import Record
from wherry.shim.reactor import READ, WRITE, Reactor
from wherry.suppress import suppress

_DRAIN_INTERVAL = 0.002
_CHUNK = 1 << 16


class Paths(Record):
    """Where stdio leads, as Create and Exec are told; "" is nowhere. With ``terminal``, stdout is all output."""

    stdin: str
    stdout: str
    stderr: str
    terminal: bool


class Stdio:
    """``child_fds`` are for the child's 0, 1, 2 and are closed by `after_clone`; the rest stays here."""

    def __init__(self, reactor: Reactor, paths: Paths) -> None:
        """Open everything. InvalidArgument: a path that can't be stdio; FailedPrecondition: it is not there."""
        self._reactor = reactor
        self._held: list[int] = []
        self._stdin_hold = -1
        self._opened: list[int] = []
        self._console: _Console | None = None
        try:
            self.child_fds = self._open_terminal(paths) if paths.terminal else self._open(paths)
        except OSError as error:
            self.after_clone()
            self.release()
            raise FailedPrecondition(f"cannot open stdio {error.filename}: {error.strerror}") from None

    def _open(self, paths: Paths) -> tuple[int, int, int]:
        incoming = self._end(paths.stdin, os.O_RDONLY)
        self._stdin_hold = self._held.pop() if self._held else -1
        return incoming, self._end(paths.stdout, os.O_WRONLY), self._end(paths.stderr, os.O_WRONLY)

    def _end(self, path: str, mode: int) -> int:
        """The child's end of a FIFO, with another one held; or a file; or /dev/null for no path."""
        path = _local_path(path)
        if not path:
            return self._remember(os.open("/dev/null", mode | os.O_CLOEXEC))
        if not _is_fifo(path):
            extra = os.O_APPEND | os.O_CREAT if mode == os.O_WRONLY else 0
            return self._remember(os.open(path, mode | extra | os.O_CLOEXEC, 0o640))
        self._held.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        end = self._remember(os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC))
        os.set_blocking(end, True)
        return end

    def _open_terminal(self, paths: Paths) -> tuple[int, int, int]:
        master, slave = os.openpty()
        self._remember(slave)
        self._console = _Console(self._reactor, master, _hold(paths.stdin), _hold(paths.stdout))
        return slave, slave, slave

    def _remember(self, fd: int) -> int:
        self._opened.append(fd)
        return fd

    def after_clone(self) -> None:
        """Close the child's ends, which it has now."""
        for fd in self._opened:
            os.close(fd)
        self._opened.clear()

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size in cells. InvalidArgument: there is no terminal."""
        if self._console is None:
            raise InvalidArgument("the process has no terminal to resize")
        self._console.resize(width, height)

    def close_stdin(self) -> None:
        """Let go of stdin, so that the guest sees its end once the writers are gone too."""
        if self._console is not None:
            self._console.close_stdin()
        elif self._stdin_hold >= 0:
            os.close(self._stdin_hold)
            self._stdin_hold = -1

    def ended(self) -> None:
        """The process is gone: let go as soon as what it wrote has been read."""
        self.close_stdin()
        if self._console is not None:
            self._console.ended()
        self._drain()

    def _drain(self) -> None:
        for fd in [fd for fd in self._held if _unread(fd) == 0]:
            os.close(fd)
            self._held.remove(fd)
        if self._held:
            self._reactor.later(_DRAIN_INTERVAL, self._drain)

    def release(self) -> None:
        """Let go of everything at once, read or not: the process is being deleted."""
        self.close_stdin()
        if self._console is not None:
            self._console.close()
        for fd in self._held:
            os.close(fd)
        self._held.clear()


class _Console:
    """Copies between a terminal's master end and two FIFOs, waiting for whichever side is slow."""

    def __init__(self, reactor: Reactor, master: int, stdin: int, stdout: int) -> None:
        self._reactor = reactor
        self._master, self._stdin, self._stdout = master, stdin, stdout
        self._pending = b""
        self._typed = b""
        os.set_blocking(master, False)
        reactor.add(master, self._master_ready)
        if stdin >= 0:
            reactor.add(stdin, self._stdin_ready)

    def resize(self, width: int, height: int) -> None:
        if self._master >= 0:
            size = struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _master_ready(self) -> None:
        if self._typed:
            self._type()
        if self._pending:
            return
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last one to hold the other end has closed it
            data = b""
        if not data:
            self._close_master()
            return
        self._pending = data
        self._show()

    def _show(self) -> None:
        """Write to the FIFO what the terminal gave; when it is full, stop reading the terminal."""
        if self._stdout >= 0:
            try:
                self._pending = self._pending[os.write(self._stdout, self._pending) :]
            except BlockingIOError:
                pass
            except OSError:
                self._pending = b""
        else:
            self._pending = b""
        if self._pending:
            if self._master >= 0:
                self._reactor.remove(self._master)
            self._reactor.later(_DRAIN_INTERVAL, self._resume)

    def _resume(self) -> None:
        if self._stdout < 0:
            return
        self._show()
        if not self._pending and self._master >= 0:
            self._reactor.add(self._master, self._master_ready)

    def _stdin_ready(self) -> None:
        try:
            self._typed = os.read(self._stdin, 4096)
        except OSError:
            return
        self._type()

    def _type(self) -> None:
        if self._master < 0:
            self._typed = b""
            return
        try:
            self._typed = self._typed[os.write(self._master, self._typed) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self._typed = b""
        if self._typed:  # the terminal is full: wait for it before reading more
            self._reactor.modify(self._master, READ | WRITE)
            self._reactor.remove(self._stdin)
        elif self._stdin >= 0:
            self._reactor.modify(self._master, READ)
            self._reactor.remove(self._stdin)
            self._reactor.add(self._stdin, self._stdin_ready)

    def close_stdin(self) -> None:
        """Type the end-of-file character, as a person would."""
        if self._stdin >= 0:
            self._reactor.remove(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
            with suppress(OSError):
                os.write(self._master, b"\x04")

    def ended(self) -> None:
        """Show what is left in the terminal, then let go."""
        if self._master >= 0:
            self._master_ready()

    def _close_master(self) -> None:
        if self._master >= 0:
            self._reactor.remove(self._master)
            os.close(self._master)
            self._master = -1
        self._finish()

    def _finish(self) -> None:
        if self._pending or (self._stdout >= 0 and _unread(self._stdout)):
            self._reactor.later(_DRAIN_INTERVAL, self._finish)
        elif self._stdout >= 0:
            os.close(self._stdout)
            self._stdout = -1

    def close(self) -> None:
        self._pending = b""
        for fd in (self._master, self._stdin, self._stdout):
            if fd >= 0:
                self._reactor.remove(fd)
                os.close(fd)
        self._master = self._stdin = self._stdout = -1


def _local_path(path: str) -> str:
    scheme, separator, rest = path.partition("://")
    if not separator:
        return path
    if scheme in ("fifo", "file"):
        return rest.partition("?")[0]
    raise InvalidArgument(f"stdio {path}: only FIFOs and file:// are offered, not {scheme}://")


def _is_fifo(path: str) -> bool:
    return os.path.exists(path) and (os.stat(path).st_mode & 0o170000) == 0o010000


def _hold(path: str) -> int:
    return os.open(_local_path(path), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) if path else -1


def _unread(fd: int) -> int:
    buffer = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, buffer)
    return int.from_bytes(buffer, "little")
