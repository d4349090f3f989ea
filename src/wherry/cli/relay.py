"""A TCP relay of this process: a port that stays, in front of servers that come and go.

Each connection is carried, by the byte, to the server that is current when it comes, and stays with it: who is being
answered by the one before is answered to the end.
"""

import asyncio
import contextlib

from wherry.errors import Conflict

_CHUNK = 1 << 16
_BACKLOG = 512
_UNREACHABLE = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
    b"the handler is not there now.\n"
)


class Relay:
    """Takes connections once `listen` was called. ``target`` is where new ones go: host and port."""

    def __init__(self) -> None:
        self.target = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int) -> int:
        """The port, which the kernel chooses for 0. Conflict: it can't be had."""
        try:
            self._server = await asyncio.start_server(self._accepted, address, port, backlog=_BACKLOG)
        except OSError as error:
            raise Conflict(f"cannot listen at {address}:{port}: {error.strerror or error}") from None
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take no more connections. What is carried goes on."""
        if self._server is not None:
            self._server.close()

    async def finish(self) -> None:
        """End what is still carried."""
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)  # which `finish` ends
        try:
            await self._carry(reader, writer)
        finally:
            self._carrying.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection(*self.target, limit=_CHUNK)
        except OSError:
            with contextlib.suppress(OSError):
                writer.write(_UNREACHABLE)
                await writer.drain()
            return
        try:
            async with asyncio.TaskGroup() as both:
                there = both.create_task(_pump(reader, outer))
                await _pump(inner, writer)
                there.cancel()  # the server has said all it has to say: a client that goes on talking is not heard
        finally:
            outer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; a reset is an end too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
