"""Blobs between a registry and the content store: verified as they are stored, read again for each attempt."""

import contextlib
from collections.abc import AsyncGenerator

from wherry.core.content.store import ContentStore, Ingest
from wherry.core.remotes.remote import Document, Progress, Repository, Source
from wherry.core.threads import blocking
from wherry.errors import DataLoss, NotFound, ResourceExhausted
from wherry.oci.descriptor import Descriptor

_PIECE = 1 << 20
_TRIES = 2
"""A blob that arrives damaged is fetched once more, whole: a proxy's cache may be at fault, or one bit."""


def has(content: ContentStore, blob: Descriptor) -> bool:
    """Whether the store has it, in that size. Blocks."""
    try:
        return content.info(blob.digest).size == blob.size
    except NotFound:
        return False


async def fetch(
    repository: Repository, blob: Descriptor, content: ContentStore, progress: Progress, *, replace: bool = False
) -> None:
    """Fetch ``blob`` into the store, with ``replace`` in place of a damaged one; else it lasts once a document was kept
    after it. DataLoss: what comes is not it; then nothing is stored."""
    for attempt in range(1, _TRIES + 1):
        try:
            await _fetch(repository, blob, content, progress, replace)
            return
        except (DataLoss, ResourceExhausted) as error:
            if isinstance(error, ResourceExhausted) and "announced" not in str(error):
                raise  # the disk's fault, not the registry's
            if attempt == _TRIES:
                raise DataLoss(f"the registry sends something else than it says: {error}") from None


async def _fetch(
    repository: Repository, blob: Descriptor, content: ContentStore, progress: Progress, replace: bool
) -> None:
    ingests: list[Ingest] = []

    def begin() -> Ingest:
        ingests.append(content.ingest(expected=blob.digest, size=blob.size, replace=replace))
        return ingests[0]

    try:
        ingest = await blocking(begin)
        waiting: list[bytes] = []
        size = 0
        async with contextlib.aclosing(repository.fetch(blob)) as pieces:
            async for piece in pieces:
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    await blocking(_write, ingest, waiting)
                    waiting, size = [], 0
                    progress(ingest.offset)
        await blocking(_commit, ingest, waiting, replace)
        progress(blob.size)
    finally:
        for begun in ingests:
            begun.__exit__(None, None, None)


def _write(ingest: Ingest, pieces: list[bytes]) -> None:
    for piece in pieces:
        ingest.write(piece)


def _commit(ingest: Ingest, pieces: list[bytes], lasting: bool) -> None:
    _write(ingest, pieces)
    ingest.commit(lasting=lasting)


async def keep(document: Document, content: ContentStore, *, replace: bool = False) -> None:
    """Store a manifest or index, in place of a damaged one with ``replace``."""
    await blocking(_keep, document, content, replace)


def _keep(document: Document, content: ContentStore, replace: bool) -> None:
    with staged(document, content, replace=replace) as ingest:
        ingest.commit()


def staged(document: Document, content: ContentStore, *, replace: bool = False) -> Ingest:
    """A manifest or index that is durable, and not to be seen before it is committed. Blocks."""
    blob = document.descriptor
    with contextlib.ExitStack() as stack:
        ingest = stack.enter_context(content.ingest(expected=blob.digest, size=blob.size, replace=replace))
        ingest.write(document.data)
        ingest.settle()
        stack.pop_all()
        return ingest


def stored(content: ContentStore, blob: Descriptor) -> Source:
    """The blob as `Repository.push` reads it; verified each time it is read to its end."""

    async def read(offset: int) -> AsyncGenerator[bytes, None]:
        reader = await blocking(content.open, blob.digest)
        try:
            while offset:
                skipped = await blocking(reader.read, min(offset, _PIECE))
                if not skipped:
                    raise DataLoss(f"content {blob.digest} is shorter than {blob.size} bytes")
                offset -= len(skipped)
            while data := await blocking(reader.read, _PIECE):
                yield data
        finally:
            reader.close()

    return read
