"""What was taken from a FIFO and may be wanted once more: a file beside it, which outlives an engine that is killed.

Bytes go from the pipe into the file by splice(2), which moves them: a kill at any moment leaves each byte in the one or
in the other. What a plain read takes is lost with the process that took it. Positions count from the run's first byte;
what is wanted no more is given back to the file system as a hole.
"""

import contextlib
import os
from typing import Final

from wherry.linux.holes import punch

SUFFIX: Final = ".kept"
_PAGE: Final = 4096
_WORTH: Final = 64 << 10
"""Bytes whose room is given back at a time."""


class Spool:
    """Opened at ``start``: what lies there from that place on comes first. OSError: it cannot be opened."""

    def __init__(self, path: str, start: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._end = os.fstat(self._fd).st_size
        self._at = min(start, self._end)
        self._gone = self._at // _PAGE * _PAGE

    def take(self, fifo: int, size: int) -> bytes:
        """As os.read(2) of the FIFO: at most ``size`` bytes, b"" where there is no writer, BlockingIOError."""
        if self._at == self._end:
            try:
                moved = os.splice(fifo, self._fd, size, offset_dst=self._end, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                raise
            except OSError:  # no room for it: what comes now is as safe as it was read
                return self._pass_on(fifo, size)
            self._end += moved
        data = os.pread(self._fd, min(size, self._end - self._at), self._at)
        self._at += len(data)
        return data

    def _pass_on(self, fifo: int, size: int) -> bytes:
        data = os.read(fifo, size)
        self._end += len(data)
        self._at = self._end
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._end)
        return data

    def release(self, position: int) -> None:
        """What lies before ``position`` is not wanted any more."""
        end = position // _PAGE * _PAGE
        if end - self._gone >= _WORTH:
            with contextlib.suppress(OSError):  # a file system without holes keeps it until the run is over
                punch(self._fd, self._gone, end)
            self._gone = end

    def close(self) -> None:
        os.close(self._fd)
