"""Attaching over a WebSocket: what browsers, and clients without raw sockets, have in place of a hijacked connection.

Output comes in binary messages, stdout and stderr alike and unframed; input may be binary or text. Loaded by the first
client that asks for it.
Source: Docker Engine API, "Attach to a container via a websocket"; RFC 6455.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping
from wsproto.utilities import LocalProtocolError

from wherry.engine.attach import AttachSession
from wherry.errors import InvalidArgument, PermissionDenied, Unavailable, WherryError
from wherry.server.call import Call
from wherry.server.hijack import Duplex, hijacked
from wherry.server.response import Hijacked

_LONGEST_MESSAGE: Final = 4 << 20
_CLOSING: Final = 5.0
"""Seconds that a client has to say goodbye as well."""
_NORMAL: Final = 1000
_TOO_BIG: Final = 1009
"""Close codes; source: RFC 6455, 7.4.1."""
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Source: RFC 6455, 1.3."""

log = logging.getLogger(__name__)


def check_handshake(call: Call) -> None:
    """InvalidArgument: it is no WebSocket request; PermissionDenied: it comes from another site's page in a browser,
    which reaches this machine's ports as its user does."""
    request = call.request
    if request.header("upgrade").lower() != "websocket" or not request.header("sec-websocket-key"):
        raise InvalidArgument("a WebSocket request is expected: it has no Upgrade: websocket, or no Sec-WebSocket-Key")
    if request.header("sec-websocket-version") != "13":
        raise InvalidArgument("a WebSocket request is expected: Sec-WebSocket-Version: 13 is the one known here")
    try:
        origin = urlsplit(request.header("origin")).netloc
    except ValueError:
        origin = "?"
    if origin and origin.lower() != request.header("host").lower():
        raise PermissionDenied(f"the page's origin {origin[:100]} is not this engine's address")


async def join(call: Call, session: AttachSession) -> Hijacked:
    """Join the client with ``session`` until either ends; closes both."""
    try:
        async with hijacked(call, _head(call.request.header("sec-websocket-key"))) as duplex:
            await _carry(WebSocket(duplex), session)
    except WherryError as error:
        log.debug("a WebSocket ended: %s", error)  # no answer can tell it any more
    finally:
        await session.aclose()
    return Hijacked(101)


def _head(key: str) -> list[str]:
    accept = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode("latin-1"), usedforsecurity=False).digest())
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"]
    return [*lines, f"Sec-WebSocket-Accept: {accept.decode()}"]


class WebSocket:
    """Messages over a hijacked socket. Pings are answered while `messages` is read."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._frames = Connection(ConnectionType.SERVER)

    async def send(self, data: bytes) -> None:
        """One binary message; waits while the client does not read. Unavailable: it is gone, or said goodbye."""
        try:
            frame = self._frames.send(BytesMessage(data=data))
        except LocalProtocolError:
            raise Unavailable("the client has said goodbye") from None
        await self._duplex.write(frame)

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client sends, until it is gone or says goodbye, which is answered."""
        message = b""
        while data := await self._duplex.read():
            self._frames.receive_data(data)
            for event in self._frames.events():
                if isinstance(event, Message):
                    message += event.data.encode() if isinstance(event.data, str) else event.data
                    if len(message) > _LONGEST_MESSAGE:
                        await self._refuse()
                        return
                    if event.message_finished:
                        yield message
                        message = b""
                elif isinstance(event, Ping | CloseConnection):  # the latter also when it does not keep to the rules
                    await self._say(event.response())
                    if isinstance(event, CloseConnection):
                        return

    async def _refuse(self) -> None:
        """The message is too big. What is left of it is read and dropped, so that the client gets to see the answer."""
        await self._say(CloseConnection(code=_TOO_BIG))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                while data := await self._duplex.read():
                    self._frames.receive_data(data)
                    if any(isinstance(event, CloseConnection) for event in self._frames.events()):
                        return

    async def goodbye(self) -> None:
        """Say it; once is enough."""
        await self._say(CloseConnection(code=_NORMAL))

    async def _say(self, event: Event) -> None:
        with contextlib.suppress(LocalProtocolError):  # it was said already
            await self._duplex.write(self._frames.send(event))


async def _carry(socket: WebSocket, session: AttachSession) -> None:
    feeder = asyncio.create_task(_feed(socket, session))
    try:
        async for _, data in session.output():
            await socket.send(data)
        await socket.goodbye()
        await asyncio.wait([feeder], timeout=_CLOSING)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _feed(socket: WebSocket, session: AttachSession) -> None:
    """Pass input on; a client that goes ends the session, and the process goes on."""
    try:
        async for message in socket.messages():
            await session.write(message)
        await session.close_stdin()
    except WherryError as error:
        # A process that ended takes no more input; its output tells when the session is over.
        log.debug("stdin was not taken: %s", error)
    else:
        await session.aclose()
