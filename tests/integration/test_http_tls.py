"""TLS of containers that answer HTTP, by the real shim and curl; and clients that speak none."""

import asyncio
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.components import DATA, componentize_proxy
from tests.integration.shim_box import Box, open_box
from tests.integration.wagi_box import DEADLINE, Handler, serve
from tests.zig import compile_wasm
from wherry.errors import WherryError

HELLO = b"Hello from a component!\n"
BARE = ("-Os", "-s", "-nostdlib", "-fno-builtin", "-Wl,--no-entry")
TLS = {"dev.wherry.http.cert": "/tls/cert.pem", "dev.wherry.http.key": "/tls/key.pem"}


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy")
    return componentize_proxy(
        compile_wasm(DATA / "proxy_guest.c", folder / "core.wasm", *BARE), folder / "component.wasm"
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of its own signing for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return folder


@pytest.fixture
async def box(guest: Path, compiled: Path, authority: Path, tmp_path: Path) -> AsyncIterator[Box]:
    async with open_box(guest, compiled, tmp_path) as made:
        (made.folder / "lower/tls").mkdir()
        for name in ("cert.pem", "key.pem"):
            (made.folder / "lower/tls" / name).write_bytes((authority / name).read_bytes())
        yield made


async def curl(*args: str, data: bytes = b"") -> bytes:
    made = await asyncio.create_subprocess_exec("curl", "-s", "--max-time", "30", *args, stdin=-1, stdout=-1, stderr=-1)
    out, err = await made.communicate(data)
    assert made.returncode == 0, (made.returncode, err, out[:200])
    return out


def url(handler: Handler, path: str, scheme: str = "https") -> str:
    return f"{scheme}://127.0.0.1:{handler.port}{path}"


async def test_a_certificate_has_clients_speak_tls(box: Box, authority: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    trust = ("--cacert", f"{authority}/cert.pem", "--http1.1")
    assert await curl(*trust, url(handler, "/"), url(handler, "/?again")) == HELLO * 2
    data = os.urandom(3_000_000)
    assert await curl(*trust, "--data-binary", "@-", url(handler, "/echo"), data=data) == data
    logged = await handler.logged("/echo")
    assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 24 [\d.]+ms \w+-1$', logged, re.MULTILINE)
    told = (await curl(*trust, url(handler, "/headers"))).decode()
    assert f"authority 127.0.0.1:{handler.port}" in told


async def test_who_speaks_no_tls_is_told_of_in_the_log(box: Box, authority: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    assert b"HTTP" not in await handler.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await handler.logged("127.0.0.1 does not speak TLS: HTTP_REQUEST", "err")
    assert await handler.raw(b"\x16\x03\x01\xff\xff" + b"\x00" * 70_000) is not None
    assert await curl("--cacert", f"{authority}/cert.pem", url(handler, "/")) == HELLO


async def test_drain_lets_end_what_was_begun_by_tls(box: Box, authority: Path) -> None:
    handler = await serve(box, kind="", labels=TLS)
    context = ssl.create_default_context(cafile=f"{authority}/cert.pem")
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
