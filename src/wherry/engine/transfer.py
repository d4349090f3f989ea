"""Archives on their way between clients and disk: taken in to a nameless file, given out from a thread."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import BinaryIO, Final

from wherry.core.faults import translating
from wherry.engine.services import EngineConfig

_CHUNK: Final = 1 << 20


def temporary_folder(config: EngineConfig) -> str:
    """Where archives and build contexts lie while they are worked on; swept when the engine starts."""
    return os.path.join(config.root, "tmp")


def temporary_file(config: EngineConfig) -> BinaryIO:
    """A file without a name: it goes with the process, however that ends. Blocks."""
    folder = temporary_folder(config)
    with translating(f"make a temporary file in {folder}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)


async def receive(file: BinaryIO, chunks: AsyncIterator[bytes], what: str) -> None:
    """Write what comes to ``file``, a mebibyte at a time; ``what`` names it in errors. ResourceExhausted."""
    waiting, size = [b""], 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            await asyncio.to_thread(_write, file, b"".join(waiting), what)
            waiting, size = [], 0
    await asyncio.to_thread(_write, file, b"".join(waiting), what)


def _write(file: BinaryIO, data: bytes, what: str) -> None:
    with translating(f"keep {what}"):
        file.write(data)
        file.flush()


class InThreads(AsyncIterator[bytes]):
    """What a blocking iterator gives, each piece from a thread. `aclose` it: that closes a generator, waiting for the
    thread that is still in it, and then calls ``release``."""

    def __init__(self, parts: Iterator[bytes], release: Callable[[], None] | None = None) -> None:
        self._parts = parts
        self._release = release
        self._step: asyncio.Future[bytes | None] | None = None

    async def __anext__(self) -> bytes:
        self._step = asyncio.ensure_future(asyncio.to_thread(next, self._parts, None))
        part = await asyncio.shield(self._step)
        if part is None:
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        if self._step is not None:
            await asyncio.wait([self._step])
        if isinstance(self._parts, Generator):
            await asyncio.to_thread(self._parts.close)
        if self._release is not None:
            self._release()
