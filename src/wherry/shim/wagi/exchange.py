"""One request and its answer, as the worker that serves it sees them: a body to read, an output to make an answer of.

Both go straight between the program's calls and the connection: what a client does not take, the program waits with,
and what the program does not read is not fetched. The connection does not block; whoever has to wait waits here.
"""

from __future__ import annotations

import errno
import os
import select
import time

from wherry.record import Record
from wherry.wire import cgi, http1

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

STALL = 30.0
"""Seconds that a client may neither send nor take anything while a request waits for it."""
_READ = 64 << 10
_MOST_DRAINED = 256 << 10
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT)
CLIENT_GONE = 499
"""What the log says of a request whose client went away, as nginx does; nobody gets it as an answer."""


class Job(Record):
    """A request for a worker. ``beginning`` is what of its body was read with the head; ``environ`` its variables."""

    number: int
    route: int
    args: tuple[bytes, ...]
    environ: tuple[bytes, ...]
    length: int
    beginning: bytes
    minor: int
    head_only: bool
    keep: bool
    expects: bool
    path: str


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
    """The request is over, whatever the program wanted yet: ``status`` is to be answered, if nothing was."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Exchange:
    """``on_head`` is called before the first byte of the answer goes out."""

    def __init__(self, fd: int, job: Job, body_limit: int, date: str, on_head: Callable[[], None]) -> None:
        self._fd = fd
        self._job = job
        self._date = date
        self._on_head = on_head
        self._expects = job.expects
        self._body: http1.Body | None = None
        self._limit = body_limit
        self._header = bytearray()
        self._head: cgi.CgiHead | None = None
        self._held = b""
        self._head_sent = False
        self._chunked = False
        self._keep = job.keep
        self.sent = 0
        self.status = 0
        self.trouble = ""

    # The request's body

    @property
    def body(self) -> http1.Body:
        """Abort: it is larger than is allowed."""
        if self._body is None:
            try:
                self._body = http1.Body(self._job.length, self._job.beginning, self._limit)
            except http1.BadRequest as error:
                raise Abort(error.status, str(error)) from None
        return self._body

    def read(self, most: int) -> bytes:
        """At most ``most`` bytes of the body, b"" at its end. Abort."""
        body = self.body
        self.flush()
        while most:
            try:
                data = body.take(most)
            except http1.BadRequest as error:
                self._keep = False
                raise Abort(error.status, str(error)) from None
            if data or body.done:
                return data
            self._fetch(body)
        return b""

    def _fetch(self, body: http1.Body) -> None:
        if self._expects:
            self._expects = False
            if not self._head_sent:
                self._send(http1.CONTINUE)
        while True:
            try:
                data = os.read(self._fd, _READ)
                break
            except BlockingIOError:
                self._wait(select.POLLIN, 408, "the client stalled in its body")
            except OSError as error:
                raise Abort(CLIENT_GONE, f"the client is gone: {error.strerror}") from None
        if not data:
            self._keep = False
            raise Abort(400, "the client ended its body early")
        body.feed(data)

    # The answer

    def write(self, data: bytes) -> None:
        """What the program wrote to its standard output. Abort: it is no answer, or nobody takes it."""
        if self._head is None:
            self._header += data
            end, start = self._find_end()
            if end < 0:
                return
            self._head = self._parse(bytes(self._header[:end]))
            data = bytes(self._header[start:])
            self._header.clear()
        if data:
            self.flush()
            self._held = self._fitting(data)

    def flush(self) -> None:
        """Send what is held back: a body that is whole by then goes with its length and in one piece with its head."""
        if self._held:
            held, self._held = self._held, b""
            self._send_body(held)

    def end(self) -> None:
        """The program ended. Abort: it has not answered."""
        head = self._head
        if head is None:
            raise Abort(502, "the program wrote no CGI header" + (" that ends" if self._header else ""))
        held, self._held = self._held, b""
        if not self._head_sent:
            whole = head.length if self._job.head_only and head.length >= 0 else len(held)
            if not self._job.head_only and head.has_body and head.length > len(held):
                raise Abort(502, f"the program's body has {len(held)} bytes of {head.length}")
            self._send_head((("content-length", str(whole)),) if head.has_body else (), held)
        elif self._chunked:
            self._send((http1.chunk(held) if held else b"") + http1.LAST_CHUNK)
            self.sent += len(held)
        elif held:
            self._send_body(held)
        if head.length > self.sent and head.has_body and not self._job.head_only:
            self._keep = False
            raise Abort(502, f"the program's body has {self.sent} bytes of {head.length}")

    def fail(self, status: int, why: str) -> None:
        """Answer in the program's place, or cut the answer short if it has begun."""
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
        data = http1.answer(status, _public(status, why), self._date, head_only=self._job.head_only, keep=keep)
        self._begin()
        try:
            self._send(data)
            self.sent = len(data) - data.index(b"\r\n\r\n") - 4
        except Abort:
            self._keep = False

    def start(self, head: cgi.CgiHead) -> None:
        """Answer with this head instead of one that a program writes; `write` takes the body."""
        self._head = head

    def outcome(self) -> Outcome:
        """After `end` or `fail`."""
        keep, rest = self._keep, b""
        if keep:
            keep = self._drain()
            rest = self.body.rest if keep else b""
        return Outcome(self._job.number, self.status, self.sent, keep, rest, self.trouble)

    def _find_end(self) -> tuple[int, int]:
        try:
            return cgi.find_end(self._header)
        except cgi.BadOutput as error:
            raise Abort(502, f"no CGI answer: {error}") from None

    def _parse(self, data: bytes) -> cgi.CgiHead:
        try:
            return cgi.parse_head(data)
        except cgi.BadOutput as error:
            raise Abort(502, f"no CGI answer: {error}") from None

    def _fitting(self, data: bytes) -> bytes:
        """``data`` cut to the length that the program gave, or to nothing where there can be no body."""
        head = self._head
        assert head is not None
        if self._job.head_only or not head.has_body:
            return b""
        if 0 <= head.length < self.sent + len(data):
            self.trouble = f"the program's body is longer than its Content-Length of {head.length}"
            return data[: head.length - self.sent]
        return data

    def _send_body(self, data: bytes) -> None:
        if not self._head_sent:
            head = self._head
            assert head is not None
            if head.length >= 0:
                self._send_head((("content-length", str(head.length)),), data)
                return
            self._chunked = self._job.minor > 0
            self._keep = self._keep and self._chunked
            framing = (("transfer-encoding", "chunked"),) if self._chunked else ()
            self._send_head(framing, http1.chunk(data) if self._chunked else data, len(data))
            return
        self._send(http1.chunk(data) if self._chunked else data)
        self.sent += len(data)

    def _send_head(self, framing: tuple[tuple[str, str], ...], data: bytes, size: int = -1) -> None:
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
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, CLIENT_GONE, "the client does not take its answer")
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._keep = False
                raise Abort(CLIENT_GONE, "the client is gone") from None

    def _wait(self, event: int, status: int, why: str) -> None:
        poll = select.poll()
        poll.register(self._fd, event)
        if not poll.poll(STALL * 1000):
            self._keep = False
            raise Abort(status, why)

    def _drain(self) -> bool:
        """Take what is there already of a body that the program did not read; False: there is more to come."""
        if self._expects and not self._job.beginning:
            return False  # nobody asked for it: it may come or not
        try:
            body = self.body
            for _ in range(_MOST_DRAINED // _READ):
                while body.take(_READ):
                    continue
                if body.done:
                    return True
                data = os.read(self._fd, _READ)
                if not data:
                    return False
                body.feed(data)
        except (OSError, http1.BadRequest, Abort):
            return False
        return False


def _public(status: int, why: str) -> str:
    """What a client is told: of a program's faults, that there was one; the rest is in the log."""
    return "the handler failed" if status == 502 else "the handler took too long" if status == 504 else why


def now_date() -> str:
    return http1.http_date(time.gmtime())
