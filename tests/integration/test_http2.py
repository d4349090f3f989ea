"""HTTP/2 of containers that answer HTTP, by the real shim, curl and nghttp2's clients, with TLS and without."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.components import HELLO
from tests.integration.shim_box import Box
from tests.integration.tls_box import TLS, curl, open_tls_box, run, until, url
from tests.integration.wagi_box import Handler, descriptors, serve, workers
from wherry.wire.http2 import PREFACE


@pytest.fixture
async def box(guest: Path, compiled: Path, certificate: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_tls_box(guest, compiled, certificate, tmp_path) as made:
        yield made


PLAIN, SECURE = "http", "https"


async def served(box: Box, certificate: Path, scheme: str) -> tuple[Handler, tuple[str, ...]]:
    """A handler, and how curl asks it by HTTP/2."""
    if scheme == SECURE:
        return await serve(box, kind="", labels=TLS), ("--cacert", f"{certificate}/cert.pem", "--http2")
    return await serve(box, kind=""), ("--http2-prior-knowledge",)


@pytest.mark.parametrize("scheme", [PLAIN, SECURE])
async def test_curl_is_answered_by_http2(box: Box, certificate: Path, scheme: str) -> None:
    handler, how = await served(box, certificate, scheme)
    said = await curl(*how, "-w", "%{http_version} %{http_code}\n", url(handler, "/", scheme))
    assert said == HELLO + b"2 200\n"
    data = os.urandom(3_000_000)
    at = url(handler, "/echo", scheme)
    assert await curl(*how, "--data-binary", "@-", at, data=data) == data
    assert await curl(*how, "-T", "-", at, data=data) == data
    told = (await curl(*how, "-H", "X-Thing: y", "-H", "Cookie: a=b", url(handler, "/headers", scheme))).decode()
    assert f"authority 127.0.0.1:{handler.port}" in told
    assert re.search(r"x-thing[:=] ?y", told)
    assert (await curl(*how, "-I", url(handler, "/", scheme))).startswith(b"HTTP/2 200")
    assert (await curl(*how, "-i", url(handler, "/none", scheme))).startswith(b"HTTP/2 204")
    assert (await curl(*how, "-i", url(handler, "/trailers", scheme))).endswith(b"body\nx-sum: abc\r\n")
    failed = await curl(*how, "-i", url(handler, "/trap", scheme))
    assert failed.startswith(b"HTTP/2 502")
    assert b"connection:" not in failed
    await curl(*how, url(handler, "/late-trap", scheme), code=92)  # its stream is reset
    logged = await handler.logged("/late-trap")
    assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/2\.0" 200 24 [\d.]+ms \w+-1$', logged, re.MULTILINE)
    assert " 499 " not in logged


async def test_100_continue_is_said_before_a_body_is_taken(box: Box, certificate: Path) -> None:
    handler, how = await served(box, certificate, PLAIN)
    said = await curl(*how, "-i", "-H", "Expect: 100-continue", "-d", "words", url(handler, "/echo", PLAIN))
    assert said.startswith(b"HTTP/2 100")
    assert said.endswith(b"words")


async def test_forty_requests_at_once_share_a_connection(box: Box, certificate: Path) -> None:
    handler, how = await served(box, certificate, SECURE)
    many = [word for number in range(40) for word in ("-o", "/dev/null", url(handler, f"/calls?{number}"))]
    told = await curl(*how, "-Z", "-w", "%{num_connects} %{http_version} %{http_code}\n", *many)
    lines = told.decode().split("\n")
    assert (lines.count("0 2 200"), lines.count("1 2 200")) == (39, 1)
    for number in range(0, 39, 13):
        await handler.logged(f'"GET /calls?{number} HTTP/2.0" 200 1 ')


async def test_nghttp2s_clients_are_answered(box: Box, certificate: Path) -> None:
    handler, _ = await served(box, certificate, PLAIN)
    told = (await run("h2load", "-n", "300", "-c", "3", "-m", "40", url(handler, "/", PLAIN))).decode()
    assert "300 succeeded, 0 failed" in told
    told = (await run("nghttp", "-nv", "-m", "5", url(handler, "/trailers", PLAIN))).decode()
    assert told.count("x-sum: abc") == 5
    upgraded = (await run("nghttp", "-nvu", url(handler, "/", PLAIN), code=0)).decode()
    assert "HTTP/1.1 200 OK" in upgraded
    await until(lambda: descriptors(handler.task.pid) < 60 and len(workers(handler.task.pid)) <= 17)


async def test_who_asks_to_upgrade_is_answered_by_what_he_spoke(box: Box, certificate: Path) -> None:
    handler, _ = await served(box, certificate, PLAIN)
    said = await curl("--http2", "-w", "%{http_version}", url(handler, "/", PLAIN))
    assert said == HELLO + b"1.1"


async def test_who_agreed_on_one_version_does_not_speak_the_other(box: Box, certificate: Path) -> None:
    handler, _ = await served(box, certificate, SECURE)
    told = await run(
        "openssl",
        "s_client",
        "-quiet",
        "-alpn",
        "http/1.1",
        "-connect",
        f"127.0.0.1:{handler.port}",
        data=PREFACE + bytes(9),
    )
    assert told.startswith(b"HTTP/1.1 505")


async def test_without_its_modules_it_is_not_spoken_and_all_else_is(
    guest: Path, compiled: Path, certificate: Path, tmp_path: Path
) -> None:
    own = tmp_path / "compiled"
    shutil.copytree(compiled, own)
    own.chmod(0o700)
    for path in own.glob("http2-*.modules"):
        path.write_bytes(b"\0" * 100)
    async with open_tls_box(guest, own, certificate, tmp_path) as made:
        handler, _ = await served(made, certificate, PLAIN)
        try:
            said = await handler.raw(PREFACE)
        except AssertionError:  # by which `raw` says that it was reset
            said = b""
        assert said == b""
        await handler.logged("what speaks HTTP/2 has died", "err")
        assert await curl(url(handler, "/", PLAIN)) == HELLO
        assert len(workers(handler.task.pid)) == 1


async def test_nobody_pays_for_http2_who_does_not_speak_it(box: Box, certificate: Path) -> None:
    handler, how = await served(box, certificate, PLAIN)
    assert await curl(url(handler, "/", PLAIN)) == HELLO
    assert len(workers(handler.task.pid)) == 1
    maps = Path(f"/proc/{handler.task.pid}/status").read_text()
    assert "Threads:\t1\n" in maps
    assert await curl(*how, url(handler, "/", PLAIN)) == HELLO
    assert len(workers(handler.task.pid)) == 2  # the worker, and what speaks HTTP/2
