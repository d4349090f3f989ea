"""A nameserver of one datagram at a time: it knows some IPv4 addresses, and says of all else that it does not exist."""

import socket
import struct
import threading
from collections.abc import Mapping

_A = 1
_HEADER = struct.Struct(">HHHHHH")


class Nameserver:
    """Serves on ``sock``, a bound UDP socket, until it is closed. ``asked`` are the names so far."""

    def __init__(self, sock: socket.socket, known: Mapping[str, str]) -> None:
        self.asked: list[str] = []
        self._sock = sock
        self._known = known
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # A datagram of no query ends it: closing a socket wakes nobody up.
        with socket.fromfd(self._sock.fileno(), self._sock.family, self._sock.type) as same:
            same.sendto(b"", self._sock.getsockname())
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while True:
            query, sender = self._sock.recvfrom(512)
            if not query:
                return
            self._sock.sendto(self._answer(query), sender)

    def _answer(self, query: bytes) -> bytes:
        number, *_ = _HEADER.unpack_from(query)
        at, labels = _HEADER.size, []
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        question = query[_HEADER.size : at + 5]
        (kind,) = struct.unpack_from(">H", query, at + 1)
        name = ".".join(labels).lower()
        self.asked.append(name)
        address = self._known.get(name)
        if address is None:
            return _HEADER.pack(number, 0x8183, 1, 0, 0, 0) + question
        if kind != _A:
            return _HEADER.pack(number, 0x8180, 1, 0, 0, 0) + question
        record = struct.pack(">HHHIH4s", 0xC00C, _A, 1, 60, 4, socket.inet_aton(address))
        return _HEADER.pack(number, 0x8180, 1, 1, 0, 0) + question + record
