"""A request as handlers see it: its head, and its body as it comes. How both come off the socket: connection.py."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from wherry.errors import InvalidArgument
from wherry.wire.http1 import CHUNKED, BadRequest, Body, RequestHead

HIGH_WATER: Final = 256 << 10
"""Bytes from a client that wait for their reader, at most; the client waits with more."""
_ENDLESS: Final = 1 << 62
_PIECE: Final = 256 << 10


class Incoming:
    """What follows a request's head: its body, read by one handler, and whatever comes after that.

    ``wanted`` is called when the body is first waited for, ``relieved`` whenever some of it was taken.
    """

    def __init__(self, length: int, beginning: bytes, wanted: Callable[[], None], relieved: Callable[[], None]) -> None:
        self._body = Body(length, beginning, _ENDLESS)
        self._wanted: Callable[[], None] | None = wanted
        self._relieved = relieved
        self._more: asyncio.Future[None] | None = None
        self._fault = ""

    @property
    def length(self) -> int | None:
        """Bytes, None if they are not known beforehand."""
        return None if self._body.length == CHUNKED else self._body.length

    @property
    def done(self) -> bool:
        """All of the body was read."""
        return self._body.done

    @property
    def asked(self) -> bool:
        """Somebody waited for it."""
        return self._wanted is None

    @property
    def settled(self) -> bool:
        """It was all read, or nobody waits for it."""
        return self._body.done or not self.asked

    @property
    def full(self) -> bool:
        """More is waiting than should."""
        return self._body.held > HIGH_WATER

    def feed(self, data: bytes) -> None:
        """More came in."""
        self._body.feed(data)
        self._wake()

    def cut(self, why: str) -> None:
        """Nothing more will come. Who reads a body that is not whole hears ``why``."""
        self._fault = self._fault or why
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def take(self) -> bytes:
        """What is there of the body, b"" if nothing is. InvalidArgument: it is no body."""
        try:
            data = self._body.take(_PIECE)
        except BadRequest as error:
            self._fault = str(error)
            raise self._broken() from None
        if data or self._body.done:
            self._relieved()
        return data

    async def read(self) -> bytes:
        """The next of the body, b"" after its end. InvalidArgument: the client stopped before that."""
        while not (data := self.take()):
            if self._body.done:
                return b""
            if self._fault:
                raise self._broken()
            if self._wanted is not None:
                self._wanted()
                self._wanted = None
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        return data

    def _broken(self) -> InvalidArgument:
        return InvalidArgument(f"the request's body was cut short: {self._fault}")

    def rest(self) -> bytes:
        """What came after the body, which is `done`; it is not kept."""
        rest = self._body.rest
        self._body = Body(0, b"", 0)
        return rest


class Origin(Protocol):
    """The connection that a request came from. ``ended``: the client will send no more; ``on_lost`` is called when it
    is gone, ``on_ended`` when it is `deserted`."""

    ended: bool
    on_lost: Callable[[], object] | None
    on_ended: Callable[[], object] | None

    @property
    def deserted(self) -> bool:
        """The client will send no more, and what it sent was read or is not wanted; perhaps it is gone."""

    @property
    def transport(self) -> asyncio.Transport:
        """ConnectionError: the client is gone."""

    async def send(self, data: bytes) -> None:
        """Send; waits while the client does not read. ConnectionError: it is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """To be told by whoever took the transport over."""


class Request:
    """``connection`` is where it came from. ``begun`` once some of its answer was sent."""

    __slots__ = ("begun", "body", "connection", "head", "method", "target")

    def __init__(self, head: RequestHead, body: Incoming, connection: Origin) -> None:
        self.head = head
        self.method = head.method
        self.target = head.target
        self.body = body
        self.connection = connection
        self.begun = False

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]

    @property
    def upgrades(self) -> bool:
        """Whether the client wants to go on with another protocol."""
        return bool(self.header("upgrade"))

    def header(self, name: str) -> str:
        """The first field of that name, which is in lower case; "" if there is none."""
        return self.head.field(name)

    async def send(self, data: bytes) -> None:
        """Some of the answer; waits while the client does not read. ConnectionError: it is gone."""
        self.begun = True
        await self.connection.send(data)
