"""The application over a real socket: answers, errors, limits, clients that misbehave."""

import asyncio
import contextlib

import pytest

from wherry.errors import Conflict, DataLoss, NotFound, NotModified
from wherry.server import body, connection
from wherry.server.call import answer, done
from wherry.server.response import PlainResponse
from wherry.server.router import Kind, Route


def _raising(error):
    async def handler(call):
        raise error

    return handler


async def _echo(call):
    return answer({"body": await call.json(), "version": str(call.version), "ref": call.parameters.get("ref")})


async def _empty(call):
    return done()


ROUTES = [
    Route("POST", "/echo", _echo),
    Route("POST", "/echo/{ref}/x", _echo),
    Route("GET", "/missing", _raising(NotFound("No such thing: x"))),
    Route("GET", "/taken", _raising(Conflict("in\nuse"))),
    Route("POST", "/same", _raising(NotModified("it runs already"))),
    Route("GET", "/rotten", _raising(DataLoss("sha256:00 is corrupt"))),
    Route("GET", "/fault", _raising(KeyError("secret"))),
    Route("DELETE", "/gone", _empty),
]


async def test_an_answer_carries_the_apis_headers(serving):
    place = await serving(ROUTES)
    found = await place.ask("POST", "/v1.41/echo/a/x", {"k": "v"})
    assert found.status == 200
    assert found.json() == {"body": {"k": "v"}, "version": "1.41", "ref": "a"}
    assert found.headers["api-version"] == "1.51"
    assert found.headers["ostype"] == "linux"
    assert found.headers["docker-experimental"] == "false"
    assert found.headers["server"].startswith("Wherry/")
    assert found.headers["content-type"] == "application/json"


async def test_one_connection_serves_many_requests(serving):
    client = await (await serving(ROUTES)).connect()
    for number in range(5):
        assert (await client.ask("POST", "/echo", {"n": number})).json()["body"] == {"n": number}
    assert (await client.ask("DELETE", "/gone")).status == 204
    assert (await client.ask("GET", "/missing")).status == 404
    assert (await client.ask("POST", "/echo", {})).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/missing", 404, "No such thing: x"),
        ("GET", "/taken", 409, "in use"),
        ("GET", "/rotten", 500, "sha256:00 is corrupt"),
        ("GET", "/nothing", 404, "page not found"),
        ("GET", "/echo", 405, "method GET is not allowed on /echo"),
        ("GET", "/../etc/passwd", 404, "page not found"),
        ("GET", "/echo/%2e%2e/x", 404, "page not found"),
        ("GET", "/mis%00sing", 400, "invalid path: it has a NUL character"),
        ("GET", "/v1.99/missing", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"),
    ],
)
async def test_errors_are_one_line_of_json(serving, method, path, status, message):
    found = await (await serving(ROUTES)).ask(method, path)
    assert (found.status, found.json()) == (status, {"message": message})


async def test_not_modified_has_no_body(serving):
    client = await (await serving(ROUTES)).connect()
    assert (await client.ask("POST", "/same")).status == 304
    assert (await client.ask("GET", "/missing")).status == 404


async def test_a_fault_tells_the_client_nothing_of_the_inside(serving, caplog):
    found = await (await serving(ROUTES)).ask("GET", "/fault")
    assert found.status == 500
    assert "secret" not in found.json()["message"]
    assert "request 1" in found.json()["message"]
    assert "KeyError" in caplog.text


async def test_bodies_of_nonsense_are_refused(serving):
    place = await serving(ROUTES)
    found = await place.ask("POST", "/echo", body=b"nonsense{")
    assert found.status == 400
    assert found.json()["message"].startswith("invalid JSON")


async def test_a_body_of_100_megabytes_is_refused_unread(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 104857600\r\n\r\n" + b"x" * 65536)
    status, headers = await client.head()
    assert status == 413
    assert b"request body too large" in await client.body(headers)


async def test_a_chunked_body_without_end_is_refused_at_the_limit(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n")
    part = b"10000\r\n" + b" " * 65536 + b"\r\n"

    async def flood():
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await client.send(part)

    sender = asyncio.create_task(flood())
    status, _ = await client.head()
    assert status == 413
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_what_is_no_http_gets_a_json_answer_and_the_door(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"\x16\x03\x01 hello\r\n\r\n")
    status, headers = await client.head()
    assert status == 400
    assert headers["content-type"].startswith("application/json")
    assert (await client.body(headers)).startswith(b'{"message": "bad request')
    assert await client.rest() == b""


async def test_headers_without_end_are_refused(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"GET /missing HTTP/1.1\r\nHost: d\r\n")
    with contextlib.suppress(ConnectionError):
        for number in range(300):
            await client.send(b"X-Header-%d: %s\r\n" % (number, b"y" * 2000))
    status, _ = await client.head()
    assert status == 431


async def test_half_a_head_is_cut_off(serving, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.05)
    client = await (await serving(ROUTES)).connect()
    await client.send(b"GET /miss")
    assert await client.rest() == b""


async def test_half_a_body_is_answered_and_cut_off(serving, monkeypatch):
    monkeypatch.setattr(body, "STALL_TIMEOUT", 0.05)
    monkeypatch.setattr(connection, "LINGER", 0.05)
    client = await (await serving(ROUTES)).connect()
    await client.send(b'POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{"a"')
    status, headers = await client.head()
    assert status == 408
    assert b"stopped coming" in await client.body(headers)
    assert await client.rest() == b""


async def test_a_body_that_drips_is_given_up(serving, monkeypatch):
    monkeypatch.setattr(body, "WHOLE_TIMEOUT", 0.2)

    async def read(call):
        return answer(await call.json())

    client = await (await serving([Route("POST", "/read", read)])).connect()
    await client.send(b"POST /read HTTP/1.1\r\nHost: d\r\nContent-Length: 1000\r\n\r\n")

    async def drip():
        while True:
            await client.send(b" ")
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(5):
        status, headers = await client.head()
    dripping.cancel()
    assert status == 408
    assert b"was not whole after 0.2 seconds" in await client.body(headers)


async def test_a_client_that_hangs_up_in_its_body_harms_nobody(serving):
    place = await serving(ROUTES)
    client = await place.connect()
    await client.send(b'POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{"a"')
    client.writer.close()
    assert (await place.ask("GET", "/missing")).status == 404


async def test_a_streaming_handler_ends_with_its_client_and_a_change_does_not(serving):
    told = asyncio.Queue()
    begun = asyncio.Queue()
    proceed = asyncio.Event()

    async def stream(call):
        response = await call.stream("application/json")
        await begun.put("stream")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await told.put("cancelled")
            raise
        return response

    async def change(call):
        await begun.put("change")
        await proceed.wait()
        await told.put("done")
        return done()

    place = await serving([Route("GET", "/stream", stream, Kind.STREAM), Route("POST", "/change", change)])
    for method, path in (("GET", "/stream"), ("POST", "/change")):
        client = await place.connect()
        await client.send(f"{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert await begun.get() == path[1:]
        client.writer.close()
        proceed.set()
    async with asyncio.timeout(5):
        assert {await told.get(), await told.get()} == {"cancelled", "done"}


async def test_the_head_of_a_stream_is_sent_before_its_first_line(serving):
    release = asyncio.Event()

    async def documents():
        await release.wait()
        yield {"StatusCode": 3}

    async def wait(call):
        return await call.lines(documents())

    client = await (await serving([Route("POST", "/wait", wait, Kind.STREAM)])).connect()
    await client.send(b"POST /wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n")
    status, headers = await client.head()
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    release.set()
    assert await client.chunk() == b'{"StatusCode":3}\n'
    assert await client.chunk() == b""


async def test_a_stream_that_breaks_ends_the_connection_without_a_second_answer(serving):
    async def documents():
        yield {"a": 1}
        raise NotFound("gone meanwhile")

    async def broken(call):
        return await call.lines(documents())

    client = await (await serving([Route("GET", "/x", broken, Kind.STREAM)])).connect()
    await client.send(b"GET /x HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (await client.head())[0] == 200
    assert await client.chunk() == b'{"a":1}\n'
    assert b"gone meanwhile" not in await client.rest()


async def test_old_http_gets_streams_that_end_with_the_connection(serving):
    async def documents():
        yield {"a": 1}

    async def lines(call):
        return await call.lines(documents())

    client = await (await serving([Route("GET", "/x", lines, Kind.STREAM)])).connect()
    await client.send(b"GET /x HTTP/1.0\r\n\r\n")
    assert (await client.head())[0] == 200
    assert await client.rest() == b'{"a":1}\n'


async def test_text_that_is_not_utf8_is_sent_as_good_as_it_gets(serving):
    async def odd(call):
        return answer({"a": "x\udcffy"})

    found = await (await serving([Route("GET", "/x", odd)])).ask("GET", "/x")
    assert found.json() == {"a": "x?y"}


async def test_head_has_no_body(serving):
    async def ping(call):
        return PlainResponse(200, {"Content-Type": "text/plain"}, b"OK")

    client = await (await serving([Route("HEAD", "/_ping", ping), *ROUTES])).connect()
    assert (await client.ask("HEAD", "/_ping")).status == 200
    assert (await client.ask("GET", "/missing")).status == 404


async def test_an_upgrade_that_is_not_wanted_is_answered_and_the_connection_closed(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(
        b"GET /missing HTTP/1.1\r\nHost: d\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    )
    status, headers = await client.head()
    assert status == 404
    assert b"No such thing" in await client.body(headers)
    assert await client.rest() == b""


async def test_a_long_query_is_taken_and_an_endless_one_is_not(serving):
    place = await serving(ROUTES)
    assert (await place.ask("POST", "/echo?x=" + "y" * 200_000, {})).status == 200
    client = await place.connect()
    with contextlib.suppress(ConnectionError):
        await client.send(b"POST /echo?x=" + b"y" * 400_000 + b" HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (await client.head())[0] == 414


async def test_a_client_that_asks_first_is_told_to_send_its_body(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"POST /echo HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (await client.head())[0] == 100
    await client.send(b"{}")
    assert (await client.head())[0] == 200


async def test_a_client_that_asks_in_vain_is_not_waited_for(serving):
    client = await (await serving(ROUTES)).connect()
    await client.send(b"POST /nothing HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    status, headers = await client.head()
    assert status == 404
    await client.body(headers)
    assert await client.rest() == b""


async def test_requests_may_come_before_their_turn(serving):
    client = await (await serving(ROUTES)).connect()
    one = b'POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 8\r\n\r\n{"n": %d}'
    unread = b"GET /missing HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc"
    await client.send(b"".join((one % 1, unread, one % 2, b"GET /missing HTTP/1.1\r\nHost: d\r\n")))
    for status in (200, 404, 200):
        found, headers = await client.head()
        assert (found, await client.body(headers) != b"") == (status, True)
    await client.send(b"\r\n")
    assert (await client.head())[0] == 404


async def test_what_others_said_adds_no_header(serving):
    async def odd(call):
        return PlainResponse(200, {"Content-Type": "a/b\r\nX-Evil: 1"}, b"x")

    found = await (await serving([Route("GET", "/x", odd)])).ask("GET", "/x")
    assert found.headers["content-type"] == "a/b X-Evil: 1"
    assert "x-evil" not in found.headers


async def test_a_client_that_does_not_read_holds_its_answer_up(serving):
    sent = []

    async def endless(call):
        response = await call.stream("application/octet-stream")
        while True:
            await response.write(b"x" * 65536)
            sent.append(1)

    client = await (await serving([Route("GET", "/x", endless, Kind.STREAM)])).connect()
    client.writer.transport.pause_reading()
    await client.send(b"GET /x HTTP/1.1\r\nHost: d\r\n\r\n")
    before = -1
    while len(sent) != before:
        before = len(sent)
        await asyncio.sleep(0.1)
    assert 0 < before < 100
    client.writer.transport.resume_reading()
    assert (await client.head())[0] == 200


async def test_connections_that_nobody_uses_are_closed(serving, monkeypatch):
    monkeypatch.setattr(connection, "_SWEEP", 0.05)
    monkeypatch.setattr(connection, "IDLE_TIMEOUT", 0.1)
    proceed = asyncio.Event()

    async def slow(call):
        await proceed.wait()
        return done()

    place = await serving([Route("GET", "/slow", slow), *ROUTES])
    idle, busy = await place.connect(), await place.connect()
    await busy.send(b"GET /slow HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (await idle.ask("GET", "/missing")).status == 404
    assert await idle.rest() == b""
    proceed.set()
    assert (await busy.head())[0] == 204
