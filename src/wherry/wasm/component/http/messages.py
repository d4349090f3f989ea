"""Requests that come and the answers to them, requests that go and their options.

https://github.com/WebAssembly/wasi-http/blob/v0.2.0/proxy.md
"""

from __future__ import annotations

from wherry.wasm.component.http.bodies import IncomingBody, OutgoingBody
from wherry.wasm.component.http.fields import Fields
from wherry.wasm.component.values import Failed
from wherry.wire.http1 import is_token

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any, Protocol

    from wherry.wasm.component.http.bodies import Sink, Source

    class Answering(Protocol):
        """Whoever asked."""

        def begin(self, status: int, fields: Fields, length: int) -> Sink:
            """The answer's head. Its body goes to what is returned."""

        def fail(self, code: tuple[str, Any], why: str) -> None:
            """There is an error instead of an answer."""

        def refuse(self) -> None:
            """There will be none."""


_METHODS = ("get", "head", "post", "put", "delete", "connect", "options", "trace", "patch")
_BY_NAME = {name.upper(): (name, None) for name in _METHODS}
_SCHEMES = {"HTTP": "http", "HTTPS": "https"}


def method_of(word: str) -> tuple[str, Any]:
    """The variant for a method as it stands in a request."""
    return _BY_NAME.get(word, ("other", word))


class _Incoming:
    """A message that has come; its body is taken once."""

    def __init__(self, fields: Fields, source: Source) -> None:
        self.fields = fields
        self._source = source
        self._is_consumed = False

    def consume(self) -> IncomingBody:
        """Failed: it was before."""
        if self._is_consumed:
            raise Failed(None)
        self._is_consumed = True
        return IncomingBody(self._source)


class IncomingRequest(_Incoming):
    """A request, whose body ``source`` gives."""

    def __init__(
        self, method: str, target: str, authority: str, fields: Fields, source: Source, scheme: str = "http"
    ) -> None:
        self.method = method_of(method)
        self.path = target
        self.scheme = (scheme.upper(), None)
        self.authority = authority or None
        super().__init__(fields, source)


class IncomingResponse(_Incoming):
    """An answer to a request of the component's."""

    def __init__(self, status: int, fields: Fields, source: Source) -> None:
        self.status = status
        super().__init__(fields, source)


class _Outgoing:
    """A message that is being made."""

    side = ""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields.freeze()
        self.body: OutgoingBody | None = None

    def take_body(self) -> OutgoingBody:
        """Failed: it was taken before, or its content-length is none."""
        if self.body is not None:
            raise Failed(None)
        try:
            self.body = OutgoingBody(self.side, self.fields.length)
        except ValueError:
            raise Failed(None) from None
        return self.body


class OutgoingResponse(_Outgoing):
    side = "response"

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields)
        self.status = 200

    def set_status(self, status: int) -> None:
        """Failed: it is none that may end an exchange."""
        if not 200 <= status <= 599:
            raise Failed(None)
        self.status = status


class OutgoingRequest(_Outgoing):
    side = "request"

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields)
        self.method: tuple[str, Any] = ("get", None)
        self.path: str | None = None
        self.scheme: tuple[str, Any] | None = None
        self.authority: str | None = None

    @property
    def method_word(self) -> str:
        name, other = self.method
        return str(other) if name == "other" else name.upper()

    def set_method(self, method: tuple[str, Any]) -> None:
        """Failed: it is no token."""
        if method[0] == "other" and not is_token(method[1]):
            raise Failed(None)
        self.method = method

    def set_path(self, path: str | None) -> None:
        """Failed: it is no path with query."""
        if path is not None and not (path.startswith(("/", "?", "*")) and is_visible(path)):
            raise Failed(None)
        self.path = path

    def set_scheme(self, scheme: tuple[str, Any] | None) -> None:
        self.scheme = scheme

    def set_authority(self, authority: str | None) -> None:
        """Failed: it is no host and port."""
        if authority is not None and not (authority and is_visible(authority) and not set(authority) & set("/?#@")):
            raise Failed(None)
        self.authority = authority


def is_visible(text: str) -> bool:
    """Nothing in it that would end a word of a request's first line."""
    return all("!" <= letter <= "~" for letter in text)


class Outparam:
    """Where the answer goes: once, or not at all."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def dropped(self) -> None:
        """Without `set`."""
        self._answering.refuse()

    def set(self, is_ok: bool, value: Any) -> None:
        """``value`` is an outgoing-response, or an error-code."""
        if not is_ok:
            code, detail = value
            told = f": {detail}" if detail is not None else ""
            self._answering.fail(value, f"the handler answered with the error {code}{told}")
            return
        response: OutgoingResponse = value
        try:
            length = response.fields.length
        except ValueError:
            self._answering.fail(("HTTP-protocol-error", None), "the handler's content-length is no number")
            return
        sink = self._answering.begin(response.status, response.fields, length)
        if response.body is not None:
            response.body.attach(sink)
        else:
            sink.end(())


class RequestOptions:
    """Nanoseconds, None for the host's own."""

    def __init__(self) -> None:
        self.connect: int | None = None
        self.first_byte: int | None = None
        self.between_bytes: int | None = None
