"""How far a log has come with the output of one run, for the engine that follows one which was killed.

A small file, written after each write to the log: the log's inode and size then, and how many bytes of each stream it
covers. What the log has beyond that size was written by an engine that was killed before it could note it: it is cut
off, and who reads the streams gives it once more, from the noted place on. So a line is in the log once. Who keeps what
was read is core/tasks/spool.py's matter.
"""

import contextlib
import os
import struct
from typing import Final

STREAMS: Final = ("stdout", "stderr")
_FORM: Final = struct.Struct("<4Q")


class Ledger:
    """``path`` "" is for logs of which nothing is noted. Its calls block no longer than a file in memory does; a ledger
    that cannot be written is none: no log is worth less for that."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._fd = -1
        self.taken = dict.fromkeys(STREAMS, 0)
        """Bytes of each stream that are in the log for good."""

    @property
    def kept(self) -> bool:
        return self._path != ""

    def resume(self, log: str) -> None:
        """Go on where another engine stopped, if one left a ledger: cut ``log`` to what was noted. A log that has been
        replaced since is left alone."""
        if not self._path:
            return
        try:
            with open(self._path, "rb") as file:
                inode, size, *taken = _FORM.unpack(file.read(_FORM.size + 1))
        except (OSError, struct.error):  # none, or one that somebody else has been at
            return
        self.taken = dict(zip(STREAMS, taken, strict=True))
        with contextlib.suppress(OSError):
            found = os.stat(log)
            if found.st_ino == inode and found.st_size > size:
                os.truncate(log, size)

    def begin(self) -> None:
        """A run begins: count from nought."""
        self.close()
        self.taken = dict.fromkeys(STREAMS, 0)

    def note(self, inode: int, size: int) -> None:
        """The log is so large now and has what `taken` says. One write within a page: it is there whole or not."""
        if not self._path:
            return
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.pwrite(self._fd, _FORM.pack(inode, size, *self.taken.values()), 0)

    def close(self) -> None:
        """Twice is no error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Share:
    """Which bytes of a stream lines of a log are: ``whole`` is what is being written, as one block of lines or in
    pieces. Called with the numbers of those that are written now, it counts them."""

    def __init__(self, ledger: Ledger, stream: str, whole: bytes | list[bytes]) -> None:
        self._ledger = ledger
        self._stream = stream
        self._whole = whole
        self._goal = ledger.taken[stream] + (len(whole) if isinstance(whole, bytes) else sum(map(len, whole)))

    def __call__(self, start: int, end: int | None = None) -> None:
        if end is None:
            self.all()
            return
        if isinstance(self._whole, bytes):
            self._whole = [line + b"\n" for line in self._whole[:-1].split(b"\n")]
        self._ledger.taken[self._stream] += sum(map(len, self._whole[start:end]))

    def all(self) -> None:
        """Also those that could not be written: they are given up."""
        self._ledger.taken[self._stream] = self._goal
