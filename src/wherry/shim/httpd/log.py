"""The server's log: one line for a request on standard output, what went wrong on standard error.

The line is the common log format with the milliseconds it took and the request's id.
"""

from __future__ import annotations

import os
import time

from wherry.suppress import suppress
from wherry.wire.http1 import MONTHS

LATEST = 0.02
"""Seconds that a line may wait for others."""
_MOST_TARGET = 1024


class Log:
    """Lines are kept until `flush`: one write for all requests of a turn."""

    def __init__(self, out: int = 1, err: int = 2) -> None:
        self._out = out
        self._err = err
        self._lines: list[str] = []
        self._second = -1
        self._flushed = 0.0
        self._stamp = ""

    def access(self, peer: str, request: str, status: int, sent: int, seconds: float, request_id: str) -> None:
        """A request that was answered, or refused."""
        self._lines.append(
            f'{peer} - - [{self._now()}] "{printable(request)}" {status} {sent} {seconds * 1000:.1f}ms {request_id}\n'
        )

    def trouble(self, request_id: str, status: int, text: str) -> None:
        """What went wrong with one, every line of it with its id."""
        self.flush()
        lines = "".join(f"wherry: request {request_id}: {line}\n" for line in f"{status}: {text}".splitlines())
        _write(self._err, lines)

    def note(self, text: str) -> None:
        """Something about the server itself."""
        self.flush()
        _write(self._err, f"wherry: {text}\n")

    @property
    def waits(self) -> bool:
        """There are lines to be flushed."""
        return bool(self._lines)

    def flush_later(self, now: float) -> None:
        """Flush, unless that was done just before ``now``, of the monotonic clock: for many requests one write."""
        if self._lines and now - self._flushed >= LATEST:
            self._flushed = now
            self.flush()

    def flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            _write(self._out, "".join(lines))

    def _now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            year, month, day, hour, minute, sec = time.gmtime(second)[:6]
            self._stamp = f"{day:02}/{MONTHS[month - 1]}/{year}:{hour:02}:{minute:02}:{sec:02} +0000"
        return self._stamp


def printable(text: str) -> str:
    """On one line and between quotes, whatever a client sent."""
    text = text[:_MOST_TARGET] + ("..." if len(text) > _MOST_TARGET else "")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        f"\\x{ord(letter):02x}" if letter in '"\\' or not " " <= letter <= "~" else letter for letter in text
    )


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "replace")
    with suppress(OSError):  # nobody reads it any more: requests are served all the same
        while data:
            data = data[os.write(fd, data) :]
