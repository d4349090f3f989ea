"""Compressed streams told by their first bytes, whatever their media type says; and the one way we compress.

The gzip codec and its level are pinned: they decide a layer's digest, so a change of either changes images' digests.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import zstandard
from isal import igzip, isal_zlib

from wherry.errors import InvalidArgument

_GZIP_LEVEL = 2
_GZIP_WINDOW = 31  # zlib's way of saying: 32 KiB window, gzip framing without a name and with no time
_BUFFER = 256 << 10
_FAULTS = cast(  # isal's stubs make its error an instance
    "tuple[type[Exception], ...]",
    (isal_zlib.error, zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError),
)


def _gzip(stream: BinaryIO) -> BinaryIO:
    opened = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]  # isal's stubs lack it
    return cast("BinaryIO", opened)


def _zstd(stream: BinaryIO) -> BinaryIO:
    reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True, closefd=False)
    return cast("BinaryIO", reader)


def _bzip2(stream: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", bz2.BZ2File(stream))


def _xz(stream: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", lzma.LZMAFile(stream))


_CODECS: tuple[tuple[bytes, Callable[[BinaryIO], BinaryIO]], ...] = (
    (b"\x1f\x8b", _gzip),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", _bzip2),
    (b"\xfd7zXZ\0", _xz),
)


class Peekable(io.RawIOBase):
    """A stream of which the first bytes were looked at already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer is 3.12's
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        if size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head + self._stream.read(size - len(head)) if len(head) < size else head


def decompressed(stream: BinaryIO) -> BinaryIO:
    """The plain bytes of a gzip, zstd, bzip2, xz or uncompressed ``stream``; a read may give less than was asked for.
    Read it under `reading`."""
    head = b""
    while len(head) < 6 and (more := stream.read(6 - len(head))):
        head += more
    whole = Peekable(head, stream)
    for magic, codec in _CODECS:
        if head.startswith(magic):
            return codec(io.BufferedReader(whole, _BUFFER))
    return cast("BinaryIO", whole)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn every codec's complaint about its input into InvalidArgument."""
    try:
        yield
    except OSError as fault:  # some codecs raise it without a number; with one, it is the kernel's
        if fault.errno is not None:
            raise
        raise InvalidArgument(f"{what} is corrupt: its compressed data cannot be read ({fault})") from fault
    except _FAULTS as fault:
        raise InvalidArgument(f"{what} is corrupt: its compressed data cannot be read ({fault})") from fault


class GzipWriter:
    """Compresses into ``sink``; equal bytes give equal output, however they are cut into pieces.

    The codec's output depends on the size of the pieces it is given, so they are made equal here.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._codec = isal_zlib.compressobj(level=_GZIP_LEVEL, wbits=_GZIP_WINDOW)
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while len(self._waiting) + len(view) >= _BUFFER:
            missing = _BUFFER - len(self._waiting)
            self._compress(bytes(self._waiting) + view[:missing] if self._waiting else bytes(view[:missing]))
            self._waiting.clear()
            view = view[missing:]
        self._waiting += view

    def _compress(self, data: bytes) -> None:
        if compressed := self._codec.compress(data):
            self._sink(compressed)

    def finish(self) -> None:
        self._compress(bytes(self._waiting))
        self._waiting.clear()
        self._sink(self._codec.flush())
