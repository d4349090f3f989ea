"""A program's standard output as an answer: a CGI header, then the body."""

from __future__ import annotations

from wherry.shim.httpd.exchange import Abort, Exchange
from wherry.wire import cgi

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.wire.http1 import AnswerHead


class Output:
    """What is written becomes the exchange's answer. ``parse`` is cgi.parse_head, or does as that does."""

    def __init__(self, exchange: Exchange, parse: Callable[[bytes], AnswerHead] = cgi.parse_head) -> None:
        self._exchange = exchange
        self._parse = parse
        self._header = b""

    def write(self, data: bytes) -> None:
        """Abort: it is no answer, or nobody takes it."""
        exchange = self._exchange
        if not exchange.started:
            data = self._header + data
            try:
                end, start = cgi.find_end(data)
                if end < 0:
                    self._header = data
                    return
                exchange.start(self._parse(data[:end]))
            except cgi.BadOutput as error:
                raise Abort(502, f"no CGI answer: {error}") from None
            data = data[start:]
        exchange.write(data)

    def end(self) -> None:
        """The program ended. Abort: it has not answered."""
        if not self._exchange.started:
            raise Abort(502, "the program wrote no CGI header" + (" that ends" if self._header else ""))
        self._exchange.end()
