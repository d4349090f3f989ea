"""A client's request and its answer, between a component's resources and the exchange with the client."""

from __future__ import annotations

import select

from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.wasm.component.http.fields import received
from wherry.wasm.component.http.messages import IncomingRequest, Outparam
from wherry.wasm.component.polling import POLLIN, POLLOUT
from wherry.wasm.wasi.errno import Trap
from wherry.wire.http1 import REASONS, AnswerHead

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.wasm.component.http.fields import Fields, Raw

MOST_FIELDS = 256
"""Of an answer."""
_STATUSES = {
    "DNS-timeout": 504, "connection-timeout": 504, "connection-read-timeout": 504, "connection-write-timeout": 504,
    "HTTP-response-timeout": 504, "HTTP-request-denied": 403, "HTTP-request-length-required": 411,
    "HTTP-request-body-size": 413, "HTTP-request-method-invalid": 405, "HTTP-request-URI-invalid": 400,
    "HTTP-request-URI-too-long": 414, "HTTP-request-header-section-size": 431, "HTTP-request-header-size": 431,
    "loop-detected": 508, "internal-error": 500, "configuration-error": 500,
}  # fmt: skip
"""What a client gets for an error-code; 502 for the others."""


class Conversation:
    """``abort`` is why there will be no answer, or none that is whole."""

    def __init__(self, job: Job, exchange: Exchange) -> None:
        self._job = job
        self.exchange = exchange
        self.abort: Abort | None = None
        self.is_ended = False
        self.is_refused = False

    def request(self) -> IncomingRequest:
        head = self._job.head
        return IncomingRequest(head.method, head.target, head.host, received(head.header), _Asked(self), head.scheme)

    def outparam(self) -> Outparam:
        return Outparam(self)

    def idle(self) -> None:
        """The guest is going to wait: what is held back goes."""
        if not self.is_ended and self.abort is None:
            self.guarded(self.exchange.flush_head)

    def guarded(self, action: Callable[[], Any]) -> Any:
        """Trap: the request is over, and so is the guest."""
        if self.abort is not None:
            raise Trap("the request is over")
        try:
            return action()
        except Abort as abort:
            self.abort = abort
            raise Trap("the request is over") from None

    # Answering

    def begin(self, status: int, fields: Fields, length: int) -> _Answer:
        raw = fields.raw()
        if len(raw) > MOST_FIELDS:
            self.abort = Abort(502, f"the handler's header has over {MOST_FIELDS} fields")
        header = tuple((name, value) for name, value in raw if name not in ("content-length", "date"))
        self.exchange.start(AnswerHead(status, REASONS.get(status, ""), header, length))
        return _Answer(self)

    def fail(self, code: tuple[str, Any], why: str) -> None:
        self.abort = self.abort or Abort(_STATUSES.get(code[0], 502), why)

    def refuse(self) -> None:
        self.is_refused = True

    def end(self, failure: str, code: int) -> None:
        """The handler is done: it trapped (``failure``), or exited with a ``code``, which is -1 otherwise. Abort."""
        if self.abort is not None:
            raise self.abort
        if failure and code < 0:
            raise Abort(502, failure)
        if not self.exchange.started:
            raise Abort(502, f"the handler exited with {code} and no answer" if code >= 0 else self._silence)
        if not self.is_ended:
            raise Abort(502, "the handler ended without finishing its body")

    @property
    def _silence(self) -> str:
        return "the handler dropped its response-outparam" if self.is_refused else "the handler gave no answer"


class _Asked:
    """The request's body."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @property
    def trailers(self) -> Raw:
        return self._conversation.exchange.body.trailers

    def read(self, most: int, *, block: bool) -> bytes | None:
        exchange = self._conversation.exchange
        data: bytes | None = self._conversation.guarded(
            lambda: exchange.read(most) if block else exchange.read_now(most)
        )
        return data

    def awaits(self) -> tuple[int, int, int | None]:
        return self._conversation.exchange.fd, POLLIN, None


class _Answer:
    """The answer's body. The first piece is held back until the guest waits, writes more or is done, even when it asks
    for a flush: most answers are one piece, and go out as one, with their length."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def room(self) -> bool:
        poll = select.poll()
        poll.register(self._conversation.exchange.fd, POLLOUT)
        return bool(poll.poll(0))

    def write(self, data: bytes) -> None:
        self._conversation.guarded(lambda: self._conversation.exchange.write(data))

    def flush(self, *, block: bool) -> None:
        exchange = self._conversation.exchange
        if exchange.has_sent:
            self._conversation.guarded(exchange.flush)

    def end(self, trailers: Raw) -> None:
        self._conversation.guarded(lambda: self._conversation.exchange.end(trailers))
        self._conversation.is_ended = True

    def break_off(self, why: str) -> None:
        conversation = self._conversation
        conversation.abort = conversation.abort or Abort(502, why)

    def awaits(self) -> tuple[int, int, int | None]:
        return self._conversation.exchange.fd, POLLOUT, None
