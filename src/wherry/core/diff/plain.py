"""The plain bytes of a layer, on their way to who unpacks them: decompressed, counted, hashed, and read ahead.

Reading, decompressing and hashing leave Python's lock alone for nearly all of their time, and so does making files: a
thread of its own does the first while the caller does the second. Who reads little never starts it.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO, Final

from wherry.core.diff.compression import decompressed
from wherry.errors import InvalidArgument
from wherry.oci.digest import Digester

PIECE: Final = 1 << 20
"""Bytes that are read at a time."""
_AHEAD = 2
_ALONE = 1 << 20
"""Bytes that are read without a thread: making one takes as long."""


class Plain:
    """A stream, packed or not, as its plain bytes; `digester` knows those up to the end once the end was read.

    A context manager: its end waits for the thread, after which the stream may be read by somebody else. Only the
    first read may complain that the stream's codec is odd, so all happens under `compression.reading`.
    """

    def __init__(self, stream: BinaryIO, what: str, largest: int) -> None:
        """More than ``largest`` bytes are refused; ``what`` names the stream in messages."""
        self._what = what
        self._largest = largest
        self._packed = stream
        self._stream: BinaryIO | None = None
        self._ahead: _Ahead | None = None
        self.digester = Digester()

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *_: object) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def read(self, _: int = PIECE, /) -> bytes:
        """The next bytes, `PIECE` of them at most, none at the end.

        InvalidArgument: they are too many; whatever the stream and its codec raise.
        """
        if self._ahead is None:
            if self.digester.size < _ALONE:
                return self._next()
            self._ahead = _Ahead(self._next)
        return self._ahead.next()

    def _next(self) -> bytes:
        if self._stream is None:
            self._stream = decompressed(self._packed)
        data = self._stream.read(PIECE)
        self.digester.update(data)
        if self.digester.size > self._largest:
            raise InvalidArgument(
                f"{self._what} unpacks to more than {self._largest} bytes, which is more than is believed of its size"
                " (wherryd --max-layer-size)"
            )
        return data


class _Ahead:
    """A thread that reads some pieces more than were asked for. An error comes where its piece would have come."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._last: bytes | BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="wherry-layer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        piece: bytes | BaseException = b"begin"
        while piece and not isinstance(piece, BaseException):
            self._room.acquire()
            if self._closed:
                return
            try:
                piece = self._read()
            except BaseException as fault:  # noqa: BLE001 - whatever it is, it is for who waits for the piece
                piece = fault
            self._pieces.put(piece)

    def next(self) -> bytes:
        piece = self._pieces.get() if self._last is None else self._last
        self._room.release()
        if not piece or isinstance(piece, BaseException):
            self._last = piece
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        self._closed = True
        self._room.release()
        self._thread.join()
