"""Pushing a blob: mounted from another repository, or sent at once when it is small, or in chunks that can be resumed.

Source: distribution-spec v1.1.0, "Pushing blobs".
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote, urljoin

import aiohttp

from wherry.core.remotes import backoff
from wherry.core.remotes.http import Origin, Request, same_origin
from wherry.core.remotes.remote import Progress, Source
from wherry.errors import Unavailable
from wherry.oci.descriptor import Descriptor

CHUNK = 16 << 20
"""Bytes of one PATCH; blobs up to this size are sent by one PUT."""
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """A session the registry opened: ``url`` for the next request, ``chunk`` the bytes it wants at least."""

    url: str
    chunk: int = CHUNK


async def begin(origin: Origin, path: str, blob: Descriptor, scopes: Sequence[str], mount: str) -> Upload | None:
    """Open an upload. None: the registry took the blob from its repository ``mount``, and all is done."""
    target = f"/v2/{path}/blobs/uploads/"
    expected = frozenset({202})
    if mount:
        target += f"?mount={quote(blob.digest, safe='')}&from={quote(mount, safe='')}"
        expected |= {201}
    request = Request("POST", target, tuple(scopes), length=0, body=b"", expected=expected)
    async with origin.request(request) as response:
        if response.status == 201:
            return None
        return await _session(origin, response)


async def _session(origin: Origin, response: aiohttp.ClientResponse) -> Upload:
    base = await origin.base()
    location = response.headers.get("Location", "")
    url = urljoin(str(response.url), location)
    if not location or not url.startswith(("http://", "https://")):
        raise Unavailable(f"the registry gave no place to upload to: {location[:200]!r}")
    if base.startswith("https://") and url.startswith("http://") and url.split("/")[2] == base.split("/")[2]:
        url = f"https://{url.removeprefix('http://')}"  # registries behind a TLS proxy do not know that they are
    if base.startswith("https://") and not same_origin(url, base) and not url.startswith("https://"):
        raise Unavailable(f"refusing to upload without TLS to {url[:200]}")
    least = response.headers.get("OCI-Chunk-Min-Length", "")
    return Upload(url, max(CHUNK, int(least[:12])) if least.isascii() and least.isdigit() else CHUNK)


async def send(
    origin: Origin, upload: Upload, blob: Descriptor, source: Source, scopes: Sequence[str], progress: Progress
) -> None:
    """Send the blob and close the upload."""
    if blob.size <= upload.chunk:
        await _put(origin, upload, blob, lambda: _told(source(0), 0, blob.size, progress), blob.size, scopes)
        return
    done, most, failures = 0, 0, 0
    while done < blob.size:
        failures += 1  # unless this one brings more than any before
        try:
            upload, done = await _patch(origin, upload, blob, done, source, scopes, progress)
        except Unavailable:
            if failures >= backoff.ATTEMPTS:
                raise
            upload, done = await _status(origin, upload, scopes)
        if done > most:
            most, failures = done, 0
        elif failures >= backoff.ATTEMPTS:
            raise Unavailable(f"the registry takes no more than {most} of {blob.size} bytes of {blob.digest}")
        progress(done)
    await _put(origin, upload, blob, None, 0, scopes)


async def _patch(
    origin: Origin,
    upload: Upload,
    blob: Descriptor,
    offset: int,
    source: Source,
    scopes: Sequence[str],
    progress: Progress,
) -> tuple[Upload, int]:
    """Send one chunk; where to send the next, and from which byte on."""
    length = min(upload.chunk, blob.size - offset)
    request = Request(
        "PATCH",
        upload.url,
        tuple(scopes),
        {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{offset + length - 1}"},
        lambda: _told(source(offset), offset, length, progress),
        length,
        expected=frozenset({202}),
        attempts=1,  # another attempt begins by asking how far this one came
    )
    async with origin.request(request) as response:
        return await _session(origin, response), _received(response, offset + length)


async def _status(origin: Origin, upload: Upload, scopes: Sequence[str]) -> tuple[Upload, int]:
    """Where to go on after a chunk that failed."""
    request = Request("GET", upload.url, tuple(scopes), expected=frozenset({204, 202}))
    async with origin.request(request) as response:
        if not response.headers.get("Location"):
            return upload, _received(response, 0)
        return await _session(origin, response), _received(response, 0)


def _received(response: aiohttp.ClientResponse, default: int) -> int:
    """How many bytes the registry has; Range counts the last of them, so that 0-0 is one or none."""
    match = _RANGE.fullmatch(response.headers.get("Range", ""))
    last = int(match[1]) if match else 0
    return last + 1 if last else default


async def _put(
    origin: Origin,
    upload: Upload,
    blob: Descriptor,
    body: Callable[[], AsyncGenerator[bytes, None]] | None,
    length: int,
    scopes: Sequence[str],
) -> None:
    """Close the upload, with the blob's bytes if ``body`` makes them."""
    url = f"{upload.url}{'&' if '?' in upload.url else '?'}digest={quote(blob.digest, safe='')}"
    request = Request(
        "PUT",
        url,
        tuple(scopes),
        {"Content-Type": "application/octet-stream"},
        body or b"",
        length,
        expected=frozenset({201, 204}),
    )
    async with origin.request(request):
        pass


async def _told(
    data: AsyncGenerator[bytes, None], offset: int, length: int, progress: Progress
) -> AsyncGenerator[bytes, None]:
    """``length`` bytes of ``data``, counted."""
    end = offset + length
    async with aclosing(data):
        async for piece in data:
            wanted = piece[: end - offset]
            offset += len(wanted)
            if wanted:
                yield wanted
                progress(offset)
            if offset >= end:
                return
