"""Attaching: one client's view of a container's or an exec's stdio. The fan-out itself lies in streams.py."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from wherry.engine.streams import Streams

DEFAULT_DETACH_KEYS: Final = b"\x10\x11"  # ctrl-p ctrl-q


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What the client asked for. ``logs`` replays the log first; ``stream`` goes on with what comes. ``detach_keys``
    is the sequence, already as bytes, that ends the session when it is typed (b"" is none)."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = True
    logs: bool = False
    detach_keys: bytes = DEFAULT_DETACH_KEYS


class DetachKeys:
    """Finds the sequence in what is typed, however it is cut into chunks. Pure."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete. A begun sequence is held back until it breaks."""
        if not self._keys:
            return data, False
        out = bytearray()
        for byte in data:
            if byte != self._keys[self._seen] and self._seen:
                out += self._keys[: self._seen]
                self._seen = 0
            if byte != self._keys[self._seen]:
                out.append(byte)
                continue
            self._seen += 1
            if self._seen == len(self._keys):
                self._seen = 0
                return bytes(out), True
        return bytes(out), False


Replay = Callable[[int], AsyncIterator[tuple[str, bytes]]]


class AttachSession:
    """A client's end of a process's stdio. Made by `attached`; close it with `aclose`, which is idempotent."""

    def __init__(self, streams: Streams, options: AttachOptions) -> None:
        self._streams = streams
        self._options = options
        self._before: AsyncIterator[tuple[str, bytes]] | None = None
        self._keys = DetachKeys(options.detach_keys if streams.tty else b"")
        self._closed = False
        self._stdin_closed = False

    async def open(self, replay: Replay | None) -> None:
        """Begin to take output; ``replay`` gives the log's text up to a moment (nanoseconds since the epoch)."""
        wanted = {"stdout"} if self._options.stdout else set()
        wanted |= {"stderr"} if self._options.stderr else set()
        streams = frozenset(wanted) if self._options.stream else frozenset()
        self._streams.clients += 1
        try:
            self._subscription, now = await self._streams.output.subscribe(streams)
        except BaseException:  # cancelled: a client that is gone must not keep a run that nobody else waits for
            self._streams.clients -= 1
            raise
        if not self._options.stream:
            self._subscription.end()
        if replay is not None and self._options.logs:
            self._before = replay(now)

    @property
    def tty(self) -> bool:
        """Whether there is a terminal: then there is only ``stdout``, to be sent raw."""
        return self._streams.tty

    @property
    def listens(self) -> bool:
        """Whether what the client sends is of any use."""
        return self._options.stdin

    @property
    def told_all(self) -> bool:
        """Whether `output` has given all that there is by now."""
        return self._subscription.empty

    @property
    def cut(self) -> bool:
        """Whether the client was let go because it did not take its output."""
        return self._subscription.cut

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """``("stdout" | "stderr", bytes)`` as it comes, until the process has ended or the session was closed."""
        if self._before is not None:
            async for chunk in self._before:
                yield chunk
        async for chunk in self._subscription:
            yield chunk

    async def write(self, data: bytes) -> None:
        """Give bytes to stdin; waits while the process does not read. The detach keys among them close the session."""
        if not self._options.stdin or self._closed:
            return
        passed, detached = self._keys.feed(data)
        if passed:
            await self._streams.stdin.write(passed)
        if detached:
            self._stdin_closed = True
            await self.aclose()

    async def close_stdin(self) -> None:
        """The client will send no more. The process sees the end of its stdin if the container was made so."""
        if not self._options.stdin or self._stdin_closed:
            return
        self._stdin_closed = True
        if self._streams.close_stdin_with_client and not self._streams.tty:
            await self._streams.stdin.close()

    async def aclose(self) -> None:
        """Let go of the streams; the process goes on."""
        if self._closed:
            return
        self._closed = True
        self._streams.clients -= 1
        self._streams.output.unsubscribe(self._subscription)


async def attached(streams: Streams, options: AttachOptions, replay: Replay | None = None) -> AttachSession:
    """A session that misses nothing from now on."""
    session = AttachSession(streams, options)
    await session.open(replay)
    return session
