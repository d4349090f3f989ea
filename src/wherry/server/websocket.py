"""Attaching over a WebSocket: what browsers, and clients without raw sockets, have in place of a hijacked connection.

Output comes in binary messages, stdout and stderr alike and unframed; input may be binary or text.
Source: Docker Engine API, "Attach to a container via a websocket".
"""

import asyncio
import logging
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from wherry.engine.attach import AttachSession
from wherry.errors import InvalidArgument, PermissionDenied, WherryError
from wherry.server.call import HEADERS, Call

_LONGEST_MESSAGE = 4 << 20
_CLOSING = 5.0
"""Seconds that a client has to say goodbye as well."""

log = logging.getLogger(__name__)


def check_handshake(call: Call) -> None:
    """InvalidArgument: it is no WebSocket request; PermissionDenied: it comes from another site's page in a browser,
    which reaches this machine's ports as its user does."""
    headers = call.request.headers
    if headers.get("Upgrade", "").lower() != "websocket" or "Sec-WebSocket-Key" not in headers:
        raise InvalidArgument("a WebSocket request is expected: it has no Upgrade: websocket, or no Sec-WebSocket-Key")
    try:
        origin = urlsplit(headers.get("Origin", "")).netloc
    except ValueError:
        origin = "?"
    if origin and origin.lower() != headers.get("Host", "").lower():
        raise PermissionDenied(f"the page's origin {origin[:100]} is not this engine's address")


async def join(call: Call, session: AttachSession) -> web.StreamResponse:
    """Join the client with ``session`` until either ends; closes both."""
    socket = web.WebSocketResponse(timeout=_CLOSING, compress=False, max_msg_size=_LONGEST_MESSAGE)
    socket.headers.update(HEADERS)
    feeder: asyncio.Task[None] | None = None
    try:
        await socket.prepare(call.request)
        feeder = asyncio.create_task(_feed(socket, session))
        async for _, data in session.output():
            await socket.send_bytes(data)
    except (WherryError, ConnectionError) as error:
        log.debug("a WebSocket ended: %s", error)  # no answer can tell it any more
    finally:
        if feeder is not None:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
        await session.aclose()
    await socket.close()
    return socket


async def _feed(socket: web.WebSocketResponse, session: AttachSession) -> None:
    """Pass input on; a client that goes ends the session, and the process goes on."""
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.write(message.data.encode())
            elif message.type is WSMsgType.BINARY:
                await session.write(message.data)
        await session.close_stdin()
    except WherryError as error:
        # A process that ended takes no more input; its output tells when the session is over.
        log.debug("stdin was not taken: %s", error)
    else:
        await session.aclose()
