"""The process that speaks TLS with clients and hands on what they say: for each it has a connection to the server, so
that limits, deadlines, log and drain are the server's as ever. Each direction ends by itself, as TLS has it (RFC 8446,
6.1): who has said all may have an answer yet.
"""

from __future__ import annotations

import _socket
import socket
import ssl

from wherry.shim.httpd import tls
from wherry.shim.httpd.beside import Beside, Client
from wherry.shim.httpd.exchange import STALL
from wherry.shim.httpd.loop import READ, WRITE
from wherry.suppress import suppress

_HANDSHAKE = 10.0
"""Seconds for a client to agree on TLS."""
_GOODBYE = 2.0
"""Seconds for it to end that."""
_MOST_CLIENTS = 1024
_READ = 64 << 10
_RECORD = 16 << 10
_MOST_WAITING = 128 << 10
"""Bytes of one direction that nobody has taken yet."""
_WAITS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Translator(Beside):
    """``context`` has the certificate."""

    def __init__(self, line: int, context: ssl.SSLContext) -> None:
        super().__init__(line, _MOST_CLIENTS, "TLS")
        self._context = context

    def attend(self, client: Client, made: _socket.socket) -> Bridge:
        wrapped = socket.socket(fileno=made.detach())
        wrapped.setblocking(False)
        outer = self._context.wrap_socket(wrapped, server_side=True, do_handshake_on_connect=False)
        bridge = Bridge(self, Client("https", *tuple(client)[1:]), outer)
        self.loop.soon(bridge.begin)
        return bridge


class Bridge:
    """``outer`` is the client's connection, which does not block."""

    def __init__(self, translator: Translator, client: Client, outer: ssl.SSLSocket) -> None:
        self._translator = translator
        self._loop = translator.loop
        self._client = client
        self._outer = outer
        self._inner: _socket.socket | None = None
        self._up, self._down = bytearray(), bytearray()
        self._asked_all = self._told = self._answered_all = self._closed = False
        self._since = self._moved = self._loop.now
        self._left = 0.0

    def begin(self) -> None:
        """Agree on TLS."""
        self._shake(0)

    def look(self) -> None:
        """See whether something has taken too long."""
        now = self._loop.now
        if self._inner is None and not self._left and now - self._since > _HANDSHAKE:
            self._refuse("the handshake took too long")
        elif (self._left and now - self._left > _GOODBYE) or (self._down and now - self._moved > STALL):
            self._close()

    def drain(self) -> None:
        """The server closes what idles, and so do we then."""

    # The handshake

    def _shake(self, _: int) -> None:
        try:
            self._outer.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(self._outer.fileno(), READ, self._shake)
            return
        except ssl.SSLWantWriteError:
            self._loop.watch(self._outer.fileno(), WRITE, self._shake)
            return
        except OSError as error:
            self._refuse(getattr(error, "reason", "") or error.strerror or str(error))
            return
        major = 2 if self._outer.selected_alpn_protocol() == tls.HTTP2 else 1
        try:
            self._inner = self._translator.connect(self._client, major)
        except OSError as error:
            self._refuse(str(error))
            return
        self._hear()

    def _refuse(self, why: str) -> None:
        self._translator.note(f"{self._client.peer} does not speak TLS: {why}")
        self._say_goodbye()

    # Both directions

    def _ready_outer(self, events: int) -> None:
        if self._left:
            self._discard()
        elif events & ~(READ | WRITE) and self._asked_all:
            self._close()
        else:
            self._hear()

    def _ready_inner(self, _: int) -> None:
        self._hear()

    def _hear(self) -> None:
        """Move what can be moved, and say what is waited for."""
        inner = self._inner
        assert inner is not None
        try:
            self._ask(inner)
            self._answer(inner)
        except OSError:  # one of the two is gone
            self._close()
            return
        if self._answered_all and not self._down:
            self._leave()
        else:
            self._watch(inner)

    def _watch(self, inner: _socket.socket) -> None:
        wants = READ if not self._asked_all and len(self._up) < _MOST_WAITING else 0
        self._loop.watch(self._outer.fileno(), wants | (WRITE if self._down else 0), self._ready_outer)
        wants = READ if not self._answered_all and len(self._down) < _MOST_WAITING else 0
        self._loop.watch(inner.fileno(), wants | (WRITE if self._up else 0), self._ready_inner)

    def _ask(self, inner: _socket.socket) -> None:
        """What the client says. What is deciphered already is told by no event: it is read until there is no more.
        OSError: the client is gone."""
        while True:
            self._pass_up(inner)
            if self._asked_all and not self._up and not self._told:
                self._told = True
                inner.shutdown(_socket.SHUT_WR)
            if self._asked_all or len(self._up) >= _MOST_WAITING:
                return
            try:
                data = self._outer.recv(_READ)
            except _WAITS:
                return
            self._up += data
            self._asked_all = not data

    def _pass_up(self, inner: _socket.socket) -> None:
        try:
            while self._up:
                del self._up[: inner.send(self._up)]
        except BlockingIOError:
            return
        except OSError:  # the server wants no more of it, but may have answered already
            self._up.clear()
            self._asked_all = self._told = True

    def _answer(self, inner: _socket.socket) -> None:
        """What the server says. OSError."""
        while True:
            with suppress(*_WAITS):
                while self._down:
                    del self._down[: self._outer.send(bytes(self._down[:_RECORD]))]
                    self._moved = self._loop.now
            if self._answered_all or len(self._down) >= _MOST_WAITING:
                return
            try:
                data = inner.recv(_READ)
            except BlockingIOError:
                return
            if not self._down:
                self._moved = self._loop.now
            self._down += data
            self._answered_all = not data

    # The end

    def _leave(self) -> None:
        """All is said, and the client is told so. It may end it then: what it still sends would have the kernel throw
        away the answer if it were closed at once."""
        self._part()
        with suppress(OSError, ValueError):  # it does not answer that yet, or is gone
            self._outer.unwrap()
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._left = self._loop.now
        try:
            self._outer.shutdown(_socket.SHUT_WR)
        except OSError:
            self._close()
            return
        self._loop.watch(self._outer.fileno(), READ, self._ready_outer)

    def _discard(self) -> None:
        try:
            ended = not self._outer.recv(_READ)
        except _WAITS:
            return
        except OSError:
            ended = True
        if ended:
            self._close()

    def _part(self) -> None:
        if self._inner is not None:
            self._loop.forget(self._inner.fileno())
            self._inner.close()
            self._inner = None

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._part()
            self._loop.forget(self._outer.fileno())
            self._outer.close()
            self._translator.left(self)
