"""The files of one log: ``x.log`` in use, ``x.log.1`` the one before, and so on. All calls block.

Appending, rotating, and reading backwards and forwards across them. Knows lines, not their meaning.
"""

import contextlib
import gzip
import io
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from isal import igzip

from wherry.core.logs.ledger import Ledger
from wherry.core.logs.options import FileOptions
from wherry.errors import ResourceExhausted

_BLOCK: Final = 64 << 10
_LONGEST: Final = 4 << 20
_MODE: Final = 0o640
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
_LONGEST_OF_A_BYTE: Final = 128
"""Bytes of a log that one byte of output can become: an empty line, with its stream and time."""

Wrote = Callable[[int, int | None], None]


def _uncounted(start: int, end: int | None) -> None:
    return None


class LogFiles:
    """Thread-safe. Generations count rotations since this was made: 0 is the file that was in use then, -1 the one
    before it; a reader names files by generation, for their names change under it. What is written is noted in
    ``ledger``; who writes counts it there when called with the numbers of the lines that were written (None: the
    rest)."""

    def __init__(self, path: str, options: FileOptions, ledger: Ledger | None = None) -> None:
        self._path = path
        self._options = options
        self._ledger = Ledger() if ledger is None else ledger
        self._ledger.resume(path)
        self._inode = 0
        self._lock = threading.Lock()
        self._file: io.FileIO | None = None
        self._size = 0
        self._generation = 0

    def append(self, lines: list[bytes], wrote: Wrote = _uncounted) -> None:
        """Write whole lines, rotating where the size demands it. ResourceExhausted: no room; a line is never left half
        written, unless the machine goes down."""
        with self._lock:
            self._append(lines, wrote)

    def append_now(self, size: int, lines: Callable[[], tuple[list[bytes], Wrote]]) -> bool:
        """`append` what ``lines`` makes of ``size`` bytes of output, if the file is there, far from being rotated, and
        nobody else at it: that takes no longer than a thread would take to begin. Else ``lines`` is not called. Whether
        it was done."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            limit = self._options.max_size
            if not self._is_open_now() or (limit and self._size + size * _LONGEST_OF_A_BYTE >= limit):
                return False
            self._append(*lines())
            return True
        finally:
            self._lock.release()

    def _append(self, lines: list[bytes], wrote: Wrote) -> None:
        start = 0
        pending = 0
        file = self._opened()
        for index, line in enumerate(lines):
            if self._options.max_size and self._size + pending >= self._options.max_size:
                self._write(file, b"".join(lines[start:index]))
                wrote(start, index)
                self._note()
                start, pending = index, 0
                self._rotate()
                file = self._opened()
            pending += len(line)
        self._write(file, b"".join(lines[start:]))
        wrote(start, None)
        self._note()

    def append_block(self, block: bytes, wrote: Wrote = _uncounted) -> None:
        """`append` of the lines in ``block``, in one piece where no rotation can fall into it. ResourceExhausted."""
        with self._lock:
            file = self._opened()
            whole = not self._options.max_size or self._size + len(block) < self._options.max_size
            if whole:
                self._write(file, block)
                wrote(0, None)
                self._note()
        if not whole:
            self.append([line + b"\n" for line in block[:-1].split(b"\n")], wrote)

    def begin(self) -> None:
        """A run begins: what is written from now on is counted from nought."""
        with self._lock:
            self._ledger.begin()
            if self._file is not None:
                self._note()

    def ready(self) -> None:
        """Make and open the file that the next lines go to. ResourceExhausted."""
        with self._lock:
            self._opened()

    def ready_now(self) -> bool:
        """`ready` if the file is there, empty, and nobody at it; whether it was done. Does not block."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._is_open_now()
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._close()

    def close_now(self) -> bool:
        """`close` if nobody is in the middle of something; whether it was done. Does not block."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._close()
        finally:
            self._lock.release()
        return True

    def _close(self) -> None:
        self._ledger.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def open(self, generation: int) -> tuple[int, io.BufferedIOBase] | None:
        """The file of ``generation``, or the oldest there is after it, from its beginning; and which one it is. None:
        nothing was written yet."""
        with self._lock:
            for number in range(min(self._generation - generation, self._options.max_files - 1), -1, -1):
                file = self._open_number(number)
                if file is not None:
                    return self._generation - number, file
        return None

    def oldest(self) -> int:
        """The generation to begin with to read everything."""
        with self._lock:
            return self._generation - (self._options.max_files - 1)

    def tail(self, count: int) -> tuple[int, int]:
        """Where the last ``count`` lines begin: generation and offset."""
        with self._lock:
            for number in range(self._options.max_files):
                file = self._open_number(number)
                if file is None:
                    continue
                with file:
                    offset, found = _tail_offset(file, count)
                if found >= count:
                    return self._generation - number, offset
                count -= found
            return self._generation - (self._options.max_files - 1), 0

    def end(self) -> tuple[int, int]:
        """Where the log ends now: the generation in use, and its size in bytes."""
        with self._lock:
            try:
                return self._generation, os.stat(self._path).st_size
            except FileNotFoundError:
                return self._generation, 0

    def _name(self, number: int) -> str:
        return f"{self._path}.{number}" if number else self._path

    def _open_number(self, number: int) -> io.BufferedIOBase | None:
        try:
            return open(self._name(number), "rb")
        except FileNotFoundError:
            if not number:
                return None
        try:
            return gzip.open(self._name(number) + ".gz", "rb")
        except FileNotFoundError:
            return None

    def _is_open_now(self) -> bool:
        """Whether the file is open; an empty one, which needs no mending, is opened."""
        if self._file is None:
            try:
                fd = os.open(self._path, _FLAGS)
            except OSError:  # it is to be made
                return False
            status = os.fstat(fd)
            if status.st_size:
                os.close(fd)
                return False
            self._use(io.FileIO(fd, "r+"), status.st_ino, 0)
        return True

    def _opened(self) -> io.FileIO:
        if self._file is not None:
            return self._file
        try:
            fd = self._open()
        except OSError as error:
            raise ResourceExhausted(f"cannot open the log {self._path}: {error.strerror}") from None
        file = io.FileIO(fd, "r+")
        return self._use(file, os.fstat(fd).st_ino, _mend(file))

    def _use(self, file: io.FileIO, inode: int, size: int) -> io.FileIO:
        self._file, self._inode, self._size = file, inode, size
        self._note()
        return file

    def _open(self) -> int:
        try:
            return make_log(self._path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), 0o710, exist_ok=True)
            return make_log(self._path)

    def _write(self, file: io.FileIO, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            os.ftruncate(file.fileno(), self._size)
            raise ResourceExhausted(f"cannot write the log {self._path}: {error.strerror}") from None
        self._size += len(data)

    def _note(self) -> None:
        self._ledger.note(self._inode, self._size)

    def _rotate(self) -> None:
        """Every step is a rename or an unlink: a kill between two leaves a gap in the numbers, no half file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        last = self._options.max_files - 1
        try:
            for suffix in ("", ".gz"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._name(last) + suffix)
            for number in range(last - 1, -1, -1):
                for suffix in ("", ".gz") if number else ("",):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(self._name(number) + suffix, self._name(number + 1) + suffix)
            if self._options.compress:
                _compress(self._name(1))
        except OSError as error:
            raise ResourceExhausted(f"cannot rotate the log {self._path}: {error.strerror}") from None
        self._generation += 1


def make_log(path: str) -> int:
    """The file of a log, opened; made if it is not there. OSError."""
    return os.open(path, _FLAGS | os.O_CREAT, _MODE)


def read_lines(file: io.BufferedIOBase, limit: int) -> list[bytes]:
    """Whole lines without their newlines, about ``limit`` bytes; the file then stands after the last of them. A line
    that lacks its newline is not there yet, or will never be."""
    start = file.tell()
    data = b""
    while len(data) < _LONGEST:
        more = file.read(limit)
        data += more
        end = data.rfind(b"\n") + 1
        if end or len(more) < limit:
            file.seek(start + end)
            return data[:end].split(b"\n")[:-1]
    return [data]  # no line of ours is as long: whoever decodes it finds that it is none


def _tail_offset(file: io.BufferedIOBase, count: int) -> tuple[int, int]:
    """Where the last ``count`` lines of a file begin, and how many there are."""
    if not isinstance(file, io.BufferedReader):  # compressed: there is no reading backwards
        offsets = deque([0], maxlen=count + 1)
        position = 0
        for line in file:
            position += len(line)
            offsets.append(position)
        return offsets[0], len(offsets) - 1
    position = file.seek(0, os.SEEK_END)
    found = -1  # the newline that ends the last line begins none
    while position > 0:
        step = min(_BLOCK, position)
        position -= step
        file.seek(position)
        block = file.read(step)
        newlines = block.count(b"\n")
        if found + newlines < count:
            found += newlines
            continue
        index = step
        while found < count:
            index = block.rindex(b"\n", 0, index)
            found += 1
        return position + index + 1, count
    return 0, found + 1


def _mend(file: io.FileIO) -> int:
    """Cut off a last line that a crash left half written, so that what comes next is not glued to it. The size."""
    size = file.seek(0, os.SEEK_END)
    position = size
    while position > 0:
        step = min(_BLOCK, position)
        block = os.pread(file.fileno(), step, position - step)
        newline = block.rfind(b"\n")
        if newline >= 0:
            position += newline + 1 - step
            break
        position -= step
    if position != size:
        os.ftruncate(file.fileno(), position)
    return position


def _compress(path: str) -> None:
    temporary = path + ".gz.tmp"
    with open(path, "rb") as source, igzip.IGzipFile(temporary, "wb", 1) as target:  # type: ignore[no-untyped-call]  # isal has no types
        shutil.copyfileobj(source, target, 1 << 20)
    os.rename(temporary, path + ".gz")
    os.unlink(path)
