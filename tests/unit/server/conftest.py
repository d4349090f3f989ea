"""A server over any route table on a unix socket, and a client that sends bytes and reads what comes."""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass, field

import pytest

from wherry.server.app import App, Server

DEADLINE = 5.0


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Client:
    """One connection; ``send`` and ``head`` for raw talk, ``ask`` for a whole exchange."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict]:
        async with asyncio.timeout(DEADLINE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = raw.decode("latin-1").strip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return int(status.split(" ")[1]), headers

    async def chunk(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            size = int(await self.reader.readline(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readexactly(size)

    async def body(self, headers: dict) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            found = b""
            while part := await self.chunk():
                found += part
            return found
        return await self.exactly(int(headers.get("content-length", 0)))

    async def ask(self, method: str, target: str, document=None, *, headers: str = "", body: bytes = b"") -> Answer:
        if document is not None:
            body = json.dumps(document).encode()
            headers += "Content-Type: application/json\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{headers}{length}\r\n".encode() + body)
        status, found = await self.head()
        return Answer(status, found, b"" if method == "HEAD" or status == 304 else await self.body(found))


@dataclass
class Place:
    """A running server: ``connect`` to it as often as needed."""

    path: str
    server: Server
    clients: list = field(default_factory=list)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.path))
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        """Once more is no fault."""
        await self.server.__aexit__(None, None, None)

    async def ask(self, *args, **more) -> Answer:
        return await (await self.connect()).ask(*args, **more)


@pytest.fixture
async def serving():
    """``place = await serving(routes)``."""
    folder = tempfile.mkdtemp(prefix="wherry-", dir="/tmp")
    path = os.path.join(folder, "s")
    entered = []

    async def start(routes) -> Place:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        server = Server(App(routes), [sock])
        await server.__aenter__()
        place = Place(path, server)
        entered.append(place)
        return place

    yield start
    for place in entered:
        for client in place.clients:
            client.writer.close()
        await place.stop()
    shutil.rmtree(folder)
