"""Logs in files, json-file's and local's: written by one engine, read and followed by many.

What a line looks like is a `Format`; cutting, rotation, tails and followers are the same for all.
"""

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from wherry.core.logs.files import LogFiles, read_lines
from wherry.core.logs.ledger import Ledger, Share
from wherry.core.logs.lines import JSON_LINES, Format, Splitter
from wherry.core.logs.log import LogEntry
from wherry.core.logs.options import FileOptions
from wherry.errors import ResourceExhausted, Unavailable

_BATCH: Final = 256 << 10
_LITTLE: Final = 4 << 10


class FileLog:
    """See the contract. ``clock`` gives nanoseconds since the epoch; it ends followers that have an ``until``."""

    def __init__(
        self,
        path: str,
        options: FileOptions,
        clock: Callable[[], int] = time.time_ns,
        format: Format = JSON_LINES,  # noqa: A002 - what it is
        ledger: str = "",
    ) -> None:
        self._format = format
        self._ledger = Ledger(ledger)
        self._files = LogFiles(path, options, self._ledger)
        self._clock = clock
        self._splitters: dict[str, Splitter] = {}
        self._last_times: dict[str, int] = {}
        self._guard = threading.Lock()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closing = False
        self._closed = False

    def taken(self, stream: str) -> int | None:
        return self._ledger.taken[stream] if self._ledger.kept else None

    def begin(self) -> None:
        self._files.begin()

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        if self._closing:
            raise Unavailable("log is closed")
        async with self._turn:
            if len(data) > _LITTLE or not self._append_now(stream, time_ns, data):
                await asyncio.to_thread(self._append, stream, time_ns, data)
        self._tell()

    async def ready(self) -> None:
        async with self._turn:
            if not self._closing:
                with contextlib.suppress(ResourceExhausted):
                    if not self._files.ready_now():
                        await asyncio.to_thread(self._files.ready)

    async def read(
        self, *, since: int = 0, until: int = 0, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[Sequence[LogEntry]]:
        cursor = await asyncio.to_thread(_Cursor, self._files, self._format, tail, follow)
        try:
            while True:
                # Taken before reading: what is written after that is not missed.
                changed, closed = self._changed, self._closed
                entries = await asyncio.to_thread(cursor.entries)
                batch, over = _between(entries or (), since, until)
                if batch:
                    yield batch
                if over:
                    return
                if entries is None and (not follow or closed or not await self._more(changed, until)):
                    return
        finally:
            cursor.close()

    async def aclose(self) -> None:
        if self._closing:
            return
        self._closing = True
        async with self._turn:
            if not self._finish_now():
                # The end of the container is no time to fail; what waited for its newline is lost with the disk full.
                with contextlib.suppress(ResourceExhausted):
                    await asyncio.to_thread(self._finish)
        self._closed = True  # not before: a follower that sees it reads to the end and goes
        self._tell()

    def _append_now(self, stream: str, time_ns: int, data: bytes) -> bool:
        """`_append` where a thread would only cost time: of a little output, to the open file, which goes to memory.
        Whether it was done."""
        if not self._guard.acquire(blocking=False):
            return False
        try:
            return self._files.append_now(len(data), lambda: self._lines(stream, time_ns, data))
        finally:
            self._guard.release()

    def _append(self, stream: str, time_ns: int, data: bytes) -> None:
        with self._guard:  # a writer that is cancelled leaves its thread behind
            block = self._splitters.setdefault(stream, Splitter()).block(data)
            if block is not None:
                self._block(stream, time_ns, block)
                return
            lines, share = self._lines(stream, time_ns, data)
            if lines:
                self._given(share, lambda: self._files.append(lines, share))

    def _block(self, stream: str, time_ns: int, block: bytes) -> None:
        """Whole lines, written together if the format can."""
        self._last_times[stream] = time_ns
        if not block:
            return
        stamp, encode = self._format.stamp(time_ns), self._format.encode
        encoded = self._format.encode_block(stream, stamp, block)
        share = Share(self._ledger, stream, block)
        if encoded is not None:
            self._given(share, lambda: self._files.append_block(encoded, share))
            return
        lines = [encode(stream, stamp, line + b"\n") for line in block[:-1].split(b"\n")]
        self._given(share, lambda: self._files.append(lines, share))

    def _lines(self, stream: str, time_ns: int, data: bytes) -> tuple[list[bytes], Share]:
        splitter = self._splitters.setdefault(stream, Splitter())
        self._last_times[stream] = time_ns
        stamp, encode = self._format.stamp(time_ns), self._format.encode
        cut = list(splitter.feed(data))
        return [encode(stream, stamp, line) for line in cut], Share(self._ledger, stream, cut)

    def _given(self, share: Share, write: Callable[[], None]) -> None:
        """Write; what cannot be written is given up, and never asked for again."""
        try:
            write()
        except ResourceExhausted:
            share.all()
            raise

    def _finish_now(self) -> bool:
        """`_finish` where it would write nothing and wait for nobody: somebody waits for the end of the container."""
        if not self._guard.acquire(blocking=False):
            return False
        try:
            return not any(splitter.holds for splitter in self._splitters.values()) and self._files.close_now()
        finally:
            self._guard.release()

    def _finish(self) -> None:
        with self._guard:
            try:
                for stream, splitter in self._splitters.items():
                    rest = list(splitter.flush())
                    if rest:
                        stamp = self._format.stamp(self._last_times[stream])
                        lines = [self._format.encode(stream, stamp, line) for line in rest]
                        self._files.append(lines, Share(self._ledger, stream, rest))
            finally:
                self._files.close()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _more(self, changed: asyncio.Event, until: int) -> bool:
        """Wait for the next write; False when ``until`` comes first."""
        limit = (until - self._clock()) / 1e9 if until else None
        try:
            async with asyncio.timeout(limit):
                await changed.wait()
        except TimeoutError:
            return False
        return True


def _between(entries: Sequence[LogEntry], since: int, until: int) -> tuple[Sequence[LogEntry], bool]:
    """Those from ``since`` to ``until``, and whether one came that is later."""
    if until:
        for index, entry in enumerate(entries):
            if entry.time_ns > until:
                return _between(entries[:index], since, 0)[0], True
    return ([entry for entry in entries if entry.time_ns >= since] if since else entries), False


class _Cursor:
    """A reader's place in the files. Blocks; used from one thread at a time."""

    def __init__(self, files: LogFiles, format: Format, tail: int | None, follow: bool) -> None:  # noqa: A002
        self._files = files
        self._decode = format.decode_lines
        self._file: io.BufferedIOBase | None = None
        # One who does not follow stops where the log ends now, however fast it grows.
        self._end = None if follow else files.end()
        self._generation, self._offset = (files.oldest(), 0) if tail is None else files.tail(tail)

    def entries(self) -> list[LogEntry] | None:
        """The next entries, a few hundred KiB of them; None at the end."""
        while True:
            generation, _ = self._files.end()  # before reading: a file that was in use then may have got more since
            lines = self._lines()
            if lines:
                return self._decode(lines)
            if self._generation >= (generation if self._end is None else min(generation, self._end[0])):
                return None
            self.close()
            self._generation, self._offset = self._generation + 1, 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self) -> list[bytes]:
        if self._file is None:
            found = self._files.open(self._generation)
            if found is None:
                return []
            opened, self._file = found
            self._file.seek(self._offset if opened == self._generation else 0)
            self._generation = opened
        if self._end is None or self._generation < self._end[0]:
            return read_lines(self._file, _BATCH)
        left = self._end[1] - self._file.tell() if self._generation == self._end[0] else 0
        return read_lines(self._file, min(_BATCH, left)) if left > 0 else []
