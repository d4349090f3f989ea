"""The HTTP health check: its label, and servers that answer, that do not, and that answer nonsense."""

import asyncio
from typing import Any

import pytest

from wherry.engine.containers.httpcheck import LABEL, HttpTarget, ask, target_of
from wherry.errors import InvalidArgument


def config(label: str, *exposed: str) -> dict[str, Any]:
    return {"Labels": {LABEL: label}, "ExposedPorts": {port: {} for port in exposed}}


def test_where_it_is_asked() -> None:
    assert target_of({"Labels": None}, {}) is None
    assert target_of(config(":8080/well?x=1"), {}) == HttpTarget(8080, "/well?x=1")
    assert target_of(config("/", "9000/tcp", "53/udp", "8000/tcp"), {}) == HttpTarget(8000, "/")
    assert target_of(config("/", "80/tcp"), {"PortBindings": {"8081/tcp": []}}) == HttpTarget(8081, "/")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("/", "no TCP port is published or exposed"),
        ("", "/path or :PORT/path"),
        ("well", "/path or :PORT/path"),
        ("http://elsewhere/", "/path or :PORT/path"),
        ("/a b", "/path or :PORT/path"),
        ("/\r\nHost: x", "/path or :PORT/path"),
        (":0/", "ports go from 1"),
        (":70000/", "ports go from 1"),
        ("/" + "a" * 3000, "/path or :PORT/path"),
    ],
)
def test_labels_that_are_refused(label: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        target_of(config(label, "53/udp"), {})


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, "/well: 200 OK"),
        (b"HTTP/1.0 302 Found\r\n", 0, "302 Found"),
        (b"HTTP/1.1 204\r\n", 0, "204"),
        (b"HTTP/1.1 404 Not Found\r\n", 1, "404 Not Found"),
        (b"HTTP/1.1 503 \r\n", 1, "503"),
        (b"SSH-2.0-x\r\n", 1, "no HTTP"),
        (b"", 1, "no HTTP"),
        (b"HTTP/1.1 200" + b"0" * 10, 1, "no HTTP"),
        (b"x" * 100_000, 1, "limit"),
    ],
)
async def test_answers(said: bytes, code: int, words: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /well HTTP/1.1\r\nHost: 127.0.0.1:")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found, output = await ask("127.0.0.1", HttpTarget(port, "/well"))
    assert (found, words in output, "\n" in output) == (code, True, False), output
    gone, output = await ask("127.0.0.1", HttpTarget(port, "/well"))
    assert gone == 1
    assert output.endswith("/well: connection refused")
