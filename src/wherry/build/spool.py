"""Files a build needs while it runs: the context as it came, archives and layers uncompressed. All go with the build.

Blocks, but for `Spool.receive`.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterable
from typing import IO, BinaryIO, Final

from wherry.core.diff.compression import decompressed, reading
from wherry.core.faults import translating
from wherry.core.threads import blocking
from wherry.errors import ResourceExhausted

_CHUNK: Final = 1 << 20
_PREFIX: Final = "build-"


def sweep(folder: str) -> None:
    """Make the builder's folder, and take away what a killed process left in it."""
    with translating(f"prepare {folder}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for entry in os.scandir(folder):
            if entry.name.startswith(_PREFIX):
                shutil.rmtree(entry.path, ignore_errors=True)


class Spool:
    """One build's folder. ``limit`` bounds each file in bytes: ResourceExhausted past it, or when the disk is full."""

    def __init__(self, parent: str, name: str, limit: int) -> None:
        """``name`` is unique in ``parent``, the builder's own folder. Nothing is made yet."""
        self._limit = limit
        self._count = 0
        self._folder = os.path.join(parent, _PREFIX + name)

    def open(self) -> None:
        """Make the folder."""
        with translating("make a folder for the build"):
            os.makedirs(self._folder, mode=0o700)

    def close(self) -> None:
        """Take the folder away, if it was made. Idempotent."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def free(self) -> str:
        """A path where nothing is yet, for a folder to be made at."""
        return self._next()

    def _next(self) -> str:
        self._count += 1
        return os.path.join(self._folder, str(self._count))

    def _create(self, name: str = "") -> IO[bytes]:
        path = self._next()
        with translating("write a temporary file of the build"):
            if name:
                os.mkdir(path)
            return open(os.path.join(path, name) if name else path, "xb", buffering=0)

    async def receive(self, stream: AsyncIterator[bytes] | bytes) -> str:
        """Write what comes to a file; returns its path."""
        path = self._next()
        pending: list[bytes] = []
        waiting = size = 0
        async for chunk in _pieces(stream):
            pending.append(chunk)
            waiting += len(chunk)
            size += len(chunk)
            self._check(size)
            if waiting >= _CHUNK:
                await blocking(_append, path, b"".join(pending))
                pending, waiting = [], 0
        await blocking(_append, path, b"".join(pending))
        return path

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ResourceExhausted(f"a build takes no archive of more than {self._limit} bytes")

    def plain(self, source: BinaryIO, what: str) -> str:
        """Write the stream to a new file, uncompressed whatever it was; returns its path.

        InvalidArgument: corrupt; ``what`` names it.
        """
        size = 0
        with self._create() as target, reading(what):
            plain = decompressed(source)
            while chunk := plain.read(_CHUNK):
                size += len(chunk)
                self._check(size)
                _write(target, chunk)
        return str(target.name)

    def written(self, chunks: Iterable[bytes], name: str = "") -> str:
        """A new file with these bytes, called ``name`` if that matters to whoever reads it; returns its path."""
        with self._create(name) as target:
            for chunk in chunks:
                _write(target, chunk)
        return str(target.name)


def _append(path: str, data: bytes) -> None:
    with translating("write a temporary file of the build"), open(path, "ab", buffering=0) as file:
        _write(file, data)


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    with translating("write a temporary file of the build"):
        while view:
            view = view[file.write(view) :]


async def _pieces(stream: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(stream, bytes):
        yield stream
        return
    async for chunk in stream:
        yield chunk
