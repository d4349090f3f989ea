"""A client of HTTP/2 that says whatever a test wants said: frames by h2 and hyperframe, none of them checked."""

import asyncio
from collections.abc import Sequence

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import Frame

from tests.integration.wagi_box import DEADLINE, Handler

Fields = Sequence[tuple[str, str]]


def head(path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), *more]


class Client:
    """A connection; what was heard of it is in ``events``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        config = H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=True
        )
        self.h2 = H2Connection(config)
        self.events: list[events.Event] = []
        self.ended = False
        self.takes = True

    @classmethod
    async def open(cls, handler: Handler, *, window: int = -1) -> "Client":
        """``window``: what an answer may have before its client says more."""
        made = cls(*await asyncio.open_connection("127.0.0.1", handler.port))
        made.h2.initiate_connection()
        if window >= 0:
            made.takes = False
            made.h2.update_settings({4: window})
        made.write()
        return made

    def write(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, fields: Fields, body: bytes | None = None, *, end: bool = True) -> int:
        """A request; its stream's number."""
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=end)
        self.write()
        return number

    def frames(self, *frames: Frame) -> None:
        """Behind h2's back."""
        self.writer.write(b"".join(frame.serialize() for frame in frames))

    async def hear(self) -> bool:
        """More; False: there is none."""
        try:
            data = await self.reader.read(65536)
        except ConnectionError:
            data = b""
        self.ended = not data
        for event in self.h2.receive_data(data) if data else ():
            self.events.append(event)
            if isinstance(event, events.DataReceived) and self.takes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not self.ended:
            self.write()
        return bool(data)

    async def until(self, kind: type[events.Event], number: int = 0) -> events.Event:
        """The first event of that kind, of that stream if one is given."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and (not number or event.stream_id == number):
                        return event
                assert await self.hear(), f"no {kind.__name__}, but {self.events}"

    async def answer(self, number: int) -> tuple[int, bytes]:
        """Status and body of a whole answer."""
        await self.until(events.StreamEnded, number)
        return self.status(number), self.body(number)

    async def status_of(self, number: int) -> int:
        """Status, as soon as it is there."""
        await self.until(events.ResponseReceived, number)
        return self.status(number)

    def status(self, number: int) -> int:
        found = next(e for e in self.events if isinstance(e, events.ResponseReceived) and e.stream_id == number)
        return int(dict(found.headers)[b":status"])

    def body(self, number: int) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, events.DataReceived) and e.stream_id == number)

    async def sent_away(self) -> int:
        """The code of its GOAWAY, after which the connection ends."""
        found = await self.until(events.ConnectionTerminated)
        async with asyncio.timeout(DEADLINE):
            while not self.ended:
                await self.hear()
        self.writer.close()
        return int(found.error_code)

    def close(self) -> None:
        self.writer.transport.abort()
