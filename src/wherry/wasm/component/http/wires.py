"""Connections to others, in the clear and by TLS, neither of which ever waits."""

from __future__ import annotations

import _socket
import os

from wherry.suppress import suppress
from wherry.wasm.component.polling import POLLIN, POLLOUT, Pollable, wait

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

    from wherry.wasm.component.http.tls import Tls

_KIND = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_READ = 64 << 10
_PIECE = 64 << 10


class Wire:
    """A TCP connection to one address, from its first packet on."""

    is_flushed = True
    """Nothing that was taken by `send` is kept here."""

    def __init__(self, family: int, address: tuple[Any, ...]) -> None:
        """OSError: there is no way to it."""
        self._socket = _socket.socket(family, _KIND)
        self._is_connected = False
        try:
            self._socket.connect(address)
        except BlockingIOError:
            return
        except OSError:
            self._socket.close()
            raise

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def is_ready(self) -> bool:
        """Go on with becoming so. OSError: it does not; Failed: an error-code, nobody else need be tried."""
        if not self._is_connected:
            if not wait((Pollable(self.fd, POLLOUT),), block=False):
                return False
            number = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            self._is_connected = True
        return True

    def awaits(self) -> int:
        """The events to wait for before it can be ready."""
        return POLLOUT

    def flush(self) -> None:
        """Send what is kept."""

    def send(self, data: bytearray) -> int:
        """How much of it is taken. BlockingIOError: nothing now; OSError; Failed."""
        return self._socket.send(data)

    def receive(self, most: int) -> bytes:
        """b"" at the end. BlockingIOError: nothing now; EOFError: the end, but not by whom was spoken to; OSError;
        Failed."""
        return self._socket.recv(most)

    def close(self) -> None:
        self._socket.close()


class SecureWire(Wire):
    """The same with TLS on it."""

    def __init__(self, family: int, address: tuple[Any, ...], tls: Tls) -> None:
        super().__init__(family, address)
        self._tls = tls
        self._is_agreed = self._is_lost = False
        self._unsent = bytearray()

    @property
    def is_flushed(self) -> bool:  # type: ignore[override]  # here it depends
        return not self._unsent

    def is_ready(self) -> bool:
        if not super().is_ready():
            return False
        while not self._is_agreed:
            try:
                self._is_agreed = self._tls.agree()
            finally:
                self.flush()  # also why it will not be
            if not self._is_agreed and not self._fetch():
                return False
        return True

    def awaits(self) -> int:
        if not self._is_connected:
            return POLLOUT
        return POLLIN | (POLLOUT if self._unsent else 0)

    def _fetch(self) -> bool:
        """Whether anything has come, or the end."""
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return False
        self._tls.feed(data)
        return True

    def flush(self) -> None:
        self._unsent += self._tls.outgoing()
        if self._is_lost:
            self._unsent.clear()
        while self._unsent:
            try:
                del self._unsent[: self._socket.send(self._unsent)]
            except BlockingIOError:
                return
            except OSError:  # what it has said before is still to be read
                self._is_lost = True
                self._unsent.clear()

    def send(self, data: bytearray) -> int:
        self.flush()
        if self._unsent:
            raise BlockingIOError
        taken = self._tls.write(bytes(data[:_PIECE]))
        self.flush()
        return taken

    def receive(self, most: int) -> bytes:
        while True:
            data = self._tls.read(most)
            self.flush()  # TLS may have to answer by itself
            if data is not None:
                return data
            if not self._fetch():
                raise BlockingIOError

    def close(self) -> None:
        if self._is_agreed and not self._unsent:
            with suppress(OSError):
                self._tls.say_goodbye()
                self.flush()
        super().close()
