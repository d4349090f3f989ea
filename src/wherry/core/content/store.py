"""The content store's contract: blobs by digest. Drivers lie beside this file; none is named here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A committed blob: ``size`` in bytes, ``created`` in seconds since the epoch."""

    digest: Digest
    size: int
    created: float


class Ingest(Protocol):
    """A blob on its way in. Write bytes, then commit once; leaving the ``with`` block uncommitted drops it.

    Nothing is visible in the store before `commit` returns; a process killed at any point leaves only a temporary
    file, which the store removes when it is next opened.
    """

    @property
    def offset(self) -> int:
        """Bytes taken so far."""

    def write(self, data: bytes) -> None:
        """Take the next bytes. ResourceExhausted when the disk is full or the expected size is exceeded."""

    def settle(self) -> None:
        """Make durable what was written, ahead of `commit`, which then has less to wait for."""

    def commit(self, *, lasting: bool = True) -> BlobInfo:
        """Make the blob durable (fsync, rename, fsync of the folder) and visible. Not ``lasting``: a power cut may take
        it, whole, until any other blob's commit returns that is; for those that another one follows.

        DataLoss if digest or size are not the expected ones. A blob that exists already is no error.
        """

    def __enter__(self) -> "Ingest": ...
    def __exit__(self, *_: object) -> None: ...


class ContentStore(Protocol):
    """Immutable blobs by digest. All calls block (run them in a thread from async code) and are thread-safe.

    Life of a blob: `ingest` -> written -> committed -> read any number of times -> `delete` (by the collector only).
    """

    def ingest(self, *, expected: Digest | None = None, size: int | None = None, replace: bool = False) -> Ingest:
        """Begin taking a blob; ``expected`` and ``size`` (bytes) are checked by the stream, when given. With
        ``replace`` it takes the place of a blob that is there: that one is damaged."""

    def info(self, digest: Digest) -> BlobInfo:
        """NotFound if there is no such blob."""

    def open(self, digest: Digest) -> BinaryIO:
        """A reader that raises DataLoss, naming the digest, at the end of bytes that do not match it."""

    def read(self, descriptor: Descriptor | Digest) -> bytes:
        """The whole blob, verified. NotFound; DataLoss names the digest."""

    def walk(self) -> Iterator[BlobInfo]:
        """Every committed blob, in no order."""

    def delete(self, digest: Digest, *, unless_stored_since: float | None = None) -> None:
        """NotFound if there is no such blob; FailedPrecondition if it was stored, or stored again, at that time or
        later (seconds since the epoch): whoever stored it counts on it."""


def write_blob(store: ContentStore, data: bytes | Iterable[bytes], *, expected: Digest | None = None) -> BlobInfo:
    """Store ``data`` as one blob and return what was committed."""
    with store.ingest(expected=expected) as ingest:
        for chunk in (data,) if isinstance(data, bytes) else data:
            ingest.write(chunk)
        return ingest.commit()
