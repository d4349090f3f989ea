"""The user's terminal: raw while a container owns it, restored whatever happens; signals as bytes to be polled."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType

# What a container is told of when it reaches us. Not CHLD, PIPE, URG and WINCH, which are our own business.
PROXIED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGALRM,
)


@contextlib.contextmanager
def raw_mode() -> Iterator[None]:
    """Pass every key typed at stdin on, Ctrl-C included."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSANOW)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def size() -> tuple[int, int] | None:
    """(columns, lines) of stdout, or None when it is no terminal."""
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        return None
    return columns, lines


class SignalWatch:
    """Turns signals into readable bytes: poll `fileno`, then `take` their numbers. A context manager."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._signals = tuple(signals)
        self._before: dict[signal.Signals, object] = {}
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = -1

    def fileno(self) -> int:
        """For polling."""
        return self._reader

    def __enter__(self) -> "SignalWatch":
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._signals:
            self._before[number] = signal.signal(number, _noted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() itself gave us
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def take(self) -> list[int]:
        """The numbers that came since the last call."""
        try:
            return list(os.read(self._reader, 512))
        except BlockingIOError:
            return []


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has it already."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, also to a terminal that somebody made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
