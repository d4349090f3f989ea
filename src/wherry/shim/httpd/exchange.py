"""One request and its answer, as the worker that serves it sees them: a body to read, and a head and a body to answer.

Both go straight between the handler's calls and the connection: what a client does not take, the handler waits with,
and what the handler does not read is not fetched. The connection does not block; whoever has to wait waits here.
"""

from __future__ import annotations

import errno
import os
import select
import time

from wherry.record import Record
from wherry.wire import http1

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    Fields = tuple[tuple[str, str], ...]

STALL = 30.0
"""Seconds that a client may neither send nor take anything while a request waits for it."""
_READ = 64 << 10
_MOST_DRAINED = 256 << 10
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT)
CLIENT_GONE = 499
"""What the log says of a request whose client went away, as nginx does; nobody gets it as an answer."""


class Job(Record):
    """A request for a worker, from ``peer`` at the server's ``port``. ``keep``: the connection is to be kept;
    ``beginning`` is what of its body was read with the head."""

    number: int
    peer: str
    peer_port: int
    port: int
    keep: bool
    beginning: bytes
    head: http1.RequestHead

    @property
    def path(self) -> str:
        return self.head.target.partition("?")[0]

    @property
    def head_only(self) -> bool:
        return self.head.method == "HEAD"


class Outcome(Record):
    """``status`` as the client saw it, ``sent`` bytes of body; ``keep`` the connection, which has sent ``rest`` since;
    ``trouble`` is for the log, "" if all went well."""

    number: int
    status: int
    sent: int
    keep: bool
    rest: bytes
    trouble: str


class Abort(Exception):
    """The request is over, whatever the handler wanted yet: ``status`` is to be answered, if nothing was."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Exchange:
    """``on_head`` is called before the first byte of the answer goes out."""

    def __init__(self, fd: int, job: Job, body_limit: int, date: str, on_head: Callable[[], None]) -> None:
        self.fd = fd
        self._job = job
        self._date = date
        self._on_head = on_head
        self._expects = job.head.expects
        self._body: http1.Body | None = None
        self._limit = body_limit
        self._head: http1.AnswerHead | None = None
        self._held = b""
        self._head_sent = False
        self._chunked = False
        self._keep = job.keep
        self._head_only = job.head_only
        self._unseen = 0
        self.sent = 0
        self.status = 0
        self.trouble = ""

    # The request's body

    @property
    def body(self) -> http1.Body:
        """Abort: it is larger than is allowed."""
        if self._body is None:
            try:
                self._body = http1.Body(self._job.head.length, self._job.beginning, self._limit)
            except http1.BadRequest as error:
                raise Abort(error.status, str(error)) from None
        return self._body

    def read(self, most: int) -> bytes:
        """At most ``most`` bytes of the body, b"" at its end. Abort."""
        while (data := self.read_now(most)) is None:
            self.flush_head()
            self._wait(select.POLLIN, 408, "the client stalled in its body")
        return data

    def read_now(self, most: int) -> bytes | None:
        """The same without waiting: None if nothing is there."""
        body = self.body
        while most:
            try:
                data = body.take(most)
            except http1.BadRequest as error:
                self._keep = False
                raise Abort(error.status, str(error)) from None
            if data or body.done:
                return data
            if not self._fetch(body):
                return None
        return b""

    def _fetch(self, body: http1.Body) -> bool:
        if self._expects:
            self._expects = False
            if not self._head_sent:
                self._send(http1.CONTINUE)
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Abort(CLIENT_GONE, f"the client is gone: {error.strerror}") from None
        if not data:
            self._keep = False
            raise Abort(400, "the client ended its body early")
        body.feed(data)
        return True

    # The answer

    def start(self, head: http1.AnswerHead) -> None:
        """Answer with this head. `write` takes the body, `end` ends it. Nothing is sent yet."""
        self._head = head

    @property
    def started(self) -> bool:
        return self._head is not None

    def write(self, data: bytes) -> None:
        """More of the answer's body. Abort: nobody takes it."""
        if data:
            self.flush()
            self._held = self._fitting(data)

    def flush(self) -> None:
        """Send what is held back: a body that is whole by then goes with its length and in one piece with its head."""
        if self._held:
            held, self._held = self._held, b""
            self._send_body(held)

    def flush_head(self) -> None:
        """Have the client know what there is of an answer, whether that is a body yet or not."""
        self.flush()
        if self._head is not None and not self._head_sent:
            self._send_body(b"")

    @property
    def has_sent(self) -> bool:
        """The client has seen something of the answer."""
        return self._head_sent

    def end(self, trailers: Fields = ()) -> None:
        """The handler is done. Abort: its body is shorter than it said."""
        head = self._head
        assert head is not None
        if trailers and self._job.head.minor and head.length < 0 and head.has_body and not self._head_only:
            self.flush_head()  # there is a place for them only after a body in chunks
        held, self._held = self._held, b""
        if not self._head_sent:
            whole = len(held) if not self._head_only else head.length if head.length >= 0 else self._unseen
            if not self._head_only and head.has_body and head.length > len(held):
                raise Abort(502, f"the handler's body has {len(held)} bytes of {head.length}")
            self._send_head((("content-length", str(whole)),) if head.has_body else (), held)
        elif self._chunked:
            self._send((http1.chunk(held) if held else b"") + http1.last_chunk(trailers))
            self.sent += len(held)
        elif held:
            self._send_body(held)
        if head.length > self.sent and head.has_body and not self._head_only:
            self._keep = False
            raise Abort(502, f"the handler's body has {self.sent} bytes of {head.length}")

    def fail(self, status: int, why: str) -> None:
        """Answer in the handler's place, or cut the answer short if it has begun."""
        self.trouble = why
        self._held = b""
        if self._head_sent:
            self._keep = False
            return
        self.status = status
        if status == CLIENT_GONE:
            self._keep = False
            return
        keep = self._keep and status in (404, 405, 502)
        self._keep = keep
        data = http1.answer(status, _public(status, why), self._date, head_only=self._head_only, keep=keep)
        self._begin()
        try:
            self._send(data)
            self.sent = len(data) - data.index(b"\r\n\r\n") - 4
        except Abort:
            self._keep = False

    def outcome(self) -> Outcome:
        """After `end` or `fail`."""
        keep, rest = self._keep, b""
        if keep and self._body is None and not self._job.head.length:
            rest = self._job.beginning  # there is no body to be taken out of it
        elif keep:
            keep = self._drain()
            rest = self.body.rest if keep else b""
        return Outcome(self._job.number, self.status, self.sent, keep, rest, self.trouble)

    def _fitting(self, data: bytes) -> bytes:
        """``data`` cut to the length that the handler gave, or to nothing where there can be no body."""
        head = self._head
        assert head is not None
        if self._head_only or not head.has_body:
            self._unseen += len(data)
            return b""
        if 0 <= head.length < self.sent + len(data):
            self.trouble = f"the handler's body is longer than its Content-Length of {head.length}"
            return data[: head.length - self.sent]
        return data

    def _send_body(self, data: bytes) -> None:
        if not self._head_sent:
            self._send_head_and(data)
            return
        self._send(http1.chunk(data) if self._chunked else data)
        self.sent += len(data)

    def _send_head_and(self, data: bytes) -> None:
        """The head of an answer that is not whole yet, and what there is of its body."""
        head = self._head
        assert head is not None
        if head.length >= 0:
            self._send_head((("content-length", str(head.length)),), data)
            return
        self._chunked = self._job.head.minor > 0 and head.has_body and not self._head_only
        self._keep = self._keep and (self._chunked or not head.has_body or self._head_only)
        framing = (("transfer-encoding", "chunked"),) if self._chunked else ()
        self._send_head(framing, http1.chunk(data) if self._chunked and data else data, len(data))

    def _send_head(self, framing: Fields, data: bytes, size: int = -1) -> None:
        head = self._head
        assert head is not None
        closing = () if self._keep else (("connection", "close"),)
        self.status = head.status
        self._begin()
        self._send(http1.answer_head(head.status, head.reason, (*head.header, *framing, *closing), self._date) + data)
        self.sent += len(data) if size < 0 else size

    def _begin(self) -> None:
        self._head_sent = True
        self._on_head()

    def _send(self, data: bytes) -> None:
        left: bytes | memoryview = data
        while left:
            try:
                written = os.write(self.fd, left)
                if written == len(left):  # as nearly always
                    return
                left = memoryview(left)[written:]
            except BlockingIOError:
                self._wait(select.POLLOUT, CLIENT_GONE, "the client does not take its answer")
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._keep = False
                raise Abort(CLIENT_GONE, "the client is gone") from None

    def _wait(self, event: int, status: int, why: str) -> None:
        poll = select.poll()
        poll.register(self.fd, event)
        if not poll.poll(STALL * 1000):
            self._keep = False
            raise Abort(status, why)

    def _drain(self) -> bool:
        """Take what is there already of a body that the handler did not read; False: there is more to come."""
        if self._expects and not self._job.beginning:
            return False  # nobody asked for it: it may come or not
        try:
            body = self.body
            for _ in range(_MOST_DRAINED // _READ):
                while body.take(_READ):
                    continue
                if body.done:
                    return True
                data = os.read(self.fd, _READ)
                if not data:
                    return False
                body.feed(data)
        except (OSError, http1.BadRequest, Abort):
            return False
        return False


def _public(status: int, why: str) -> str:
    """What a client is told: of a handler's faults, that there was one; the rest is in the log."""
    return "the handler failed" if status in (500, 502) else "the handler took too long" if status == 504 else why


class Clock:
    """What a Date field says now, put in words once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._date = ""

    def date(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, http1.http_date(time.gmtime(second))
        return self._date
