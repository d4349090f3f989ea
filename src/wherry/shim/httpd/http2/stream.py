"""A request of HTTP/2 and its answer, on a connection of HTTP/1.1 to the server.

What the server does not take stays with the client, and what the client does not take stays with the server, each by
its window. Frames and windows are the session's.
"""

from __future__ import annotations

import _socket

from h2.errors import ErrorCodes

from wherry.shim.httpd.exchange import STALL
from wherry.shim.httpd.loop import READ, WRITE
from wherry.wire import http1, http1_answer
from wherry.wire import http2 as words

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Protocol

    from wherry.shim.httpd.loop import Loop
    from wherry.wire.http2 import Field, Request

    class Session(Protocol):
        """What a stream asks of the session that it is of: session.py."""

        loop: Loop

        def connection(self, *, fresh: bool = False) -> tuple[_socket.socket, bool]:
            """One to the server, and whether it was kept from an earlier request: the server may be just closing it.
            OSError."""

        def room(self, stream: Stream) -> int | None:
            """Bytes of its answer that a frame can take now: 0 if the client's window is shut, None if so much waits
            for the client to be read. The stream is told when that changes."""

        def answer(self, number: int, fields: list[Field], *, end: bool) -> None:
            """Send a header, or trailers."""

        def tell(self, number: int, data: bytes, *, end: bool) -> None:
            """Send a piece of an answer's body, of the size that `room` told, or its end."""

        def took(self, stream: Stream, counted: int) -> None:
            """The server has taken so much of its body."""

        def done(self, stream: Stream, made: _socket.socket, *, keep: bool) -> None:
            """It is answered whole. ``keep``: its connection can take another request."""

        def cut(self, stream: Stream, code: ErrorCodes) -> None:
            """It can't be answered, or not to its end."""

        def settle(self) -> None:
            """To be called once all is done that an event gave reason for."""


_READ = 64 << 10
_ENDLESS = 1 << 62


class Stream:
    """``ended``: the client has nothing more to say; ``trailers`` are the end of a body in chunks;
    ``unopened`` what the server has taken of it and the client was not told."""

    def __init__(self, session: Session, number: int, request: Request, *, ended: bool) -> None:
        self.number = number
        self.ended = ended
        self.trailers = b"0\r\n\r\n"
        self.is_blocked = False
        self.unopened = 0
        self._session = session
        self._request = request
        self._socket: _socket.socket | None = None
        self._up = bytearray(request.head)
        self._held = self._seen = 0
        self._head = bytearray()
        self._body: http1.Body | None = None
        self._keep = self._was_kept = False
        self._shut_since = 0.0

    def begin(self) -> None:
        """Get a connection to the server. OSError: there is none."""
        self._socket, self._was_kept = self._session.connection()

    def is_stalled(self, now: float) -> bool:
        """The client has not opened its window for long."""
        return self._shut_since > 0 and now - self._shut_since > STALL

    # The request

    def take(self, data: bytes, counted: int) -> None:
        """More of its body, which counts for flow control as ``counted`` bytes."""
        self._seen += len(data)
        self._held += counted
        if 0 <= self._request.length < self._seen:
            self._session.cut(self, ErrorCodes.PROTOCOL_ERROR)
            return
        if data:
            self._up += http1.chunk(data) if self._request.chunked else data
        self.send()

    def end(self) -> None:
        """There is no more of it."""
        if self.ended:
            return
        self.ended = True
        if self._request.chunked:
            self._up += self.trailers
        elif self._seen < self._request.length:
            self._session.cut(self, ErrorCodes.PROTOCOL_ERROR)
            return
        self.send()

    def send(self) -> None:
        """Have the server hear what it takes."""
        made = self._socket
        if made is None:
            return
        if self._up:
            try:
                count = made.send(self._up)
            except BlockingIOError:
                count = 0
            except OSError:  # it does not want all of it: it may have answered already
                count = len(self._up)
                self._keep = False
            del self._up[:count]
        if self._held and not self._up:
            held, self._held = self._held, 0
            self._session.took(self, held)
        self._watch()

    def let_go(self) -> int:
        """What of its body nobody has taken."""
        held, self._held = self._held, 0
        return held

    def abort(self) -> None:
        """Nobody waits for it any more."""
        if self._socket is not None:
            self._session.loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _watch(self) -> None:
        if self._socket is not None:
            events = (0 if self.is_blocked else READ) | (WRITE if self._up else 0)
            self._session.loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self.send()
        if events & ~WRITE:
            self.pump()
        self._session.settle()

    # The answer

    def pump(self) -> None:
        """Pass on what the server answers, as far as the client takes it."""
        try:
            self._pass_on()
        except http1.BadRequest:  # a head or chunk that no server of ours says
            self._session.cut(self, ErrorCodes.INTERNAL_ERROR)

    def _pass_on(self) -> None:
        fetched = False
        while self._socket is not None:
            if self._body is None:
                if self._read_head():
                    continue
            elif not self._tell(self._body):
                return
            if fetched:
                break  # the others have their turn; what lies there yet is told anew
            fetched = True
            if not self._fetch():
                break
        self._watch()

    def _tell(self, body: http1.Body) -> bool:
        """Pass on all that is there; False: the client does not take more now, or that was the end."""
        while True:
            room = self._session.room(self)
            if room is None or room <= 0:
                body.take(0)
                if body.done:  # the end of it needs no window
                    self._finish(body)
                    return False
                self.is_blocked = True
                if room is not None and not self._shut_since:
                    self._shut_since = self._session.loop.now
                self._watch()
                return False
            self.is_blocked, self._shut_since = False, 0.0
            data = body.take(room)
            if not data:
                if body.done:
                    self._finish(body)
                return not body.done
            ends = body.done and not body.trailers
            self._session.tell(self.number, data, end=ends)
            if ends:
                self._leave()
                return False

    def _finish(self, body: http1.Body) -> None:
        """After a body that did not end with its last piece."""
        if body.trailers:
            self._session.answer(self.number, words.plain_fields(body.trailers), end=True)
        else:
            self._session.tell(self.number, b"", end=True)
        self._leave()

    def _leave(self) -> None:
        made, self._socket = self._socket, None
        assert made is not None
        self._session.loop.forget(made.fileno())
        keep = self._keep and self.ended and not self._up
        self._session.done(self, made, keep=keep)

    def _fetch(self) -> bool:
        """Read more; False: there is none now, or none any more."""
        assert self._socket is not None
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._is_cut_short()
        elif self._body is not None:
            self._body.feed(data)
        else:
            self._head += data
        return bool(data)

    def _is_cut_short(self) -> None:
        """Before any answer: the server takes no more connections, or has closed one that was kept; nothing was done.
        After that: a deadline, or a guest that died."""
        untouched = self._body is None and not self._head
        if untouched and self._was_kept and not self._seen:
            self._begin_again()
        else:
            self._session.cut(self, ErrorCodes.REFUSED_STREAM if untouched else ErrorCodes.INTERNAL_ERROR)

    def _begin_again(self) -> None:
        self.abort()
        try:
            self._socket, self._was_kept = self._session.connection(fresh=True)
        except OSError:
            self._session.cut(self, ErrorCodes.REFUSED_STREAM)
            return
        self._up[:] = self._request.head
        if self.ended and self._request.chunked:
            self._up += self.trailers
        self.send()

    def _read_head(self) -> bool:
        """Whether there was one, of an answer or of one before it (100)."""
        end = http1_answer.find_end(self._head)
        if not end:
            return False
        answer = http1_answer.parse_answer(bytes(self._head[:end]), head_only=self._request.head_only)
        del self._head[:end]
        fields = words.answer_fields(answer.status, answer.header)
        if answer.status < 200:
            self._session.answer(self.number, fields, end=False)
            return True
        if answer.length == http1_answer.UNTIL_CLOSE:
            raise http1.BadRequest(502, "an answer to HTTP/1.1 has a length or chunks")
        self._keep = not words.is_last(answer.header)
        body = http1.Body(answer.length, bytes(self._head), _ENDLESS)
        self._session.answer(self.number, fields, end=body.done)
        if body.done:
            self._leave()
        else:
            self._body = body
        return True
