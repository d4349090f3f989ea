"""A client's connection of HTTP/2: its frames, its streams, and what it is held to.

What it can have at once is bounded: streams, header lists (h2's bounds), the bytes of bodies that nobody has taken yet
(flow control) and those of answers that it does not take. So is how often it may say what only costs: streams that it
breaks off, each of which has cost a worker (CVE-2023-44487), and frames that are no request (CVE-2019-9512 to 9518).

Source: RFC 9113.
"""

from __future__ import annotations

import _socket

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from wherry.shim.httpd.exchange import STALL
from wherry.shim.httpd.http2.calm import Calm
from wherry.shim.httpd.http2.frames import STREAMS, WINDOW, Frames
from wherry.shim.httpd.http2.stream import Stream
from wherry.shim.httpd.log import printable
from wherry.shim.httpd.loop import READ, WRITE
from wherry.suppress import suppress
from wherry.wire import http2 as words

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wherry.shim.httpd.beside import Beside, Client
    from wherry.wire.http2 import Field

_READ = 32 << 10
_IDLE = 75.0
"""Seconds for a connection without a stream."""
_GOODBYE = 2.0
"""Seconds in which a client may read why it is sent away."""
_MOST_WAITING = 256 << 10
"""Bytes that wait for the client to take them: more is neither answered nor heard."""
_TOLD_AT_ONCE = 64 << 10
_RESETS = 100.0, 20.0
_IDLE_WORDS = 2000.0, 500.0
_KEPT = 16
"""Connections to the server that wait for the next request."""


class Session:
    """``made`` is the connection, which does not block; ``process`` whose session it is."""

    def __init__(self, process: Beside, client: Client, made: _socket.socket) -> None:
        self.loop = process.loop
        self.frames = Frames()
        self._process = process
        self._client = client
        self._socket = made
        self._out = bytearray()
        self._streams: dict[int, Stream] = {}
        self._waiting: dict[int, Stream] = {}
        self._kept: list[_socket.socket] = []
        self._held = self._taken = 0
        self._since = self._sent = self.loop.now
        self._left = 0.0
        self._resets = Calm(*_RESETS, self.loop.now)
        self._words = Calm(*_IDLE_WORDS, self.loop.now)
        self._draining = self._over = self._closed = False

    def begin(self) -> None:
        """Hear what the client has said already."""
        self._hear(self._client.beginning)
        self.settle()

    # The connection

    def _ready(self, happened: int) -> None:
        if happened & ~WRITE:
            self._receive()
        self.settle()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
        elif not self._over:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        try:
            for event in self.frames.receive_data(data):
                act = _ACTS.get(type(event))
                if act is not None and not self._over:
                    act(self, event)
        except H2Error as error:
            self._send_away(f"{type(error).__name__}: {error}")

    def settle(self) -> None:
        """After whatever happened: send what there is to be sent, and see what is to be waited for."""
        if self._closed:
            return
        self._collect()
        self._send()
        self._give_turns()
        self._watch()

    def _give_turns(self) -> None:
        """To the streams that had to wait until the client read something, one after the other."""
        while self._waiting and len(self._out) < _MOST_WAITING:
            number = next(iter(self._waiting))
            self._waiting.pop(number).pump()
            self._send()

    def _watch(self) -> None:
        if self._closed:
            return
        if self._over and not self._out:
            self._leave()
        heard = READ if self._over or len(self._out) < _MOST_WAITING else 0
        self.loop.watch(self._socket.fileno(), heard | (WRITE if self._out else 0), self._ready)

    def _collect(self) -> None:
        self._out += self.frames.data_to_send()

    def _send(self) -> None:
        if not self._out:
            self._sent = self.loop.now
            return
        try:
            count = self._socket.send(self._out)
        except BlockingIOError:
            return
        except OSError:
            self._close()
            return
        del self._out[:count]
        self._sent = self.loop.now

    def _leave(self) -> None:
        """All is said: what the client still sends would have the kernel throw it away, if it were closed at once."""
        if not self._left:
            self._left = self.loop.now
            with suppress(OSError):
                self._socket.shutdown(_socket.SHUT_WR)

    def _close(self) -> None:
        """It is gone, or has to go: so is what was made for it."""
        if self._closed:
            return
        self._closed = self._over = True
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.abort()
        for made in self._kept:
            self._process.hear_out(made)
        self._kept.clear()
        self.loop.forget(self._socket.fileno())
        self._socket.close()
        self._process.left(self)

    def _send_away(self, why: str) -> None:
        """What h2 has to say of it is in its bytes already. The server has to do for nobody any more."""
        self._over = True
        self._process.note(f"HTTP/2 of {self._client.peer} is ended: {printable(why)}")
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.abort()

    def _calm_down(self, why: str) -> None:
        self.frames.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        self._send_away(why)

    def drain(self) -> None:
        """Let end what was begun."""
        if not self._over and not self._closed:
            self._draining = True
            self._collect()
            self._out += self.frames.last_words()
            self._over = not self._streams
            self.settle()

    def look(self) -> None:
        """Whether something has taken too long."""
        now = self.loop.now
        if (self._left and now - self._left > _GOODBYE) or (self._out and now - self._sent > STALL):
            self._close()
            return
        for stream in [stream for stream in self._streams.values() if stream.is_stalled(now)]:
            self.cut(stream, ErrorCodes.CANCEL)
        if self._streams:
            self._since = now
        elif now - self._since > _IDLE and not self._over:
            self.frames.close_connection()
            self._over = True
        self.settle()

    # What a client says

    def _asked(self, event: Any) -> None:
        number: int = event.stream_id
        if self._draining or len(self._streams) >= STREAMS:
            self._reset(number, ErrorCodes.REFUSED_STREAM)
            self._broken_off()
            return
        ended = event.stream_ended is not None
        try:
            request = words.request(event.headers, ended=ended)
            stream = Stream(self, number, request, ended=ended)
            stream.begin()
        except words.Malformed:
            self._reset(number, ErrorCodes.PROTOCOL_ERROR)
            self._broken_off()
            return
        except OSError:
            self._reset(number, ErrorCodes.REFUSED_STREAM)
            return
        self._streams[number] = stream
        stream.send()

    def _was_sent(self, event: Any) -> None:
        number: int = event.stream_id
        counted: int = event.flow_controlled_length
        self._taken += counted
        stream = self._streams.get(number)
        if not event.data and event.stream_ended is None and not self._words.spend(self.loop.now):
            self._calm_down("it sends too much that says nothing")
        elif stream is None:
            self._open_window()
        else:
            self._held += counted
            self._open_window()
            stream.take(event.data, counted)

    def _trailed(self, event: Any) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            try:
                stream.trailers = words.trailers(event.headers)
            except words.Malformed:
                self.cut(stream, ErrorCodes.PROTOCOL_ERROR)

    def _ended(self, event: Any) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.end()

    def _was_reset(self, event: Any) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            stream.abort()
        self._broken_off()

    def _opened(self, event: Any) -> None:
        self._idle_word(event)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.pump()
        elif not event.stream_id:
            self._all_opened(event)

    def _all_opened(self, _: Any) -> None:
        for stream in list(self._streams.values()):
            if stream.is_blocked:
                stream.pump()

    def _changed(self, event: Any) -> None:
        self._idle_word(event)
        self._all_opened(event)

    def _is_leaving(self, _: Any) -> None:
        self._draining = True
        self._over = not self._streams

    def _idle_word(self, _: Any) -> None:
        if not self._over and not self._words.spend(self.loop.now):
            self._calm_down("it says too much that is no request")

    def _broken_off(self) -> None:
        if not self._over and not self._resets.spend(self.loop.now):
            self._calm_down("it breaks off too many streams")

    # What streams ask: their Protocol is stream.py's

    def connection(self, *, fresh: bool = False) -> tuple[_socket.socket, bool]:
        if self._kept and not fresh:
            made = self._kept.pop()
            self.loop.forget(made.fileno())
            return made, True
        return self._process.connect(self._client, 2), False

    def room(self, stream: Stream) -> int | None:
        if len(self._out) >= _MOST_WAITING:
            self._waiting[stream.number] = stream
            return None
        with suppress(H2Error):
            return min(self.frames.local_flow_control_window(stream.number), self.frames.max_outbound_frame_size)
        return 0

    def answer(self, number: int, fields: list[Field], *, end: bool) -> None:
        with suppress(H2Error):  # it was broken off just now, and that is heard next
            self.frames.send_headers(number, fields, end_stream=end)
        self._collect()

    def tell(self, number: int, data: bytes, *, end: bool) -> None:
        with suppress(H2Error):  # as above
            self.frames.send_data(number, data, end_stream=end)
        self._collect()
        self._words.earn(2)  # a client tells of each that it has opened its windows

    def took(self, stream: Stream, counted: int) -> None:
        self._held -= counted
        stream.unopened += counted
        if not stream.ended and stream.unopened >= _TOLD_AT_ONCE // 2:
            counted, stream.unopened = stream.unopened, 0
            with suppress(H2Error):
                self.frames.increment_flow_control_window(counted, stream.number)
        self._open_window()

    def _open_window(self) -> None:
        """The connection's: it stays open though some handlers do not read, as long as those hold not too much."""
        room = min(self._taken, WINDOW - self._held)
        if room >= _TOLD_AT_ONCE:
            self._taken -= room
            with suppress(H2Error):
                self.frames.increment_flow_control_window(room)

    def done(self, stream: Stream, made: _socket.socket, *, keep: bool) -> None:
        self._forget(stream)
        self._resets.earn()
        if not stream.ended:
            self._reset(stream.number, ErrorCodes.NO_ERROR)
        if keep and len(self._kept) < _KEPT and not self._over:
            self._kept.append(made)
            self.loop.watch(made.fileno(), READ, lambda _: self._unkeep(made))
        else:
            self._process.hear_out(made)

    def cut(self, stream: Stream, code: ErrorCodes) -> None:
        self._forget(stream)
        stream.abort()
        self._reset(stream.number, code)
        if code == ErrorCodes.PROTOCOL_ERROR:
            self._broken_off()

    def _unkeep(self, made: _socket.socket) -> None:
        if made in self._kept:
            self._kept.remove(made)
            self._process.hear_out(made)

    def _reset(self, number: int, code: ErrorCodes) -> None:
        with suppress(H2Error):
            self.frames.reset_stream(number, code)
        self._collect()

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._waiting.pop(stream.number, None)
            self._held -= stream.let_go()
            self._open_window()
            self._since = self.loop.now
        if self._draining and not self._streams:
            self._over = True


_ACTS: Mapping[type[events.Event], Callable[[Session, Any], None]] = {
    events.RequestReceived: Session._asked,  # noqa: SLF001 (its own table)
    events.DataReceived: Session._was_sent,  # noqa: SLF001
    events.TrailersReceived: Session._trailed,  # noqa: SLF001
    events.StreamEnded: Session._ended,  # noqa: SLF001
    events.StreamReset: Session._was_reset,  # noqa: SLF001
    events.WindowUpdated: Session._opened,  # noqa: SLF001
    events.RemoteSettingsChanged: Session._changed,  # noqa: SLF001
    events.ConnectionTerminated: Session._is_leaving,  # noqa: SLF001
    events.PingReceived: Session._idle_word,  # noqa: SLF001
    events.PriorityUpdated: Session._idle_word,  # noqa: SLF001
    events.UnknownFrameReceived: Session._idle_word,  # noqa: SLF001
}
