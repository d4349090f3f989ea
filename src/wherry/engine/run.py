"""One run of a process as the engine sees it: its FIFOs, the pumps that empty them, its clients, its log.

The same for a container's main process and for an exec in it. What becomes of the container is decided elsewhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from wherry.core.tasks.fifos import FifoReader, FifoWriter, remove_fifos
from wherry.core.tasks.tasks import Process, TaskIO
from wherry.engine.background import Background
from wherry.engine.streams import Sink, Streams
from wherry.errors import NotFound, Unavailable, WherryError

GRACE: Final = 2.0
"""Seconds that whoever copies a process's output is given after its end."""


class Nowhere:
    """A sink for output that is not logged."""

    def taken(self, stream: str) -> int | None:
        return None

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        return None


class Run:
    """Life: made when the first client attaches or the process is started -> `open` -> `ended` or `failed`."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.io = TaskIO()
        self._readers: list[FifoReader] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._writer: FifoWriter | None = None
        self._process: asyncio.Future[Process | None] = asyncio.get_running_loop().create_future()

    def open(self, io: TaskIO, sink: Sink, background: Background) -> None:
        """Hold the FIFOs open, as shims want it, and begin to carry output. Unavailable: a FIFO is gone."""
        self.io = io
        for stream, path in (("stdout", io.stdout), ("stderr", io.stderr)):
            if path:
                reader = FifoReader(path, sink.taken(stream))
                self._readers.append(reader)
                chunks = _chunks(reader, stream, sink)
                self._pumps.append(background.spawn(self.streams.output.pump(stream, chunks, sink)))
        self._writer = FifoWriter(io.stdin) if io.stdin else None
        self.streams.stdin.open(self._writer, self._close_stdin)

    def withdraw(self) -> None:
        """The process was not made after all: let go of its FIFOs. Clients stay, and wait for the next try."""
        for pump in self._pumps:
            pump.cancel()
        for reader in self._readers:
            reader.close()
        self._pumps, self._readers, self._writer = [], [], None
        self.streams.stdin.withdraw()

    def started(self, process: Process) -> None:
        """The process that the FIFOs belong to is there; no matter if it has ended since."""
        if not self._process.done():
            self._process.set_result(process)

    async def _close_stdin(self) -> None:
        process = await self._process
        if self._writer is not None:
            self._writer.close()
        if process is not None:
            # One that has ended meanwhile needs no end of file.
            with contextlib.suppress(NotFound, Unavailable):
                await process.close_stdin()

    async def ended(self, grace: float) -> None:
        """The process has ended: carry what it left, then end the clients' sessions.

        ``grace`` is 0 when all it wrote lies in the FIFOs already. Else somebody still copies: they are given so many
        seconds to let go, not more, since a process left behind may keep the FIFOs open.
        """
        if self._pumps and grace:
            await asyncio.wait(self._pumps, timeout=grace)
        for reader in self._readers:
            reader.expire()
        if self._pumps:
            await asyncio.wait(self._pumps)
        self.failed()

    def failed(self) -> None:
        """Let go of everything, also of what was never started."""
        if not self._process.done():
            self._process.set_result(None)
        for pump in self._pumps:
            pump.cancel()
        for reader in self._readers:
            reader.close()
        self.streams.end()

    def remove(self) -> None:
        """Remove the FIFOs. Blocks, shortly."""
        remove_fifos(self.io)


async def _chunks(reader: FifoReader, stream: str, sink: Sink) -> AsyncIterator[bytes]:
    # A reader closed under way is the end of a run that somebody gave up.
    with contextlib.suppress(WherryError):
        while data := await reader.read():
            yield data
            reader.release(sink.taken(stream) or 0)
