"""Attaching over a WebSocket, as a client of another library speaks it."""

import asyncio

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from wherry.server import websocket
from wherry.server.router import Kind, Route

LARGE = 5 << 20


class Session:
    """A process that answers each input with the same, twice."""

    tty = False

    def __init__(self):
        self.outgoing = asyncio.Queue()
        self.input = b""
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()

    async def output(self):
        while (item := await self.outgoing.get()) is not None:
            yield "stdout", item

    async def write(self, data):
        self.input += data
        self.outgoing.put_nowait(data * 2)

    async def close_stdin(self):
        self.ended.set()

    async def aclose(self):
        self.closed.set()
        self.outgoing.put_nowait(None)


class Client:
    """Events out of a raw connection."""

    def __init__(self, raw):
        self.raw = raw
        self.frames = WSConnection(ConnectionType.CLIENT)
        self.events = iter(())

    async def say(self, *events):
        await self.raw.send(b"".join(self.frames.send(event) for event in events))

    async def hear(self):
        while True:
            for event in self.events:
                return event
            data = await asyncio.wait_for(self.raw.reader.read(65536), 5)
            self.frames.receive_data(data or None)
            self.events = self.frames.events()


@pytest.fixture
async def joined(serving):
    session = Session()

    async def attach(call):
        websocket.check_handshake(call)
        return await websocket.join(call, session)

    place = await serving([Route("GET", "/ws", attach, Kind.STREAM)])
    return session, place


async def _client(place, **more):
    client = Client(await place.connect())
    await client.say(Request(host="d", target="/ws", **more))
    return client


async def test_messages_go_both_ways_and_the_end_of_output_says_goodbye(joined):
    session, place = joined
    client = await _client(place)
    assert isinstance(await client.hear(), AcceptConnection)
    await client.say(BytesMessage(data=b"ab"), TextMessage(data="c", message_finished=False), TextMessage(data="d"))
    assert (await client.hear()).data == b"abab"
    assert (await client.hear()).data == b"cdcd"
    await client.say(Ping(payload=b"p"))
    assert await client.hear() == Pong(payload=b"p")
    session.outgoing.put_nowait(None)
    ended = await client.hear()
    assert (type(ended), ended.code) == (CloseConnection, 1000)
    await client.say(ended.response())
    assert await client.raw.rest() == b""
    assert session.closed.is_set()


async def test_a_client_that_says_goodbye_is_answered_and_ends_the_session(joined):
    session, place = joined
    client = await _client(place)
    await client.hear()
    await client.say(CloseConnection(code=1001))
    assert (await client.hear()).code == 1001
    await asyncio.wait_for(session.closed.wait(), 5)
    assert session.ended.is_set()


@pytest.mark.parametrize(
    ("sent", "code"), [(b"\xff\xff\xff\xff", 1002), (b"\x81\x02ab", 1002), (b"\x81\x82\0\0\0\0\xff\xff", 1007)]
)
async def test_what_is_no_frame_is_refused(joined, sent, code):
    session, place = joined
    client = await _client(place)
    await client.hear()
    await client.raw.send(sent)
    assert (await client.hear()).code == code
    await asyncio.wait_for(session.closed.wait(), 5)
    assert session.input == b""


async def test_a_message_without_end_is_refused(joined):
    session, place = joined
    client = await _client(place)
    await client.hear()
    await client.say(BytesMessage(data=bytes(LARGE)))
    refused = await client.hear()
    assert refused.code == 1009
    await client.say(refused.response())
    await asyncio.wait_for(session.closed.wait(), 5)
    assert session.input == b""


async def test_a_client_that_vanishes_ends_the_session(joined):
    session, place = joined
    client = await _client(place)
    await client.hear()
    client.raw.writer.close()
    await asyncio.wait_for(session.closed.wait(), 5)


async def test_other_sites_pages_are_refused(joined):
    _, place = joined
    client = await _client(place, extra_headers=[(b"Origin", b"http://evil.example")])
    refused = await client.hear()
    assert (type(refused), refused.status_code) == (RejectConnection, 403)


@pytest.mark.parametrize(
    "line", [b"", b"Upgrade: websocket", b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 8"]
)
async def test_what_asks_for_no_websocket_is_refused(joined, line):
    _, place = joined
    client = await place.connect()
    await client.send(b"GET /ws HTTP/1.1\r\nHost: d\r\n" + line + (b"\r\n\r\n" if line else b"\r\n"))
    status, headers = await client.head()
    assert status == 400
    assert b"a WebSocket request is expected" in await client.body(headers)
