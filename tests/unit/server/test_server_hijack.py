"""Hijacked streams over a real socket: both directions, either ending first, bytes that come early."""

import asyncio
import select
import socket

import pytest

from wherry.errors import NotFound
from wherry.server import hijack
from wherry.server.app import STOP_TIMEOUT
from wherry.server.call import HEADERS
from wherry.server.hijack import MULTIPLEXED_STREAM, RAW_STREAM, take_over
from wherry.server.router import Route

UPGRADE = b"POST /v1.42/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
PLAIN = b"POST /v1.41/attach HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"


class Session:
    """What the engine would hand out: records input, plays output that the test feeds."""

    def __init__(self, tty=False, slow=False, listens=True):
        self.tty = tty
        self.listens = listens
        self.outgoing = asyncio.Queue()
        self.input = b""
        self.input_ended = asyncio.Event()
        self.closed = asyncio.Event()
        self.may_read = asyncio.Event()
        if not slow:
            self.may_read.set()

    @property
    def told_all(self):
        return self.outgoing.empty()

    async def output(self):
        while (item := await self.outgoing.get()) is not None:
            yield item

    async def write(self, data):
        await self.may_read.wait()
        self.input += data

    async def close_stdin(self):
        self.input_ended.set()

    async def aclose(self):
        self.closed.set()
        self.outgoing.put_nowait(None)

    def say(self, *items):
        for item in items:
            self.outgoing.put_nowait(item)


def _routes(session):
    async def attach(call):
        return await take_over(call, session)

    async def missing(call):
        raise NotFound("No such container: x")

    async def start(call):
        session.asked = await call.json()
        return await take_over(call, session)

    return [
        Route("POST", "/attach", attach),
        Route("POST", "/missing", missing),
        Route("POST", "/start", start),
    ]


async def _within(awaitable):
    async with asyncio.timeout(5):
        return await awaitable


async def test_upgraded_stream_is_framed_and_ends_with_the_process(serving):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    status, headers = await client.head()
    assert (status, headers["upgrade"], headers["connection"]) == (101, "tcp", "Upgrade")
    assert headers["content-type"] == MULTIPLEXED_STREAM
    session.say(("stdout", b"out"), ("stderr", b"error"), None)
    assert await client.rest() == b"\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\5error"
    await _within(session.closed.wait())


async def test_the_head_is_read_by_itself_however_soon_output_comes(serving):
    session = Session()
    session.say(("stdout", b"early"), None)
    place = await serving(_routes(session))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, place.path)
        await loop.sock_sendall(client, UPGRADE)
        # The client is slow to read: what it gets at once, into a large buffer, is the head and nothing else.
        async with asyncio.timeout(5):
            while not _waits(client):
                await asyncio.sleep(0)
            await asyncio.sleep(0.02)
            assert (await loop.sock_recv(client, 65536)).endswith(
                b"Server: " + HEADERS["Server"].encode() + b"\r\n\r\n"
            )
            assert await loop.sock_recv(client, 65536) == b"\1\0\0\0\0\0\0\5early"


def _waits(client):
    return bool(select.select([client], [], [], 0)[0])


async def test_without_upgrade_header_the_answer_is_200_raw_stream(serving):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(PLAIN)
    status, headers = await client.head()
    assert (status, headers["content-type"]) == (200, RAW_STREAM)
    assert "transfer-encoding" not in headers
    session.say(("stdout", b"x"), None)
    assert await client.rest() == b"\1\0\0\0\0\0\0\1x"


async def test_a_terminal_is_raw(serving):
    session = Session(tty=True)
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    assert (await client.head())[1]["content-type"] == RAW_STREAM
    session.say(("stdout", b"\x1b[1mhi"), None)
    assert await client.rest() == b"\x1b[1mhi"


async def test_half_close_ends_stdin_and_output_goes_on(serving):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    await client.head()
    await client.send(b"to stdin")
    client.writer.write_eof()
    await _within(session.input_ended.wait())
    assert session.input == b"to stdin"
    session.say(("stdout", b"late"), None)
    assert (await client.rest()).endswith(b"late")


@pytest.mark.parametrize("eof", [False, True])
async def test_bytes_in_the_requests_own_segment_reach_stdin(serving, eof):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE + b"early")
    if eof:
        client.writer.write_eof()
    await client.head()
    if not eof:
        await client.send(b" late")
        client.writer.write_eof()
    await _within(session.input_ended.wait())
    assert session.input == (b"early" if eof else b"early late")
    session.say(None)
    assert await client.rest() == b""


async def test_a_json_body_before_the_stream_is_the_requests(serving):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    body = b'{"Detach":false}'
    head = UPGRADE.replace(b"/attach", b"/start").replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
    await client.send(head + body[:5])
    await client.send(body[5:] + b"stdin")
    assert (await client.head())[0] == 101
    client.writer.write_eof()
    await _within(session.input_ended.wait())
    assert session.asked == {"Detach": False}
    assert session.input == b"stdin"
    session.say(None)


async def test_an_error_before_the_stream_is_an_ordinary_answer(serving):
    client = await (await serving(_routes(Session()))).connect()
    await client.send(UPGRADE.replace(b"/attach", b"/missing") + b"early")
    status, headers = await client.head()
    assert status == 404
    assert b"No such container: x" in await client.body(headers)
    assert await client.rest() == b""


async def test_a_client_that_vanishes_closes_the_session(serving):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    await client.head()
    client.writer.transport.abort()
    await _within(session.input_ended.wait())
    session.say(*[("stdout", b"x" * 65536)] * 20)
    await _within(session.closed.wait())


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("early", [True, False])
async def test_a_client_that_vanishes_from_a_silent_process_is_missed(serving, monkeypatch, listens, early):
    monkeypatch.setattr(hijack, "LOOK", 0.01)
    session = Session(listens=listens)
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE + (b"all of it" if early else b""))
    if early:
        client.writer.write_eof()
    await client.head()
    if not early:
        await client.send(b"all of it")
        client.writer.write_eof()
    if listens:
        await _within(session.input_ended.wait())
    await asyncio.sleep(0.05)  # it is looked at again and again
    assert not session.closed.is_set()
    client.writer.close()
    await _within(session.closed.wait())
    assert session.input == (b"all of it" if listens else b"")


async def test_nothing_is_sent_to_a_client_that_is_gone(serving, caplog):
    session = Session()
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    await client.head()
    client.writer.transport.abort()
    session.say(*[("stdout", b"x")] * 100)
    await _within(session.closed.wait())
    assert "socket.send" not in caplog.text


async def test_much_input_waits_for_the_process(serving):
    session = Session(slow=True)
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    await client.head()
    payload = b"0123456789abcdef" * (1 << 17)

    async def send_all():
        await client.send(payload)
        client.writer.write_eof()

    sender = asyncio.create_task(send_all())
    await asyncio.wait([sender], timeout=0.2)
    assert not sender.done()  # held back by flow control, not buffered here
    session.may_read.set()
    await _within(session.input_ended.wait())
    assert session.input == payload
    await sender
    session.say(None)


async def test_much_output_waits_for_the_client(serving):
    session = Session(tty=True)
    client = await (await serving(_routes(session))).connect()
    await client.send(UPGRADE)
    await client.head()
    piece = bytes(range(256)) * 256
    session.say(*[("stdout", piece)] * 100, None)
    assert await client.rest() == piece * 100


async def test_stopping_the_server_ends_a_stream_soon(serving):
    session = Session()
    place = await serving(_routes(session))
    client = await place.connect()
    await client.send(UPGRADE)
    await client.head()
    assert not session.closed.is_set()
    async with asyncio.timeout(STOP_TIMEOUT):
        await place.stop()
    assert session.closed.is_set()
    assert await client.rest() == b""


@pytest.mark.parametrize(("request_head", "waits"), [(PLAIN, True), (UPGRADE, False)])
async def test_an_ordinary_answers_body_is_heard_when_it_is_read(serving, request_head, waits):
    session = Session()
    place = await serving(_routes(session))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, place.path)
        await loop.sock_sendall(client, request_head)
        await _within(loop.sock_recv(client, 65536))
        session.say(("stdout", b"x"))
        while not _waits(client):
            await asyncio.sleep(0)
        session.say(None)
        await asyncio.sleep(0.1)
        assert session.closed.is_set() != waits
        assert await loop.sock_recv(client, 65536) == b"\1\0\0\0\0\0\0\1x"
        await _within(session.closed.wait())
