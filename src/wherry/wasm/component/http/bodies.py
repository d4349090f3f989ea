"""Bodies of messages as wasi:io streams. What is not read is not fetched, and what nobody takes is not taken.

https://github.com/WebAssembly/wasi-http/blob/v0.2.0/proxy.md#incoming-body
"""

from __future__ import annotations

from wherry.wasm.component.http.fields import Fields, received
from wherry.wasm.component.io import CHUNK, InputStream, OutputStream
from wherry.wasm.component.polling import Pollable, wait
from wherry.wasm.component.state import CLOSED, StreamError
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi.errno import IO, Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any, Protocol

    from wherry.wasm.component.http.fields import Raw

    Look = tuple[int, int, int | None] | None
    """As `polling.Awaited.look` has it."""

    class Source(Protocol):
        """Where a body comes from."""

        @property
        def trailers(self) -> Raw:
            """Those that came after it, once it has ended."""

        def read(self, most: int, *, block: bool) -> bytes | None:
            """At most ``most`` bytes; b"" at its end; None: nothing now. Failed: a stream-error."""

        def awaits(self) -> Look:
            """What is to be waited for before there can be more."""

    class Sink(Protocol):
        """Where a body goes to."""

        def room(self) -> bool:
            """Whether it takes some now without waiting."""

        def write(self, data: bytes) -> None:
            """Failed: a stream-error."""

        def flush(self, *, block: bool) -> None:
            """Failed: a stream-error."""

        def end(self, trailers: Raw) -> None:
            """Failed: an error-code."""

        def break_off(self, why: str) -> None:
            """There will be no more of it."""

        def awaits(self) -> Look:
            """What is to be waited for before there is `room`."""


class IncomingBody:
    """``source`` gives it; it is streamed once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._stream: BodyInput | None = None

    def stream(self) -> BodyInput:
        """Failed: it was taken before."""
        if self._stream is not None:
            raise Failed(None)
        self._stream = BodyInput(self.source)
        return self._stream

    def finish(self) -> FutureTrailers:
        """Trap: its stream is still there."""
        if self._stream is not None and not self._stream.is_dropped:
            raise Trap("incoming-body.finish: its input-stream is not dropped yet")
        return FutureTrailers(self.source)


class BodyInput(InputStream):
    """An incoming body's bytes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ahead: bytes | None = None
        self.is_dropped = False

    def dropped(self) -> None:
        self.is_dropped = True

    def look(self) -> Look:
        if self._ahead is None:
            try:
                self._ahead = self._source.read(CHUNK, block=False)
            except Failed:
                return None  # `read` meets it again
        return None if self._ahead is not None else self._source.awaits()

    def pollable(self) -> Pollable:
        return Pollable(awaited=self)

    def read(self, size: int, *, block: bool) -> bytes:
        """Up to ``size`` bytes; b"" if there are none now. Failed: the end, or an error."""
        if not size:
            return b""
        if self._ahead is None:
            data = self._source.read(min(size, CHUNK), block=block)
        else:
            data, rest = self._ahead[:size], self._ahead[size:]
            self._ahead = rest or None
        if data is None:
            return b""
        if not data:
            self._ahead = b""
            raise Failed(CLOSED)
        return data


class FutureTrailers:
    """What comes after a body; whatever of it was not read goes nowhere."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._error: Any = None
        self._is_taken = False

    def look(self) -> Look:
        try:
            while data := self._source.read(CHUNK, block=False):
                continue
        except Failed as failed:
            self._error = _error_code(failed.value)
            return None
        return None if data is not None else self._source.awaits()

    def get(self) -> Any:
        """None while it is not known; then once (True, (whether all is well, trailers or None or an error-code))."""
        if self.look() is not None:
            return None
        if self._is_taken:
            return False, None
        self._is_taken = True
        if self._error is not None:
            return True, (False, self._error)
        return True, (True, received(self._source.trailers) if self._source.trailers else None)


def _error_code(stream_error: Any) -> Any:
    """The error-code of what a stream ended with."""
    cause = stream_error[1]
    code = cause.code if isinstance(cause, MessageError) else None
    return code if code is not None else ("HTTP-protocol-error", None)


class MessageError(StreamError):
    """A stream's error that is an error of HTTP: ``code`` is an error-code."""

    def __init__(self, code: tuple[str, Any], text: str) -> None:
        super().__init__(IO, text)
        self.code = code


def broken(code: tuple[str, Any], text: str) -> Failed:
    """The stream-error for it."""
    return Failed(("last-operation-failed", MessageError(code, text)))


class OutgoingBody:
    """What a component writes, of ``length`` bytes, or -1. Nowhere before it has a ``sink``: until then a chunk is
    kept. ``side`` is "request" or "response"."""

    def __init__(self, side: str, length: int) -> None:
        self._side = side
        self._length = length
        self._sink: Sink | None = None
        self._early = b""
        self._written = 0
        self._is_ended = False
        self._stream: BodyOutput | None = None

    def attach(self, sink: Sink) -> None:
        """It goes there from now on."""
        self._sink = sink
        early, self._early = self._early, b""
        if early:
            sink.write(early)

    def stream(self) -> BodyOutput:
        """Failed: it was taken before."""
        if self._stream is not None:
            raise Failed(None)
        self._stream = BodyOutput(self)
        return self._stream

    def room(self) -> int:
        if self._is_ended:
            raise Failed(CLOSED)
        if self._sink is None:
            return CHUNK - len(self._early)
        return CHUNK if self._sink.room() else 0

    def look(self) -> Look:
        if self._is_ended or self._sink is None or self._sink.room():
            return None
        return self._sink.awaits()

    def write(self, data: bytes) -> None:
        """Failed; Trap: more than it takes before the message is on its way."""
        if self._is_ended:
            raise Failed(CLOSED)
        if 0 <= self._length < self._written + len(data):
            raise broken(self._size_error(self._written + len(data)), "the body is longer than its content-length")
        self._written += len(data)
        if self._sink is not None:
            self._sink.write(data)
            return
        if len(self._early) + len(data) > CHUNK:
            raise Trap(f"over {CHUNK} bytes of a body are written before its {self._side} is sent")
        self._early += data

    def flush(self, *, block: bool) -> None:
        if self._is_ended:
            raise Failed(CLOSED)
        if self._sink is not None:
            self._sink.flush(block=block)

    def finish(self, trailers: Fields | None) -> None:
        """Failed: an error-code. Trap: its stream is still there."""
        if self._stream is not None and not self._stream.is_dropped:
            raise Trap("outgoing-body.finish: its output-stream is not dropped yet")
        self._is_ended = True
        if self._sink is None:
            return  # nobody will ever see it
        if 0 <= self._length != self._written:
            self._sink.break_off(f"the handler's body has {self._written} bytes of {self._length}")
            raise Failed(self._size_error(self._written))
        self._sink.end(trailers.raw() if trailers is not None else ())

    def dropped(self) -> None:
        """Without `finish`: whoever gets it must not take it for whole."""
        if not self._is_ended and self._sink is not None:
            self._is_ended = True
            self._sink.break_off("the handler dropped its body without finishing it")

    def _size_error(self, size: int) -> tuple[str, Any]:
        return f"HTTP-{self._side}-body-size", size


class BodyOutput(OutputStream):
    """An outgoing body's stream."""

    def __init__(self, body: OutgoingBody) -> None:
        self._body = body
        self.is_dropped = False

    def dropped(self) -> None:
        self.is_dropped = True

    def pollable(self) -> Pollable:
        return Pollable(awaited=self._body)

    def room(self) -> int:
        return self._body.room()

    def write(self, data: bytes) -> None:
        self._body.write(data)

    def push(self, *, block: bool) -> None:
        self._body.flush(block=block)
        if block and self._body.look() is not None:
            wait((self.pollable(),), block=True)
