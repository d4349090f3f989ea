"""A box whose containers answer HTTP by TLS, and clients of the kind that people have."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.shim_box import Box, open_box
from tests.integration.wagi_box import DEADLINE, Handler

TLS = {"dev.wherry.http.cert": "/tls/cert.pem", "dev.wherry.http.key": "/tls/key.pem"}


def make_certificate(folder: Path) -> Path:
    """``folder``, with cert.pem, which signs itself for 127.0.0.1, and its key.pem."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return folder


@asynccontextmanager
async def open_tls_box(guest: Path, compiled: Path, certificate: Path, folder: Path) -> AsyncIterator[Box]:
    """A box whose image has the certificate in /tls."""
    async with open_box(guest, compiled, folder) as made:
        (made.folder / "lower/tls").mkdir()
        for name in ("cert.pem", "key.pem"):
            (made.folder / "lower/tls" / name).write_bytes((certificate / name).read_bytes())
        yield made


async def run(*command: str, data: bytes = b"", code: int = 0) -> bytes:
    """What a program prints that ends with ``code``."""
    made = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, stderr=-1)
    async with asyncio.timeout(DEADLINE):
        out, err = await made.communicate(data)
    assert made.returncode == code, (made.returncode, err, out[:200])
    return out


async def curl(*args: str, data: bytes = b"", code: int = 0) -> bytes:
    return await run("curl", "-sS", "--max-time", "30", *args, data=data, code=code)


def url(handler: Handler, path: str, scheme: str = "https") -> str:
    return f"{scheme}://127.0.0.1:{handler.port}{path}"


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not check():
            await asyncio.sleep(0.02)
