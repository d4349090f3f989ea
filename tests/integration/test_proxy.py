"""Components of wasi:http/proxy by the real shim: what handlers get and give, what bad handlers and bad clients get,
and that nothing of them is left."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.components import HELLO
from tests.integration.http_manners import (
    an_answer_is_cut_short,
    answers_are,
    bad_requests_are_refused,
    early_ends_leave_nothing,
    faults_are_told,
    requests_may_follow_at_once,
    what_was_begun_is_finished,
)
from tests.integration.shim_box import Box
from tests.integration.wagi_box import DEADLINE, parse, serve
from wherry.errors import WherryError


async def test_a_component_answers_of_its_own_accord_and_each_request_has_an_instance(box: Box) -> None:
    handler = await serve(box, kind="")
    answer = await handler.get("/?x=y")
    assert (answer.status, answer.header["content-type"], answer.body) == (200, "text/plain", HELLO)
    assert answer.header["content-length"] == str(len(HELLO))
    assert [(await handler.get("/calls")).body for _ in range(3)] == [b"1"] * 3
    assert re.search(
        r'^127\.0\.0\.1 - - \[.*\] "GET /\?x=y HTTP/1\.1" 200 24 [\d.]+ms \w+-1$',
        await handler.logged("x=y"),
        re.MULTILINE,
    )
    told = (await handler.get("/headers?q", "X-One: 1", "x-one: 2", "Te: trailers", method="POST")).body.decode()
    lines = told.splitlines()
    assert lines[:3] == ["method 2", "authority test:8080", "immutable"]
    assert {"x-one=1", "x-one=2"} <= set(lines)
    assert not [line for line in lines if line.startswith(("host=", "connection=", "te="))]


async def test_bodies_and_trailers_go_both_ways(box: Box) -> None:
    handler = await serve(box, kind="")
    data = os.urandom(300_000)
    for path in ("/echo", "/pour", "/splice"):
        assert (await handler.get(path, method="POST", body=data)).body == data, path
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (data[:1000], data[1000:]))
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse(await handler.raw(head + chunks + b"0\r\n\r\n")).body == data
    assert (await handler.raw(head + b"1\r\nx\r\n0\r\nX-Sum: abc\r\n\r\n")).endswith(b"\r\n0\r\nx-sum: abc\r\n\r\n")
    assert (await handler.raw(b"GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).endswith(
        b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nbody\n\r\n0\r\nx-sum: abc\r\n\r\n"
    )
    assert (await handler.get("/echo", method="HEAD")).body == b""
    assert (await handler.get("/", method="HEAD")).header["content-length"] == str(len(HELLO))
    assert parse(await handler.raw(b"POST /trailers HTTP/1.0\r\n\r\n")).body == b"body\n"


async def test_output_is_streamed_while_the_handler_waits(box: Box) -> None:
    handler = await serve(box, kind="")
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for letter in (b"a", b"b"):
            writer.write(b"1\r\n" + letter + b"\r\n")
            assert await reader.readuntil(letter + b"\r\n") == b"1\r\n" + letter + b"\r\n"
        writer.write(b"0\r\n\r\nGET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        for number in range(3):
            assert (await reader.readuntil(b"event \r\n1\r\n%d\r\n" % number)).count(b"event") == 1
        writer.close()


async def test_connections_are_kept_and_requests_may_follow_at_once(box: Box) -> None:
    await requests_may_follow_at_once(await serve(box, kind=""), HELLO, b"3")


async def test_an_instance_is_used_again_only_if_that_is_asked_for(box: Box) -> None:
    handler = await serve(box, kind="", labels={"dev.wherry.http.reuse": "3", "dev.wherry.http.concurrency": "1"})
    said = [(await handler.get("/calls")).body for _ in range(5)]
    assert said == [b"1", b"2", b"3", b"1", b"2"]
    assert (await handler.get("/trap")).status == 502
    assert (await handler.get("/calls")).body == b"1"


GOOD_HANDLERS = [
    ("/status", 418, b"short and stout\n"),
    ("/none", 204, b""),
    ("/no-body", 200, b""),
    ("/sized", 200, b"sized\n"),
    ("/newline", 200, b"refused\n"),
    ("/bad-status", 200, b"refused\n"),
]


async def test_answers_that_are_good(box: Box) -> None:
    await answers_are(await serve(box, kind="proxy"), GOOD_HANDLERS)


BAD_HANDLERS = [
    ("/trap", 502, "wasm trap: wasm `unreachable` instruction executed"),
    ("/silent", 502, "gave no answer"),
    ("/dropped", 502, "dropped its response-outparam"),
    ("/error", 500, "the error internal-error: my fault"),
    ("/many", 502, "over 256 fields"),
    ("/short", 502, "has 5 bytes of 100"),
    ("/long", 502, "has 0 bytes of 5"),
    ("/twice", 200, "unknown handle index"),
    ("/after-end", 502, "its output-stream is not dropped yet"),
    ("/spin", 504, "it took over"),
    ("/sleep", 504, "it took over"),
]


async def test_bad_handlers_are_told_of_with_their_requests_and_the_next_one_is_served(box: Box) -> None:
    await faults_are_told(await serve(box, kind="", labels={"dev.wherry.http.deadline": "1500ms"}), BAD_HANDLERS, HELLO)


@pytest.mark.parametrize(
    ("path", "log"),
    [("/late-trap", "unreachable"), ("/late-end", "without finishing its body"), ("/late-spin", "cut short")],
)
async def test_an_answer_that_has_begun_is_cut_short_and_never_looks_whole(box: Box, path: str, log: str) -> None:
    await an_answer_is_cut_short(await serve(box, kind="", labels={"dev.wherry.http.deadline": "1500ms"}), path, log)


async def test_clients_that_end_early_leave_nothing(box: Box) -> None:
    await early_ends_leave_nothing(await serve(box, kind=""), "/sleep")


async def test_bad_requests_never_reach_a_handler(box: Box) -> None:
    await bad_requests_are_refused(await serve(box, kind="", labels={"dev.wherry.http.body": "64k"}), "/headers")


async def test_on_sigterm_what_was_begun_is_finished(box: Box) -> None:
    await what_was_begun_is_finished(await serve(box, kind=""), b"\r\n\r\n6")


async def test_what_is_no_handler_is_refused_by_name(box: Box, guest: Path) -> None:
    core = guest.with_name("core.wasm")
    (box.folder / "lower/guest.wasm").write_bytes(core.read_bytes())
    with pytest.raises(WherryError, match="imports wasi:"):
        await serve(box, kind="proxy")
    (box.folder / "lower/guest.wasm").write_bytes(b"\0asm\x01\0\0\0")
    with pytest.raises(WherryError, match="does not answer HTTP"):
        await serve(box, kind="proxy")


ANSWERS = {
    "/length": b"HTTP/1.1 203 OK\r\nContent-Length: 5\r\n\r\nknown",
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-a: b\r\n\r\n",
    "/close": b"HTTP/1.0 200 OK\r\n\r\nuntil it ends",
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/nothing": b"",
    "/garbage": b"garbage\r\n\r\n",
    "/smuggled": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew",
}
FETCHED = [
    ("/length", 203, b"known"),
    ("/chunks", 200, b"abcde"),
    ("/close", 200, b"until it ends"),
    ("/early", 200, b"ok"),
    ("/nothing", 502, b"failed 7"),
    ("/garbage", 502, b"failed 35"),
    ("/smuggled", 502, b"failed 35"),
]
"""What comes of a component's asking; numbers are error-codes' places."""


@pytest.fixture
async def origin() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody to be asked, and what was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        body = b""
        if b"transfer-encoding: chunked" in head:
            while (size := int(await reader.readline(), 16)) or not await reader.readexactly(2):
                body += (await reader.readexactly(size + 2))[:-2]
        asked.append(head + body)
        said = ANSWERS.get(path, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


async def test_a_component_asks_others_and_streams_both_ways(box: Box, origin: tuple[str, list[bytes]]) -> None:
    handler = await serve(box, kind="")
    at, asked = origin
    for path, status, body in FETCHED:
        answer = await handler.get(f"/fetch/{at}{path}")
        assert (answer.status, answer.body) == (status, body), path
    data = os.urandom(200_000)
    assert (await handler.get(f"/fetch/{at}/mirror?q", method="POST", body=data)).body == data
    assert asked[-1].startswith(f"POST /mirror?q HTTP/1.1\r\nhost: {at}\r\n".encode())
    assert asked[-1].endswith(data)
    assert asked[0].startswith(b"GET /length HTTP/1.1\r\n")
    cut = await handler.raw(f"GET /fetch/{at}/short HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert b"few" in cut
    assert (await handler.get("/fetch/127.0.0.1:1/")).body == b"failed 6"
    assert (await handler.get("/fetch/nobody.invalid/")).body == b"refused 1"


async def test_only_hosts_that_are_allowed_are_asked(box: Box, origin: tuple[str, list[bytes]]) -> None:
    at, asked = origin
    handler = await serve(box, kind="", labels={"dev.wherry.http.hosts": f"example.org, {at}"})
    assert (await handler.get(f"/fetch/{at}/length")).body == b"known"
    assert (await handler.get(f"/fetch/localhost:{at.rpartition(':')[2]}/length")).body == b"refused 15"
    denied = await serve(box, kind="", labels={"dev.wherry.cap-drop": "network"})
    assert (await denied.get(f"/fetch/{at}/length")).body == b"refused 15"
    assert len(asked) == 1
