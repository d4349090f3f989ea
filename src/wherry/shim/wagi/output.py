"""A program's standard output as an answer: a CGI header, then the body."""

from __future__ import annotations

from wherry.shim.httpd.exchange import Abort, Exchange
from wherry.wire import cgi

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wire.http1 import AnswerHead


class Output:
    """What is written becomes the exchange's answer."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._header = bytearray()

    def write(self, data: bytes) -> None:
        """Abort: it is no answer, or nobody takes it."""
        if not self._exchange.started:
            self._header += data
            end, start = self._find_end()
            if end < 0:
                return
            self._exchange.start(self._parse(bytes(self._header[:end])))
            data = bytes(self._header[start:])
        self._exchange.write(data)

    def end(self) -> None:
        """The program ended. Abort: it has not answered."""
        if not self._exchange.started:
            raise Abort(502, "the program wrote no CGI header" + (" that ends" if self._header else ""))
        self._exchange.end()

    def _find_end(self) -> tuple[int, int]:
        try:
            return cgi.find_end(self._header)
        except cgi.BadOutput as error:
            raise Abort(502, f"no CGI answer: {error}") from None

    def _parse(self, data: bytes) -> AnswerHead:
        try:
            return cgi.parse_head(data)
        except cgi.BadOutput as error:
            raise Abort(502, f"no CGI answer: {error}") from None
