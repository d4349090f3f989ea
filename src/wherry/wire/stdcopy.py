"""Docker's multiplexed streams: stdout and stderr of a process without a terminal, framed on one connection. No I/O.

Source: Docker Engine API, "Attach to a container", Stream format; moby pkg/stdcopy.
"""

from __future__ import annotations

from struct import Struct

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
"""Kinds of frames; a SYSTEM_ERROR's bytes are the engine's own message, and nothing follows it."""
STREAMS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR}

_header = Struct(">BxxxI")
_MAX_PAYLOAD = (1 << 32) - 1


def encode(kind: int, data: bytes) -> bytes:
    """One frame. InvalidArgument: no such kind, or 4 GiB and more."""
    if kind not in range(4) or len(data) > _MAX_PAYLOAD:
        raise InvalidArgument(f"no frame can be of kind {kind} with {len(data)} bytes")
    return _header.pack(kind, len(data)) + data


def encode_all(batch: Iterable[tuple[str, bytes]]) -> bytes:
    """A frame for each; streams by name, each of them a line of a log at most. KeyError: no such stream."""
    parts: list[bytes] = []
    kinds, pack = STREAMS, _header.pack
    for stream, data in batch:
        parts += (pack(kinds[stream], len(data)), data)
    return b"".join(parts)


class Decoder:
    """Takes bytes as they come, gives payloads as far as they are there: a frame of 4 GiB is never held."""

    def __init__(self) -> None:
        self._head = b""
        self._kind = STDIN
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Pieces as (kind, bytes), none of them empty; pieces of one frame follow each other. InvalidArgument: no such
        kind of frame, so this is no multiplexed stream."""
        view = memoryview(data)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                yield self._kind, bytes(piece)
                continue
            missing = _header.size - len(self._head)
            self._head, view = self._head + view[:missing], view[missing:]
            if len(self._head) == _header.size:
                self._kind, self._left = _header.unpack(self._head)
                self._head = b""
                if self._kind > SYSTEM_ERROR:
                    raise InvalidArgument(f"not a multiplexed stream: it has a frame of the unknown kind {self._kind}")

    @property
    def complete(self) -> bool:
        """Whether the stream may end here: no frame was cut short."""
        return not self._left and not self._head
