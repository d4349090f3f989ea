"""Clients that say at once that they will send no more, and then read: what dockerd answers them, tried beside it."""

import asyncio

import pytest

from wherry.server.call import answer, begun, done
from wherry.server.errors import Canceled
from wherry.server.heed import attended, watched, worked
from wherry.server.router import Kind, Route

WHOLE = b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}"
GET = b"GET %s HTTP/1.1\r\nHost: d\r\n\r\n"
NOT_WHOLE = "the client closed its side of the connection"


async def _echo(call):
    return answer(await call.json())


async def _slow(call):
    await asyncio.sleep(0.05)  # long after the end was seen
    return done()


async def _forever(*documents):
    for document in documents:
        yield document
    await asyncio.Event().wait()


async def _events(call):
    return await call.lines(watched(call.request.connection, _forever({"n": 1}, {"n": 2})))


async def _build(call):
    messages = _forever({"stream": "1"}) if call.query.flag("tells") else _forever()
    return await call.lines(await begun(worked(call.request.connection, messages)))


async def _reading_build(call):
    async def messages():
        while await call.request.body.read():
            pass
        await asyncio.Event().wait()
        yield {}

    return await call.lines(await begun(worked(call.request.connection, messages())))


async def _archive(call):
    response = await call.stream("application/x-tar")
    for _ in range(40):
        await response.write(b"x" * 65536)
        await asyncio.sleep(0)
    return response


ROUTES = [
    Route("POST", "/echo", _echo),
    Route("POST", "/slow", _slow),
    Route("GET", "/events", _events, Kind.STREAM),
    Route("POST", "/build", _build, Kind.STREAM),
    Route("POST", "/reading-build", _reading_build, Kind.STREAM),
    Route("GET", "/archive", _archive, Kind.STREAM),
]


@pytest.fixture
async def half_closing(serving):
    """A client that sent this and will send no more."""
    place = await serving(ROUTES)

    async def opened(data):
        client = await place.connect()
        await client.send(data)
        client.writer.write_eof()
        return client

    return opened


async def test_a_plain_request_is_answered(half_closing):
    client = await half_closing(WHOLE)
    status, headers = await client.head()
    assert (status, await client.body(headers), await client.rest()) == (200, b"{}\n", b"")


async def test_a_change_that_takes_its_time_is_answered(half_closing):
    client = await half_closing(b"POST /slow HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (await client.head())[0] == 204
    assert await client.rest() == b""


async def test_all_requests_that_came_together_are_answered(half_closing):
    client = await half_closing(WHOLE + b"POST /slow HTTP/1.1\r\nHost: d\r\n\r\n" + GET % b"/events" + WHOLE)
    for status in (200, 204, 200, 200):
        found, headers = await client.head()
        assert found == status
        if status == 200:
            assert await client.body(headers)
    assert await client.rest() == b""


@pytest.mark.parametrize("before", [b"", WHOLE])
async def test_half_a_head_is_refused(half_closing, before):
    client = await half_closing(before + b"POST /ec")
    if before:
        await client.body((await client.head())[1])
    status, headers = await client.head()
    assert (status, NOT_WHOLE in (await client.body(headers)).decode()) == (400, True)
    assert await client.rest() == b""


async def test_nothing_at_all_is_not_answered(half_closing):
    assert await (await half_closing(b"")).rest() == b""
    assert await (await half_closing(b"\r\n")).rest() == b""


@pytest.mark.parametrize(
    "cut",
    [
        b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 20\r\n\r\n{",
        b"POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"POST /reading-build HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nx",
    ],
)
async def test_half_a_body_is_refused(half_closing, cut):
    client = await half_closing(cut)
    status, headers = await client.head()
    assert status == 400
    assert NOT_WHOLE in (await client.body(headers)).decode()
    assert await client.rest() == b""


async def test_a_body_that_nobody_wants_may_be_cut(half_closing):
    client = await half_closing(b"GET /archive HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nx")
    status, headers = await client.head()
    assert (status, len(await client.body(headers))) == (200, 40 * 65536)
    assert await client.rest() == b""


async def test_what_would_last_ends_in_order_with_what_was_there(half_closing):
    client = await half_closing(GET % b"/events")
    _, headers = await client.head()
    assert await client.body(headers) == b'{"n":1}\n{"n":2}\n'
    assert await client.rest() == b""


async def test_what_lasted_ends_when_the_client_says_so_later(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(GET % b"/events")
    await client.head()
    assert (await client.chunk(), await client.chunk()) == (b'{"n":1}\n', b'{"n":2}\n')
    client.writer.write_eof()
    assert await client.chunk() == b""
    assert await client.rest() == b""


async def test_work_for_a_client_tells_that_it_was_given_up(half_closing):
    client = await half_closing(b"POST /build?tells=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    status, headers = await client.head()
    lines = (await client.body(headers)).splitlines()
    assert (status, lines[0]) == (200, b'{"stream":"1"}')
    assert b'"errorDetail":{"message":"context canceled' in lines[1]
    client = await half_closing(b"POST /build HTTP/1.1\r\nHost: d\r\n\r\n")
    status, headers = await client.head()
    assert (status, b"context canceled" in await client.body(headers)) == (400, True)


async def test_work_is_given_up_after_a_body_that_was_whole(half_closing):
    client = await half_closing(b"POST /reading-build HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\nxx")
    status, headers = await client.head()
    assert (status, b"context canceled" in await client.body(headers)) == (400, True)


class _Origin:
    """A connection, as `attended` knows it."""

    on_ended = None
    deserted = False


async def test_what_is_there_already_comes_although_the_client_ended():
    origin = _Origin()
    origin.deserted = True
    future = asyncio.get_running_loop().create_future()
    future.set_result(3)
    assert await attended(origin, future) == 3
    assert origin.on_ended is None


async def test_a_timeout_of_what_is_awaited_is_its_own():
    async def late():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await attended(_Origin(), late())


async def test_what_is_given_up_is_closed():
    closed = []

    async def documents():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    origin = _Origin()
    found = watched(origin, documents())
    assert await anext(found) == 1
    origin.deserted = True
    assert [document async for document in found] == []
    assert closed == [True]
    with pytest.raises(Canceled):
        await anext(worked(origin, _forever()))
