"""What the processes beside the server have in common: they take clients by the line that relay.py has the other end
of, do something for each, and hand the server connections by the same line. One thread, one epoll.

They run no guest. What a client may do to one, it does to itself and to others of its kind.
"""

from __future__ import annotations

import _socket
import marshal

from wherry.record import Record
from wherry.shim.httpd import relay
from wherry.shim.httpd.log import Log
from wherry.shim.httpd.loop import READ, WRITE, Loop
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Protocol

    class Member(Protocol):
        """What is done for one client. It says `Beside.left` when it is over."""

        def look(self) -> None:
            """See whether something has taken too long."""

        def drain(self) -> None:
            """Let end what was begun, and begin nothing."""


_READ = 16 << 10
_TURN = 0.5
"""Seconds between two looks."""


class Client(Record):
    """Who is spoken with: by ``scheme``, at an address, and what was heard already."""

    scheme: str
    peer: str
    port: int
    beginning: bytes


class Beside:
    """``line`` is a descriptor, ``most`` the most clients at once, who speak what ``speaks`` names."""

    def __init__(self, line: int, most: int, speaks: str) -> None:
        self.loop = Loop()
        self._line = _socket.socket(fileno=line)
        self._line.setblocking(False)
        self._most = most
        self._speaks = speaks
        self._log = Log()
        self._members: set[Member] = set()
        self._leaving: list[tuple[bytes, _socket.socket]] = []
        self._heard_out: set[_socket.socket] = set()
        self._draining = False
        self._looked = self.loop.now

    def run(self) -> None:
        """Until the server has no more clients for it, and all is done."""
        self._watch()
        while not self._draining or self._members or self._leaving or self._heard_out:
            self.loop.turn(_TURN if self._members else -1)
            if self.loop.now - self._looked >= _TURN:
                self._looked = self.loop.now
                for member in list(self._members):
                    member.look()

    def attend(self, client: Client, made: _socket.socket) -> Member:
        """Do what is to be done for ``client`` on its connection."""
        raise NotImplementedError

    def connect(self, client: Client, major: int) -> _socket.socket:
        """A connection to the server, for what the client says by that version of HTTP. OSError: there are no
        descriptors left."""
        ours, theirs = _socket.socketpair()
        ours.setblocking(False)
        self._leaving.append((marshal.dumps((client.scheme, major, client.peer, client.port)), theirs))
        self._send()
        return ours

    def hear_out(self, made: _socket.socket) -> None:
        """Close a connection to the server whose answer is whole: once the server has, for if it were closed at once,
        it would seem that the client went before that."""
        self._heard_out.add(made)
        with suppress(OSError):
            made.shutdown(_socket.SHUT_WR)
        self.loop.watch(made.fileno(), READ, lambda _: self._hear(made))

    def _hear(self, made: _socket.socket) -> None:
        try:
            if made not in self._heard_out or made.recv(_READ):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._heard_out.discard(made)
        self.loop.forget(made.fileno())
        made.close()

    def note(self, text: str) -> None:
        """Have it in the container's log."""
        self._log.note(text)

    def left(self, member: Member) -> None:
        """It is over."""
        self._members.discard(member)

    def _watch(self) -> None:
        events = (0 if self._draining else READ) | (WRITE if self._leaving else 0)
        self.loop.watch(self._line.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & ~WRITE:
            self._take()
        self._send()

    def _send(self) -> None:
        try:
            while self._leaving:
                message, theirs = self._leaving[0]
                relay.send(self._line, message, theirs.fileno())
                del self._leaving[0]
                theirs.close()
        except BlockingIOError:
            pass
        except OSError:  # the server is gone, and this process with it in a moment
            self._leaving.clear()
        self._watch()

    def _take(self) -> None:
        while not self._draining:
            try:
                message, fd = relay.receive(self._line)
            except OSError:
                return
            if not message:
                self._drain()
                return
            made = _socket.socket(fileno=fd)
            made.setblocking(False)
            if len(self._members) >= self._most:
                made.close()
                self.note(f"a client is turned away: {self._most} speak {self._speaks}")
            else:
                self._members.add(self.attend(Client(*marshal.loads(message)), made))

    def _drain(self) -> None:
        self._draining = True
        self._watch()
        for member in list(self._members):
            member.drain()
