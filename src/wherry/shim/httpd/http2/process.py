"""The process that speaks HTTP/2: it has a session with each client, and hands the server connections of HTTP/1.1 for
their requests, so that limits, deadlines, log and drain are the server's as ever.
"""

from __future__ import annotations

import _socket

from wherry.shim.httpd.beside import Beside, Client
from wherry.shim.httpd.http2.session import Session

_MOST_CLIENTS = 512


class Process(Beside):
    """``line`` is a descriptor: relay.py has the other end."""

    def __init__(self, line: int) -> None:
        super().__init__(line, _MOST_CLIENTS, "HTTP/2")

    def attend(self, client: Client, made: _socket.socket) -> Session:
        session = Session(self, client, made)
        self.loop.soon(session.begin)
        return session
