"""TLS of containers that answer HTTP, by the real shim and curl; and clients that speak none, or say only half."""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.components import DATA, HELLO
from tests.integration.shim_box import Box
from tests.integration.tls_box import TLS, curl, open_tls_box, until, url
from tests.integration.wagi_box import DEADLINE, Handler, descriptors, serve
from tests.zig import compile_wasm
from wherry.errors import WherryError


@pytest.fixture
async def box(guest: Path, compiled: Path, certificate: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_tls_box(guest, compiled, certificate, tmp_path) as made:
        yield made


async def test_a_certificate_has_clients_speak_tls(box: Box, certificate: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    trust = ("--cacert", f"{certificate}/cert.pem", "--http1.1")
    assert await curl(*trust, url(handler, "/"), url(handler, "/?again")) == HELLO * 2
    data = os.urandom(3_000_000)
    assert await curl(*trust, "--data-binary", "@-", url(handler, "/echo"), data=data) == data
    logged = await handler.logged("/echo")
    assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 24 [\d.]+ms \w+-1$', logged, re.MULTILINE)
    told = (await curl(*trust, url(handler, "/headers"))).decode()
    assert f"authority 127.0.0.1:{handler.port}" in told


async def test_who_speaks_no_tls_is_told_of_in_the_log(box: Box, certificate: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    assert b"HTTP" not in await handler.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await handler.logged("127.0.0.1 does not speak TLS: HTTP_REQUEST", "err")
    assert await handler.raw(b"\x16\x03\x01\xff\xff" + b"\x00" * 70_000) is not None
    assert await curl("--cacert", f"{certificate}/cert.pem", url(handler, "/")) == HELLO


async def test_drain_lets_end_what_was_begun_by_tls(box: Box, certificate: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    context = ssl.create_default_context(cafile=f"{certificate}/cert.pem")
    async with asyncio.timeout(DEADLINE):
        idle = await asyncio.open_connection("127.0.0.1", handler.port, ssl=context)
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port, ssl=context)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await handler.task.kill(15)
        assert await idle[0].read() == b""
        writer.write(b"bc")
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        assert (await handler.task.wait()).code == 0
        writer.close()
        idle[1].close()


async def half_closed(handler: Handler, request: bytes, *, minimum: ssl.TLSVersion) -> bytes:
    """The answer to a client that says by TLS that it has said all, and reads on."""
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = minimum
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing)
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port)

        async def step(call):
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    data = await reader.read(65536)
                    incoming.write(data) if data else incoming.write_eof()

        await step(session.do_handshake)
        session.write(request)
        with pytest.raises(ssl.SSLWantReadError):  # close_notify is on its way now, and theirs not here
            session.unwrap()
        writer.write(outgoing.read())
        writer.write_eof()
        data = await reader.read()
        writer.close()
    incoming.write(data)
    found = b""
    while True:
        try:
            piece = session.read(65536)
        except (ssl.SSLZeroReturnError, ssl.SSLWantReadError):
            return found
        if not piece:
            return found
        found += piece


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_has_said_all_by_tls_gets_the_whole_answer(box: Box, version: ssl.TLSVersion) -> None:
    handler = await serve(box, kind="", labels=TLS)
    body = os.urandom(200_000)
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = await half_closed(handler, request, minimum=version)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"0\r\n\r\n")
    assert len(answer) > len(body)
    await until(lambda: descriptors(handler.task.pid) <= 18)
    assert b" 499 " not in handler.out


@pytest.fixture(scope="module")
def wagi_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_wasm(DATA / "wagi_guest.c", tmp_path_factory.mktemp("wagi") / "guest.wasm", "-DROUTES")


async def test_modules_by_cgi_are_asked_by_tls_too(
    wagi_guest: Path, compiled: Path, certificate: Path, tmp_path: Path
) -> None:
    trust = ("--cacert", f"{certificate}/cert.pem")
    async with open_tls_box(wagi_guest, compiled, certificate, tmp_path) as box:
        handler = await serve(box, labels=TLS)
        told = (await curl(*trust, "--http1.1", url(handler, "/env?a"))).decode().splitlines()
        assert {f"X_FULL_URL=https://127.0.0.1:{handler.port}/env?a", "SERVER_PROTOCOL=HTTP/1.1"} <= set(told)
        told = (await curl(*trust, "--http2", url(handler, "/env?a"))).decode().splitlines()
        assert {f"X_FULL_URL=https://127.0.0.1:{handler.port}/env?a", "SERVER_PROTOCOL=HTTP/2.0"} <= set(told)
        data = os.urandom(2_000_000)
        for version in ("--http1.1", "--http2"):
            assert await curl(*trust, version, "--data-binary", "@-", url(handler, "/echo"), data=data) == data
            assert await curl(*trust, version, url(handler, "/deep/in")) == b"Hello from WAGI!\n"
            failed = await curl(*trust, version, "-o", "/dev/null", "-w", "%{http_code}", url(handler, "/trap"))
            assert failed == b"502"


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"dev.wherry.http.cert": "tls/cert.pem"}, "a path in the container is wanted"),
        ({"dev.wherry.http.key": "/tls/key.pem"}, "without dev.wherry.http.cert"),
        ({"dev.wherry.http.cert": "/none.pem"}, "no certificate or key /none.pem: No such file"),
        ({"dev.wherry.http.cert": "/tls"}, "/tls is no certificate or key"),
        ({"dev.wherry.http.cert": "/tls/cert.pem"}, "can't be used"),
        ({"dev.wherry.http.cert": "/guest.wasm"}, "can't be used"),
    ],
)
async def test_wrong_labels_are_refused_before_the_start(box: Box, labels: dict[str, str], why: str) -> None:
    with pytest.raises(WherryError, match=re.escape(why)):
        await serve(box, kind="", labels=labels)
