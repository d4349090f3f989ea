"""The Engine API without a client: one request, one connection."""

import asyncio
import json

from tests.integration.conftest import Daemon


async def talk(daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, str]:
    """One request on a connection of its own: the status and the message."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    try:
        async with asyncio.timeout(60):
            answer = await reader.read()
    finally:
        writer.close()
    status, _, rest = answer.partition(b"\r\n\r\n")
    text = rest.decode()
    return int(status.split()[1]), json.loads(text).get("message", "") if text.startswith("{") else text
