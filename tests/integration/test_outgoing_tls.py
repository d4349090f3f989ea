"""Components that ask others by https: by the real shim, of a real server with a CA of its own, and of servers that
speak TLS badly, or do not."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from tests.fakes.authority import Authority
from tests.integration.shim_box import Box, open_box
from tests.integration.wagi_box import serve

NAME = "shop.example.org"
TERMINATED, TIMEOUT, PROTOCOL, CERTIFICATE, ALERT, DENIED = 7, 8, 12, 13, 14, 15
HEADER_SIZE, FIRST_TIMEOUT, CONFIGURATION = 26, 33, 37
"""Error-codes by their places."""
Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.make(tmp_path_factory.mktemp("ca"))
    made.sign("shop", x509.DNSName(NAME))
    made.sign("late", x509.DNSName(NAME), days=-1)
    return made


@pytest.fixture
async def box(guest: Path, compiled: Path, authority: Authority, tmp_path: Path) -> AsyncIterator[Box]:
    """Its image has the CA, and knows where the shop is."""
    async with open_box(guest, compiled, tmp_path) as made:
        bundle = made.folder / "lower/etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True)
        bundle.write_bytes("# Åuthorities\n".encode() + authority["ca.crt"].read_bytes())
        (made.folder / "lower/etc/hosts").write_text(f"127.0.0.1 {NAME} other.example.org\n")
        yield made


def context_of(authority: Authority, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority[f"{name}.crt"], authority[f"{name}.key"])
    return context


@asynccontextmanager
async def listening(say: Say, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that has ``say`` talk with each client, by TLS if it has a context; its port."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(task := asyncio.current_task())  # type: ignore[arg-type]  # this is one
        try:
            await say(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it has left
        finally:
            talks.discard(task)  # type: ignore[arg-type]  # as above
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for task in list(talks):
            task.cancel()


async def shop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """/mirror gives back what it gets, while it gets it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    path = head.split(" ")[1]
    if path == "/mirror":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            piece = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n%b" % (size, piece))
            await writer.drain()
        writer.write(b"0\r\nX-Sum: abc\r\n\r\n")
    elif path == "/large":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(3_000_000))
    elif path == "/header":
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n")
    elif path == "/cut":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew")
        await writer.drain()
        writer.transport.abort()
    elif path == "/vanish":
        writer.transport.abort()
    elif path == "/wait":
        await reader.read()
    else:
        writer.write(b"HTTP/1.1 203 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head.encode()))
    await writer.drain()


async def test_https_streams_both_ways_and_is_told_by_name(box: Box, authority: Authority) -> None:
    handler = await serve(box, kind="")
    async with listening(shop, context_of(authority, "shop")) as port:
        answer = await handler.get(f"/fetchs/{NAME}:{port}/hello?q")
        assert (answer.status, answer.header["x-fetched"]) == (203, "yes")
        assert answer.body.decode().startswith(f"GET /hello?q HTTP/1.1\r\nhost: {NAME}:{port}\r\n")
        data = os.urandom(3_000_000)
        got = await handler.get(f"/fetchs/{NAME}:{port}/mirror", method="POST", body=data[:200_000])
        assert got.body == data[:200_000]
        assert (await handler.get(f"/fetchs/{NAME}:{port}/large")).body == bytes(3_000_000)
        assert (await handler.get(f"/fetchs/{NAME}:{port}/header")).body == b"failed %d" % HEADER_SIZE
        assert (await handler.get(f"/fetchs/{NAME}:{port}/vanish")).body == b"failed %d" % TERMINATED
        assert (await handler.get(f"/hasty/{NAME}:{port}/wait")).body == b"failed %d" % FIRST_TIMEOUT
        cut = f"GET /fetchs/{NAME}:{port}/cut HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        said = await handler.raw(cut.encode())
        assert b"few" in said
    async with listening(shop, context_of(authority, "server")) as port:
        assert (await handler.get(f"/fetchs/127.0.0.1:{port}/")).status == 203


async def test_a_server_has_to_be_who_it_says(box: Box, authority: Authority) -> None:
    handler = await serve(box, kind="")
    for name, asked, why in (
        ("late", NAME, f"the certificate of {NAME} is refused: certificate has expired"),
        ("shop", "other.example.org", "Hostname mismatch"),
        ("shop", "127.0.0.1", "IP address mismatch"),
    ):
        async with listening(shop, context_of(authority, name)) as port:
            assert (await handler.get(f"/fetchs/{asked}:{port}/")).body == b"failed %d" % CERTIFICATE, name
            await handler.logged(why, "err")
    context = context_of(authority, "shop")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority["ca.crt"])
    async with listening(shop, context) as port:
        # How much of it is heard depends on how the server leaves.
        said = (await handler.get(f"/fetchs/{NAME}:{port}/")).body
        assert said in [b"failed %d" % code for code in (ALERT, PROTOCOL, TERMINATED)]


async def test_whose_word_counts_is_the_containers_to_say(box: Box, authority: Authority, tmp_path: Path) -> None:
    lower = box.folder / "lower"
    (lower / "etc/ssl/certs/ca-certificates.crt").unlink()
    (lower / "my.pem").write_bytes(authority["ca.crt"].read_bytes())
    async with listening(shop, context_of(authority, "shop")) as port:
        path = f"/fetchs/{NAME}:{port}/"
        hosts = await serve(box, kind="")
        assert (await hosts.get(path)).body == b"failed %d" % CERTIFICATE
        await hosts.logged("unable to get local issuer certificate", "err")
        named = await serve(box, kind="", process={"env": ["SSL_CERT_FILE=/my.pem"]})
        assert (await named.get(path)).status == 203
        wrong = await serve(box, kind="", process={"env": ["SSL_CERT_FILE=/none.pem"]})
        assert (await wrong.get(path)).body == b"refused %d" % CONFIGURATION
        await wrong.logged("wherry: https: SSL_CERT_FILE=/none.pem: No such file or directory", "err")


async def test_only_hosts_that_are_allowed_are_asked_by_https(box: Box, authority: Authority) -> None:
    handler = await serve(box, kind="", labels={"dev.wherry.http.hosts": f"{NAME}, other.example.org:443"})
    async with listening(shop, context_of(authority, "shop")) as port:
        assert (await handler.get(f"/fetchs/{NAME}:{port}/")).status == 203
        assert (await handler.get(f"/fetchs/other.example.org:{port}/")).body == b"refused %d" % DENIED
        # Port 443, where nobody is.
        assert (await handler.get("/fetchs/other.example.org/")).body == b"failed 6"
        denied = await serve(box, kind="", labels={"dev.wherry.cap-drop": "network"})
        assert (await denied.get(f"/fetchs/{NAME}:{port}/")).body == b"refused %d" % DENIED


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"[:1])
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 5000)
        await writer.drain()


async def alerting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"\x15\x03\x03\x00\x02\x02\x28")
    await writer.drain()


@pytest.mark.parametrize(
    ("say", "codes"),
    [
        (plain, (PROTOCOL,)),
        (leaving, (PROTOCOL, TERMINATED)),
        (silent, (TIMEOUT,)),
        (dripping, (TIMEOUT, PROTOCOL)),
        (endless, (PROTOCOL,)),
        (alerting, (ALERT,)),
    ],
)
async def test_servers_that_speak_no_tls(box: Box, say: Say, codes: tuple[int, ...]) -> None:
    handler = await serve(box, kind="")
    async with listening(say) as port:
        answer = await handler.get(f"/hasty/{NAME}:{port}/")
        assert answer.body in [b"failed %d" % code for code in codes]
    assert (await handler.get("/")).status == 200
