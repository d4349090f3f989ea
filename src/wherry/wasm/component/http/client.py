"""wasi:http/outgoing-handler: a request on a connection of its own, under the container's policy for sockets and the
hosts that it may ask. Nothing runs by itself: it goes on whenever the guest looks, writes or waits.

https://github.com/WebAssembly/wasi-http/blob/v0.2.0/proxy.md#wasi_http_outgoing_handler
"""

from __future__ import annotations

import _socket
import errno
from time import monotonic_ns

from wherry.wasm.component.http.bodies import broken
from wherry.wasm.component.http.fields import received
from wherry.wasm.component.http.messages import IncomingResponse, OutgoingRequest, RequestOptions
from wherry.wasm.component.http.tls import Tls, Trust, open_hosts_bundle
from wherry.wasm.component.http.wires import SecureWire, Wire
from wherry.wasm.component.polling import POLLIN, POLLOUT, Pollable, wait
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi.errno import WasiError
from wherry.wasm.wasi.sock_names import Question, ask
from wherry.wire import http1, http1_answer

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.wasm.component.http.bodies import Look
    from wherry.wasm.component.http.fields import Raw
    from wherry.wasm.component.state import State, Table

    Connect = Callable[[int, tuple[Any, ...]], Wire]
    """A connection to an address of a family. OSError."""

_SECOND = 1_000_000_000
_CONNECT, _BETWEEN = 30 * _SECOND, 600 * _SECOND
"""How long is waited where the request's options say nothing."""
_MOST_UNSENT = 64 << 10
_READ = 64 << 10
_NO_LIMIT = 1 << 62
_CODES = {
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-terminated",
    errno.EPIPE: "connection-terminated",
    errno.ETIMEDOUT: "connection-timeout",
    errno.EHOSTUNREACH: "destination-unavailable",
    errno.ENETUNREACH: "destination-unavailable",
    errno.EMFILE: "connection-limit-reached",
    errno.ENFILE: "connection-limit-reached",
    errno.EACCES: "destination-IP-prohibited",
    errno.EPERM: "destination-IP-prohibited",
}


_PORTS = {"HTTP": 80, "HTTPS": 443}


def interface() -> Table:
    """The functions of wasi:http/outgoing-handler. Made while the host's files are in reach."""
    trust = Trust(open_hosts_bundle())
    return {"handle": lambda state, request, options: handle(state, trust, request, options)}


def handle(state: State, trust: Trust, request: OutgoingRequest, options: RequestOptions | None) -> Call:
    """Begin to ask. Failed: an error-code, also for whom the container may not ask."""
    scheme, other = request.scheme or ("HTTPS", None)
    if scheme not in _PORTS:
        raise Failed(("internal-error", f"the scheme {other} is not spoken: HTTP and HTTPS are"))
    if not request.authority:
        raise Failed(("HTTP-request-URI-invalid", None))
    host, port = _split(request.authority, _PORTS[scheme])
    policy = state.host.sockets
    if policy is None or not policy.outbound or not is_allowed(state.hosts, host, port):
        raise Failed(("HTTP-request-denied", None))
    connect: Connect = Wire
    if scheme == "HTTPS":
        context = trust.context(state.host.environ)
        Tls(context, host)  # is it a name at all? Nobody needs to be asked for it else

        def connect(family: int, address: tuple[Any, ...]) -> Wire:
            return SecureWire(family, address, Tls(context, host))

    return Call(state, request, options or RequestOptions(), _addresses(state, host, port), connect)


def _split(authority: str, default: int) -> tuple[str, int]:
    """Failed: there is no host, or the port is none."""
    host, colon, text = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, text = authority, str(default)
    if not host or not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise Failed(("HTTP-request-URI-invalid", None))
    return host.removeprefix("[").removesuffix("]").lower(), int(text)


def is_allowed(hosts: tuple[str, ...], host: str, port: int) -> bool:
    """Whether ``hosts``, as the container's settings have them, name it; none name all."""
    return not hosts or any(_names(pattern, host, port) for pattern in hosts)


def _names(pattern: str, host: str, port: int) -> bool:
    name, colon, number = pattern.rpartition(":")
    if colon and number.isdigit() and (not name.count(":") or name.endswith("]")):
        if int(number) != port:
            return False
        pattern = name
    pattern = pattern.removeprefix("[").removesuffix("]")
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _addresses(state: State, host: str, port: int) -> list[Any]:
    """Failed: nobody has that name."""
    try:
        found = ask(state.host, Question(host.encode("ascii"), b"", 0, _socket.SOCK_STREAM))
    except (WasiError, OSError):
        found = []
    if not found:
        raise Failed(("DNS-error", ("not found", None)))
    return [(family, (address[0], port, *address[2:])) for family, _, _, _, address in found]


class Call:
    """A ``future-incoming-response``: and, towards the request's body, its sink, towards the answer's, its source."""

    def __init__(
        self, state: State, request: OutgoingRequest, options: RequestOptions, addresses: list[Any], connect: Connect
    ) -> None:
        self._state = state
        self._first_byte = options.first_byte or _BETWEEN
        self._between = options.between_bytes or _BETWEEN
        self._connect_for = options.connect or _CONNECT
        self._addresses, self._new_wire = addresses, connect
        self._head_only = request.method_word == "HEAD"
        self._unsent = bytearray(self._head(request))
        self._received = bytearray()
        self._is_open = self._is_taken = False
        self._error: tuple[str, Any] | None = None
        self._answer: IncomingResponse | None = None
        self._body: http1.Body | None = None
        self._until_close = False
        self._wire: Wire | None = None
        self._deadline = 0
        self._connect()
        if request.body is not None:
            request.body.attach(self)
        else:
            self.end(())

    def _head(self, request: OutgoingRequest) -> bytes:
        path = request.path or "/"
        fields = [("host", request.authority), *request.fields.raw()]
        length = request.fields.length
        self._chunked = request.body is not None and length < 0 and request.method_word not in ("GET", "HEAD")
        self._maybe_chunked = request.body is not None and length < 0 and not self._chunked
        if self._chunked:
            fields.append(("transfer-encoding", "chunked"))
        fields.append(("connection", "close"))
        lines = [f"{request.method_word} {path if path[0] != '?' else '/' + path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    # The connection

    def _connect(self) -> None:
        """To the next address there is."""
        while self._addresses:
            try:
                self._wire = self._new_wire(*self._addresses.pop(0))
            except OSError as error:
                self._error = _code(error)
                continue
            self._error = None
            self._deadline = monotonic_ns() + self._connect_for
            return

    def _is_connected(self) -> bool:
        while not self._is_open and self._wire is not None:
            try:
                self._is_open = self._wire.is_ready()
            except OSError as error:
                self._error = _code(error)
                self._close()
                self._connect()
                continue
            except Failed as failed:
                self._fail(failed.value)
                return False
            if not self._is_open:
                if monotonic_ns() >= self._deadline:
                    self._fail(("connection-timeout", None))
                return False
            self._deadline = monotonic_ns() + self._first_byte
        return self._is_open

    def _fail(self, code: tuple[str, Any]) -> None:
        self._error = self._error or code
        self._close()

    def _push(self) -> None:
        """Send as much as goes without waiting."""
        if not self._is_connected() or self._wire is None:
            return
        self._wire.flush()
        while self._unsent:
            try:
                del self._unsent[: self._wire.send(self._unsent)]
            except BlockingIOError:
                return
            except (OSError, Failed):  # whatever it has answered before is still to be read
                self._unsent.clear()

    @property
    def _is_sent(self) -> bool:
        return not self._unsent and (self._wire is None or self._wire.is_flushed)

    @property
    def _events(self) -> int:
        """Of who waits for the answer: the rest of the request may have to go first."""
        return POLLIN if self._is_sent else POLLIN | POLLOUT

    # The answer's head

    def look(self) -> Look:
        if self._answer is not None or self._error is not None:
            return None
        self._push()
        if self._wire is None:
            return None
        if not self._is_open:
            return self._wire.fd, self._wire.awaits(), self._deadline
        if self._read_head():
            return None
        if monotonic_ns() >= self._deadline:
            self._fail(("HTTP-response-timeout", None))
            return None
        return self._wire.fd, self._events, self._deadline

    def _read_head(self) -> bool:
        """Whether it is known what was answered, or that nothing will be."""
        assert self._wire is not None
        is_late = False  # what has come in time counts, whenever it is looked at
        try:
            while True:
                end = http1_answer.find_end(self._received)
                if end and self._take_head(end):
                    return True
                if end:
                    continue
                if is_late:
                    return False
                data = self._wire.receive(_READ)
                if not data:
                    raise EOFError
                self._received += data
                is_late = monotonic_ns() >= self._deadline
        except BlockingIOError:
            return False
        except EOFError:
            self._fail(("HTTP-response-incomplete" if self._received else "connection-terminated", None))
        except http1_answer.HeadTooLong:
            self._fail(("HTTP-response-header-section-size", None))
        except http1.BadRequest:
            self._fail(("HTTP-protocol-error", None))
        except Failed as failed:
            self._fail(failed.value)
        except OSError as error:
            self._fail(_code(error))
        return True

    def _take_head(self, end: int) -> bool:
        """False: it was only on the way to the answer (1xx). BadRequest."""
        head = http1_answer.parse_answer(bytes(self._received[:end]), head_only=self._head_only)
        del self._received[:end]
        if head.status == 101:
            raise http1.BadRequest(502, "nobody asked for another protocol")
        if head.status < 200:
            return False
        self._until_close = head.length == http1_answer.UNTIL_CLOSE
        self._body = http1.Body(_NO_LIMIT if self._until_close else head.length, bytes(self._received), _NO_LIMIT)
        self._received.clear()
        self._answer = IncomingResponse(head.status, received(head.header), self)
        return True

    def get(self) -> Any:
        """None while it is not known; then once (True, (whether all is well, the answer or an error-code))."""
        if self.look() is not None:
            return None
        if self._is_taken:
            return False, None
        self._is_taken = True
        return (True, (True, self._answer)) if self._answer is not None else (True, (False, self._error))

    # The request's body

    def room(self) -> bool:
        self._push()
        return self._error is not None or (self._is_open and len(self._unsent) < _MOST_UNSENT)

    def write(self, data: bytes) -> None:
        if self._error is not None:
            raise broken(self._error, "the request failed")
        if self._maybe_chunked:
            self._become_chunked()
        self._unsent += http1.chunk(data) if self._chunked else data
        self._push()

    def _become_chunked(self) -> None:
        """A GET has a body after all: its head is told so, unless that is on its way."""
        self._maybe_chunked = False
        mark = b"connection: close\r\n\r\n"
        if not self._unsent.endswith(mark):
            raise broken(("HTTP-request-body-size", None), "a body for a method that has none wants a content-length")
        self._unsent[-2:] = b"transfer-encoding: chunked\r\n\r\n"
        self._chunked = True

    def flush(self, *, block: bool) -> None:
        while True:
            self._push()
            if self._error is not None:
                raise broken(self._error, "the request failed")
            if not block or (self._is_open and self._is_sent):
                return
            self._wait(POLLOUT, ("connection-write-timeout", None))

    def _wait(self, events: int, code: tuple[str, Any]) -> None:
        if self._wire is None:
            return
        self._state.idle()
        deadline = monotonic_ns() + self._between if self._is_open else self._deadline
        wait((Pollable(self._wire.fd, events if self._is_open else self._wire.awaits(), deadline),), block=True)
        if monotonic_ns() >= deadline:
            self._fail(code if self._is_open else ("connection-timeout", None))

    def end(self, trailers: Raw) -> None:
        if self._chunked:
            self._unsent += http1.last_chunk(trailers)
        self._push()

    def break_off(self, why: str) -> None:
        self._fail(("internal-error", "the request's body was not finished"))

    def awaits(self) -> Look:
        """Of the request's body and of the answer's, one of which is under way."""
        if self._wire is None:
            return None
        if self._body is not None:
            return self._wire.fd, self._events, None
        if self._is_open:
            return self._wire.fd, POLLOUT, None
        return self._wire.fd, self._wire.awaits(), self._deadline

    # The answer's body

    @property
    def trailers(self) -> Raw:
        return self._body.trailers if self._body is not None else ()

    def read(self, most: int, *, block: bool) -> bytes | None:
        """As `bodies.Source.read`."""
        body = self._body
        assert body is not None
        while True:
            try:
                data = body.take(most)
            except http1.BadRequest as error:
                raise broken(("HTTP-protocol-error", None), str(error)) from None
            if data or body.done or (self._until_close and self._wire is None and self._error is None):
                return data
            if self._wire is None:
                raise broken(self._error or ("HTTP-response-incomplete", None), "the answer is cut short")
            self._push()
            try:
                data = self._wire.receive(_READ)
            except BlockingIOError:
                if not block:
                    return None
                self._wait(self._events, ("connection-read-timeout", None))
                continue
            except EOFError:
                self._fail(("HTTP-response-incomplete", None))
                continue
            except Failed as failed:
                self._fail(failed.value)
                continue
            except OSError as error:
                self._fail(_code(error))
                continue
            if not data:
                self._close()
            body.feed(data)


def _code(error: OSError) -> tuple[str, Any]:
    word = _CODES.get(error.errno or 0)
    return (word, None) if word else ("internal-error", error.strerror or "the connection failed")
