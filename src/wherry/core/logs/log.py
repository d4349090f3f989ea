"""The contract of logs: a container's output kept, read back, followed. Drivers lie beside this file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class LogEntry(NamedTuple):
    """A piece of a log: a line with its newline, or part of one. ``time_ns`` in nanoseconds since the epoch.

    A tuple, for a log is read back by the million of them, and a frozen dataclass takes three times as long to make.
    """

    stream: str
    time_ns: int
    data: bytes


class Log(Protocol):
    """One container's log. Any number may read while one engine writes.

    Life: opened -> written and read -> `aclose`, after which followers read what is left and end.
    """

    def taken(self, stream: str) -> int | None:
        """How many bytes of ``stream`` are in the log for good, of all that the run wrote, also to an earlier engine: a
        reader that has what comes after them gives it again. None: the driver does not count."""

    def begin(self) -> None:
        """A run begins whose streams nobody has read from: count from nought."""

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        """Take output as it came, lines or not; what is no whole line yet waits for its rest, up to 16 KiB.

        ResourceExhausted: the disk is full; what did not fit is lost, what was written before is not.
        """

    async def ready(self) -> None:
        """Do now what the first write would do before it writes; what goes wrong is told by that."""

    def read(
        self, *, since: int = 0, until: int = 0, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[Sequence[LogEntry]]:
        """Entries, oldest first, as many at a time as there are without waiting: of the last ``tail`` (None is all)
        those from ``since`` to ``until`` (nanoseconds since the epoch, 0 is unlimited); with ``follow`` also those to
        come, until ``until`` or `aclose`.

        Unimplemented: the driver keeps nothing. The iterator has ``aclose``; a follower that falls behind so far that
        its file was rotated away goes on with the oldest there is.
        """

    async def aclose(self) -> None:
        """Write what waits for its newline; nothing more will come. Twice is no error."""


class LogFactory(Protocol):
    """Log drivers by name."""

    def check(self, driver: str, options: Mapping[str, str]) -> None:
        """InvalidArgument: no such driver, or options that it does not have."""

    async def open(
        self,
        driver: str,
        options: Mapping[str, str],
        path: str,
        *,
        strict: bool = False,
        ledger: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Log:
        """The log whose file is ``path``; the file itself is made by the first write. ``ledger`` names a file beside
        the run's FIFOs, in which how far the log has come outlives this process. ``attributes`` go with each line where
        the driver's format has a place for them. InvalidArgument as `check`.
        Unavailable, if ``strict``: the server that lines are sent to cannot be reached now."""
