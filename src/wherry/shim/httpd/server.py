"""The HTTP server of a container: it accepts, reads heads, and hands requests with their connections to workers.

One thread, one epoll. It runs no guest and parses no more of a request than its head.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` is made of, without its enums
import _socket
import os
import select
import time

from wherry.record import Record
from wherry.shim.httpd import exchange
from wherry.shim.httpd.connection import LINGERING, QUEUED, READING, SERVED, Connection
from wherry.shim.httpd.exchange import Clock, Job, Outcome
from wherry.shim.httpd.log import LATEST, Log
from wherry.shim.httpd.pool import Pool
from wherry.suppress import suppress
from wherry.wire import http1

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.shim.httpd.relay import Relay
    from wherry.shim.httpd.settings import Settings
    from wherry.shim.httpd.worker import Worker

_TURN = 0.25
"""Seconds between two looks at what has taken too long."""
_ACCEPTED_AT_ONCE = 64
_LINGER = 2.0
"""Seconds in which a refused client may read why."""


_LATE = 1.0
"""Seconds from a connection's beginning in which its first request comes in time, though the server stops."""


class Times(Record):
    """Seconds: for a request's head to come; for a connection to stay without any request."""

    head: float = 20.0
    idle: float = 75.0


class Relays(Record):
    """What speaks with clients in the server's stead: ``tls`` with all, ``http2`` with those that begin so."""

    tls: Relay | None = None
    http2: Relay | None = None


class Server:
    """``listener`` listens already; ``accepts`` is the handler's. `run` returns when it has drained."""

    def __init__(
        self,
        listener: _socket.socket,
        accepts: Callable[[str], bool],
        settings: Settings,
        pool: Pool,
        log: Log,
        times: Times = Times(),  # noqa: B008 (a frozen value)
        most_connections: int = 512,
        relays: Relays = Relays(),  # noqa: B008 (a frozen value)
    ) -> None:
        self._listener = listener
        self._port = listener.getsockname()[1]
        self._accepts = accepts
        self._settings = settings
        self._pool = pool
        self._log = log
        self._times = times
        self._most = most_connections
        self._relays = relays
        self._relayed: dict[int, Relay] = {}
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._serving: dict[int, Connection] = {}
        self._queue: dict[int, Connection] = {}
        self._reader = http1.HeadReader()
        self._clock = Clock()
        self._count = self._jobs = 0
        self._run = os.urandom(4).hex()
        self._draining = False
        self._accepting = False
        self._looked = 0.0
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # The loop

    def run(self) -> None:
        """Serve until a signal says to stop, and all that was begun then is done."""
        self._catch()
        self._listener.setblocking(False)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._accept_more(True)
        while not (self._draining and not self._connections and not self._relayed):
            events = self._epoll.poll(self._timeout())
            self._hear(events)
            for fd, event in events:
                self._handle(fd, event)
            self._dispatch()
            now = time.monotonic()
            if now - self._looked >= _TURN:
                self._looked = now
                self._look(now)
            self._log.flush_later(now)
        self._log.flush()
        self._pool.close()

    def _catch(self) -> None:
        _signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number in (1, 2, 3, 15):  # HUP INT QUIT TERM
            _signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: Any) -> None:
        if self._draining:
            os._exit(128 + number)
        self._draining = True

    def _timeout(self) -> float:
        if self._queue and 0 < self._pool.patience < _TURN:
            return self._pool.patience
        if self._log.waits:
            return LATEST
        busy = (
            self._relayed  # which may have to pass on yet what was answered
            or self._serving
            or self._queue
            or self._connections
            or self._draining
            or self._pool.can_shrink
        )
        return _TURN if busy else -1

    def _hear(self, events: list[tuple[int, int]]) -> None:
        """What workers say comes first: a client that has its answer may have sent its next request already."""
        for fd, _ in events:
            if (worker := self._pool.by_line.get(fd)) is not None:
                self._heard(worker)

    def _handle(self, fd: int, event: int) -> None:
        if (connection := self._connections.get(fd)) is not None:
            self._readable(connection, event)
        elif fd == self._wake:
            with suppress(BlockingIOError):
                os.read(self._wake, 64)
            self._drain()
        elif self._accepting and fd == self._listener.fileno():
            self._accept()
        elif (relay := self._relayed.get(fd)) is not None:
            self._hear_relay(fd, relay)

    def _accept_more(self, wanted: bool) -> None:
        if wanted != self._accepting:
            self._accepting = wanted
            if wanted:
                self._epoll.register(self._listener, select.EPOLLIN)
            else:
                self._epoll.unregister(self._listener)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._connections) >= self._most and not self._make_room():
                self._accept_more(False)
                return
            try:
                fd, address = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 (accept's own)
            except BlockingIOError:
                return
            except OSError:  # it went before it was taken; or there is no descriptor left: later
                return
            made = _socket.socket(fileno=fd)
            made.setblocking(False)
            with suppress(OSError):
                made.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            connection = Connection(made, address[0].removeprefix("::ffff:"), address[1], time.monotonic())
            if self._relays.tls is not None:
                self._relay(self._relays.tls, connection)
            else:
                self._welcome(connection)

    def _welcome(self, connection: Connection) -> None:
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)
        connection.events = select.EPOLLIN

    def _make_room(self) -> bool:
        """Close the connection that has idled longest; False: none does."""
        idle = next((connection for connection in self._connections.values() if connection.idle), None)
        if idle is not None:
            self._close(idle)
        return idle is not None

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.events != events:
            connection.events = events
            self._epoll.modify(connection.fd, events)

    def _close(self, connection: Connection) -> None:
        self._queue.pop(connection.fd, None)
        self._dismiss(connection)
        connection.socket.close()

    def _dismiss(self, connection: Connection) -> None:
        """It is not the server's any more."""
        del self._connections[connection.fd]
        self._epoll.unregister(connection.fd)
        if not self._draining:
            self._accept_more(True)

    # TLS and HTTP/2: another process speaks them

    def _relay(self, relay: Relay, connection: Connection) -> None:
        """Give a connection away."""
        if not relay.is_alive:
            relay.fork([*self._pool.by_line, *self._foreign(), connection.fd])
            self._relayed[relay.fd] = relay
            self._epoll.register(relay.fd, select.EPOLLIN)
        if not relay.give(connection):
            self._log.note(f"a connection from {connection.peer} is closed: too many come at once")
        connection.socket.close()

    def _hear_relay(self, fd: int, relay: Relay) -> None:
        """Take the connections that it makes."""
        while relay.is_alive:
            try:
                connection = relay.take(time.monotonic())
            except BlockingIOError:
                return
            if connection is None:
                self._epoll.unregister(fd)
                del self._relayed[fd]
                if not relay.bury():
                    self._log.note(f"what speaks {relay.speaks} has died, and its connections with it")
            elif relay is self._relays.tls and connection.major > 1 and self._relays.http2 is not None:
                self._relay(self._relays.http2, connection)
            elif len(self._connections) >= self._most and not self._make_room():
                connection.socket.close()
            else:
                self._welcome(connection)

    # Requests

    def _readable(self, connection: Connection, event: int) -> None:
        if connection.state in (SERVED, QUEUED):
            if event & (select.EPOLLHUP | select.EPOLLERR):
                self._vanished(connection)
            else:
                self._watch(connection, 0)  # its body, or its next request: not the server's to read now
            return
        try:
            ended = not connection.receive()
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._close(connection)
        elif connection.state == READING:
            self._parse(connection)

    def _parse(self, connection: Connection) -> None:
        now = time.monotonic()
        if connection.fresh and connection.buffer:
            connection.fresh, connection.since = False, now
        try:
            head = connection.next_head(self._reader)
        except http1.BadRequest as error:
            if self._relays.http2 is not None and connection.speaks_http2:
                self._dismiss(connection)
                self._relay(self._relays.http2, connection)
                return
            first = bytes(connection.buffer[:200]).split(b"\r\n")[0].decode("latin-1")
            self._name(connection, now)
            self._refuse(connection, error.status, str(error), first)
            return
        if head is None:
            return
        self._name(connection, now)
        connection.head = head
        if head.length > self._settings.body:
            self._refuse(connection, 413, f"the body has over {self._settings.body} bytes", _line(head))
        elif not self._accepts(head.target.partition("?")[0]):
            self._refuse(connection, 404, "no handler answers that path", _line(head))
        else:
            connection.state = QUEUED
            self._queue[connection.fd] = connection

    def _name(self, connection: Connection, now: float) -> None:
        self._count += 1
        connection.id = f"{self._run}-{self._count}"
        connection.started = now

    def _refuse(self, connection: Connection, status: int, why: str, line: str) -> None:
        """Answer for the workers, and be done with the connection."""
        head_only = connection.head is not None and connection.head.method == "HEAD"
        data = http1.answer(status, why, self._clock.date(), head_only=head_only)
        with suppress(OSError):  # a client that does not even take that
            connection.socket.send(data)
        self._done(connection, line, status, len(data))
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Not closed at once: what the client still sends would have the kernel throw away the answer."""
        connection.state, connection.since = LINGERING, time.monotonic()
        connection.buffer.clear()
        try:
            connection.socket.shutdown(_socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        self._watch(connection, select.EPOLLIN)

    def _done(self, connection: Connection, line: str, status: int, sent: int) -> None:
        self._log.access(connection.peer, line, status, sent, time.monotonic() - connection.started, connection.id)
        connection.head = None

    def _dispatch(self) -> None:
        """Give the requests that wait to workers that do not."""
        while self._queue:
            worker = self._pool.take(self._register, self._foreign)
            if worker is None:
                return
            connection = self._queue.pop(next(iter(self._queue)))
            job = self._job(connection)
            try:
                worker.give(job, connection.fd)
            except OSError:
                self._queue[connection.fd] = connection
                self._bury(worker)
                continue
            connection.state, connection.since = SERVED, time.monotonic()
            connection.buffer.clear()
            self._serving[job.number] = connection

    def _job(self, connection: Connection) -> Job:
        head = connection.head
        assert head is not None
        self._jobs += 1
        keep = head.keep and not self._draining
        beginning = bytes(connection.buffer)
        return Job(self._jobs, connection.peer, connection.peer_port, self._port, keep, beginning, head)

    # Workers

    def _register(self, worker: Worker) -> None:
        self._epoll.register(worker.line.fileno(), select.EPOLLIN)

    def _foreign(self) -> list[int]:
        connections = [connection.fd for connection in self._connections.values()]
        return [
            *connections,
            *self._relayed,
            *(self._relays.http2.own if self._relays.http2 is not None else ()),
            self._listener.fileno(),
            self._epoll.fileno(),
            self._wake,
            self._woken,
        ]

    def _heard(self, worker: Worker) -> None:
        outcome = worker.take(self._pool.buffer)
        if outcome is None:
            self._died(worker)
            return
        self._pool.idle(worker)
        connection = self._serving.pop(outcome.number, None)
        if connection is not None:
            self._answered(connection, outcome)

    def _answered(self, connection: Connection, outcome: Outcome) -> None:
        if outcome.trouble:
            self._log.trouble(connection.id, outcome.status or exchange.CLIENT_GONE, outcome.trouble)
        assert connection.head is not None
        self._done(connection, _line(connection.head), outcome.status or exchange.CLIENT_GONE, outcome.sent)
        if not outcome.keep or (self._draining and not outcome.rest):
            self._linger(connection)
            return
        connection.state, connection.since, connection.fresh = READING, time.monotonic(), True
        self._watch(connection, select.EPOLLIN)
        if outcome.rest:
            connection.buffer += outcome.rest
            self._parse(connection)

    def _died(self, worker: Worker) -> None:
        """A worker ended by itself: its guest has had all the memory, say, or found a fault of ours."""
        self._give_up(worker, 502, "its worker died: out of memory?")

    def _give_up(self, worker: Worker, status: int, why: str) -> None:
        """End a worker and answer for it."""
        connection = self._serving.pop(worker.job, None) if worker.job is not None else None
        begun = worker.has_begun
        self._bury(worker)
        if connection is None:
            return
        assert connection.head is not None
        self._log.trouble(connection.id, status, why + ("; its answer is cut short" if begun else ""))
        line = _line(connection.head)
        if begun or status == exchange.CLIENT_GONE:
            self._done(connection, line, status, 0)
            self._close(connection)
        else:
            public = "the handler took too long" if status == 504 else "the handler failed"
            self._refuse(connection, status, public, line)

    def _bury(self, worker: Worker) -> None:
        self._epoll.unregister(worker.line.fileno())
        self._pool.bury(worker)

    def _vanished(self, connection: Connection) -> None:
        """The client is gone for good: so is what was made for it."""
        job = next((number for number, served in self._serving.items() if served is connection), None)
        if job is None:
            self._close(connection)
            return
        worker = next(worker for worker in self._pool.by_line.values() if worker.job == job)
        self._give_up(worker, exchange.CLIENT_GONE, "the client is gone")

    # What takes too long

    def _look(self, now: float) -> None:
        deadline = self._settings.deadline
        for connection in list(self._connections.values()):
            waited = now - connection.since
            if connection.state == READING:
                self._look_at_reading(connection, waited)
            elif connection.state == LINGERING and waited > _LINGER:
                self._close(connection)
            elif connection.state == QUEUED and deadline and now - connection.started > deadline:
                self._queue.pop(connection.fd)
                self._refuse(connection, 503, "all handlers are busy", _line(connection.head))
        if deadline:
            for number in [n for n, c in self._serving.items() if now - c.started > deadline]:
                worker = next(worker for worker in self._pool.by_line.values() if worker.job == number)
                self._give_up(worker, 504, f"it took over {deadline:g} seconds")
        for worker in self._pool.unneeded(now):
            self._bury(worker)

    def _look_at_reading(self, connection: Connection, waited: float) -> None:
        if connection.buffer:
            if waited > self._times.head:
                self._name(connection, connection.since)
                first = bytes(connection.buffer[:200]).split(b"\r\n")[0].decode("latin-1")
                self._refuse(connection, 408, "the request did not come in time", first)
        elif waited > (_LATE if self._draining else self._times.idle):
            self._close(connection)

    def _drain(self) -> None:
        """Take nothing new, but who waits at the door; what idles goes, and later those who have not asked yet: what
        they ask may be on its way."""
        if self._draining:
            if self._accepting:
                self._accept()
            for relay in self._relayed.values():
                relay.drain()
            self._accept_more(False)
            self._listener.close()
            for connection in [found for found in self._connections.values() if found.idle and found.head is not None]:
                self._close(connection)


def _line(head: http1.RequestHead | None) -> str:
    return f"{head.method} {head.target} {head.protocol}" if head is not None else "-"
