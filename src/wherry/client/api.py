"""The Engine API as calls: JSON in, JSON out, streams, hijacks. Which path means what is said by the commands (cli)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from wherry.client.address import Address
from wherry.client.connection import Body, Connection, Response, dial
from wherry.client.duplex import Duplex
from wherry.client.errors import error_for
from wherry.errors import Unavailable
from wherry.wire.jsonlines import Decoder

# Spoken by every Docker engine since 25 and by wherryd; the answers are the same as in later versions for what we ask.
API_VERSION = "1.44"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_JSON_LIMIT = 256 * 1024 * 1024
Query = Mapping[str, object]


def quote(text: str, safe: bytes = b"") -> str:
    """Percent-encode (RFC 3986); ``safe`` bytes stay."""
    return "".join(chr(b) if b in _UNRESERVED or b in safe else f"%{b:02X}" for b in text.encode("utf-8", "replace"))


def target_of(path: str, query: Query | None = None, version: str = API_VERSION) -> str:
    """A request's target. Values: None is left out, booleans are 1 and 0, mappings become JSON, lists are repeated."""
    pairs = [f"{quote(name)}={quote(text)}" for name, value in (query or {}).items() for text in _texts(value)]
    return f"/v{version}{quote(path, b'/:@')}" + ("?" + "&".join(pairs) if pairs else "")


def _texts(value: object) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("1" if value else "0",)
    if isinstance(value, Mapping):
        return (json.dumps(value),)
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    return (str(value),)


class Client:
    """An engine. Connections are made on demand and one is kept for the next call; close it, or use ``with``.

    Every method raises what the engine's status stands for (client/errors), or Unavailable when it is not there.
    """

    def __init__(self, address: Address, connect: Callable[[Address], Any] = dial) -> None:
        self.address = address
        self._connect = connect
        self._idle: Connection | None = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent; streams and hijacked connections are their owners'."""
        idle, self._idle = self._idle, None
        if idle:
            idle.close()

    def connection(self) -> Connection:
        """The kept connection when it still lives, else a new one."""
        idle, self._idle = self._idle, None
        if idle is not None:
            if idle.idle():
                return idle
            idle.close()
        return Connection(self._connect(self.address))

    def call(self, method: str, path: str, query: Query | None = None, body: object = None) -> Any:
        """One request with JSON both ways; None when the answer has no body."""
        response = self.open(method, path, query, None if body is None else json.dumps(body).encode())
        return _decode(self.finish(response))

    def text(self, method: str, path: str, query: Query | None = None) -> bytes:
        """One request whose answer's body is not JSON."""
        return self.finish(self.open(method, path, query))

    def finish(self, response: Response) -> bytes:
        """Read an opened answer to its end, and keep its connection for the next call."""
        try:
            body = b"".join(_bounded(response))
        except BaseException:  # also Ctrl-C: a connection in the middle of an answer is of no use
            response.close()
            raise
        if response.reusable and self._idle is None:
            self._idle = response.connection
        else:
            response.close()
        return body

    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A request whose answer is read by the caller as it comes; statuses of 400 and above are raised."""
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = self.connection()
        try:
            response = connection.request(method, target_of(path, query), sent, body)
        except BaseException:  # also Ctrl-C: as above
            connection.close()
            raise
        if response.status >= 400:
            raise error_for(response.status, _message(self.finish(response)))
        return response

    def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """A request answered by a stream of JSON documents, as they come. Close the iterator to hang up.

        InvalidArgument: what comes is not JSON.
        """
        response = self.open(method, path, query, body, headers)
        try:
            decoder = Decoder(_JSON_LIMIT)
            for piece in response:
                yield from decoder.feed(piece)
            yield from decoder.finish()
        finally:
            response.close()

    def hijack(self, path: str, query: Query | None = None, body: object = None) -> "Hijacked":
        """POST and take the connection over (Engine API, "Hijacking"): the caller closes what is returned."""
        response = self.open(
            "POST",
            path,
            query,
            b"" if body is None else json.dumps(body).encode(),
            {"Connection": "Upgrade", "Upgrade": "tcp"},
        )
        return Hijacked(response)


class Hijacked:
    """A stream taken over: ``multiplexed`` tells whether stdout and stderr come in frames (no TTY) or raw."""

    def __init__(self, response: Response) -> None:
        kind = response.headers.get("content-type", "")
        self.multiplexed = "multiplexed" in kind
        self.duplex: Duplex = response.hijack()


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _JSON_LIMIT:
            raise Unavailable("the engine's answer is too long")
        yield piece


def _decode(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise Unavailable(f"the engine's answer is not JSON: it begins with {raw[:40]!r}") from None


def _message(raw: bytes) -> str:
    try:
        document = json.loads(raw)
    except ValueError:
        return raw[:400].decode("utf-8", "replace")
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else ""
