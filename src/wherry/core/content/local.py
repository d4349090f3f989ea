"""The content store on disk: an OCI image layout that skopeo and others read as it lies.

``ROOT/oci-layout``, ``ROOT/index.json`` (kept by `LayoutIndex` for the image store), ``ROOT/blobs/sha256/<hex>``,
``ROOT/ingest/`` for what is not committed yet.
"""

import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from wherry.core.content.files import replace_file, sync_folder
from wherry.core.content.store import BlobInfo
from wherry.core.content.verified import VerifiedReader
from wherry.core.faults import translating
from wherry.errors import Conflict, DataLoss, FailedPrecondition, NotFound, ResourceExhausted
from wherry.oci import layout
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, Digester
from wherry.oci.manifest import Index

_ALGORITHMS = ("sha256", "sha384", "sha512")
_BUFFER = 256 << 10
_READ_LIMIT = 256 << 20
"""Bytes that `LocalContentStore.read` takes into memory; larger blobs are for `open`."""


class LocalContentStore:
    """Driver of `ContentStore`. One process at a time may use a root (see metadata/lock)."""

    def __init__(self, root: str, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create the layout at ``root`` and drop what a killed process left in ``ingest``."""
        self._root = root
        self._clock = clock
        self._publishing = threading.Lock()
        self._unsynced: set[str] = set()  # folders with names that a power cut may take
        self._ingest = os.path.join(root, "ingest")
        with translating(f"open the content store at {root}"):
            os.makedirs(self._ingest, exist_ok=True)
            os.makedirs(os.path.join(root, layout.BLOBS_DIR, "sha256"), exist_ok=True)
            for leftover in os.scandir(self._ingest):
                os.unlink(leftover.path)
            for name, data in ((layout.LAYOUT_FILE, layout.layout_document()), (layout.INDEX_FILE, Index().to_bytes())):
                if not os.path.exists(os.path.join(root, name)):
                    replace_file(os.path.join(root, name), data)

    @property
    def root(self) -> str:
        """The layout's folder."""
        return self._root

    def path(self, digest: Digest) -> str:
        """Where the blob lies, if it is there; for programs that are handed files. Nothing is verified."""
        return os.path.join(self._root, layout.blob_path(digest))

    def ingest(
        self, *, expected: Digest | None = None, size: int | None = None, replace: bool = False
    ) -> "LocalIngest":
        """See `ContentStore.ingest`."""
        return LocalIngest(self, expected, size, replace=replace)

    def info(self, digest: Digest) -> BlobInfo:
        """See `ContentStore.info`."""
        try:
            status = os.stat(self.path(digest))
        except FileNotFoundError:
            raise NotFound(f"content {digest} not found") from None
        return BlobInfo(digest, status.st_size, status.st_mtime)

    def open(self, digest: Digest) -> BinaryIO:
        """See `ContentStore.open`."""
        try:
            raw = open(self.path(digest), "rb", buffering=0)  # noqa: SIM115 (handed on)
        except FileNotFoundError:
            raise NotFound(f"content {digest} not found") from None
        return io.BufferedReader(VerifiedReader(raw, digest), _BUFFER)

    def read(self, descriptor: Descriptor | Digest) -> bytes:
        """See `ContentStore.read`. ResourceExhausted: too large for memory."""
        digest = descriptor.digest if isinstance(descriptor, Descriptor) else descriptor
        info = self.info(digest)
        if isinstance(descriptor, Descriptor) and info.size != descriptor.size:
            raise DataLoss(f"content {digest} has {info.size} bytes, not {descriptor.size} as its descriptor says")
        if info.size > _READ_LIMIT:
            raise ResourceExhausted(f"content {digest} is too large to be read at once: {info.size} bytes")
        with self.open(digest) as reader:
            return reader.read()

    def walk(self) -> Iterator[BlobInfo]:
        """See `ContentStore.walk`."""
        for algorithm in _ALGORITHMS:
            try:
                entries = sorted(os.listdir(os.path.join(self._root, layout.BLOBS_DIR, algorithm)))
            except FileNotFoundError:
                continue
            for name in entries:
                try:
                    yield self.info(Digest(f"{algorithm}:{name}"))
                except NotFound:  # deleted meanwhile
                    continue

    def delete(self, digest: Digest, *, unless_stored_since: float | None = None) -> None:
        """See `ContentStore.delete`."""
        with self._publishing:
            if unless_stored_since is not None and self.info(digest).created >= unless_stored_since:
                raise FailedPrecondition(f"content {digest} was stored meanwhile")
            try:
                with translating(f"delete content {digest}"):
                    os.unlink(self.path(digest))
            except NotFound:
                raise NotFound(f"content {digest} not found") from None

    def _create(self) -> tuple[int, str]:
        with translating("take content in"):
            return tempfile.mkstemp(dir=self._ingest)

    def _publish(self, temporary: str, digest: Digest, size: int, *, replace: bool, lasting: bool) -> BlobInfo:
        """Move the durable temporary file to its place, or let go of it if the blob is there already."""
        target = self.path(digest)
        with self._publishing, translating(f"store content {digest}"):
            now = self._clock()
            if not replace and os.path.exists(target):
                os.unlink(temporary)
                temporary = ""
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
            # The collector spares what is younger than the oldest lease: being stored again makes a blob young.
            os.utime(temporary or target, (now, now))
            if temporary:
                os.rename(temporary, target)
                self._unsynced.add(os.path.dirname(target))
            for folder in sorted(self._unsynced) if lasting else ():
                sync_folder(folder)
                self._unsynced.discard(folder)
        return BlobInfo(digest, size, now)


class LocalIngest:
    """Driver of `Ingest`: a temporary file and the digest of what went into it."""

    def __init__(
        self, store: LocalContentStore, expected: Digest | None, size: int | None, *, replace: bool = False
    ) -> None:
        self._store = store
        self._replace = replace
        self._expected = expected
        self._size = size
        self._settled = -1  # the offset up to which it is durable
        self._digester = Digester(expected.algorithm if expected else "sha256")
        self._handle, self._path = store._create()  # noqa: SLF001 (the two halves of one driver)

    @property
    def offset(self) -> int:
        """See `Ingest.offset`."""
        return self._digester.size

    def write(self, data: bytes) -> None:
        """See `Ingest.write`."""
        if self._handle < 0:
            raise Conflict("this ingest is over: begin another one")
        if self._size is not None and self.offset + len(data) > self._size:
            raise ResourceExhausted(f"content {self._name} is larger than the {self._size} bytes announced")
        view = memoryview(data)
        with translating(f"store content {self._name}"):
            while view:
                written = os.write(self._handle, view)
                self._digester.update(view[:written])
                view = view[written:]

    @property
    def _name(self) -> str:
        return str(self._expected or "of unknown digest")

    def settle(self) -> None:
        """See `Ingest.settle`."""
        with translating(f"store content {self._name}"):
            os.fchmod(self._handle, 0o444)
            os.fsync(self._handle)
        self._settled = self.offset

    def commit(self, *, lasting: bool = True) -> BlobInfo:
        """See `Ingest.commit`."""
        if self._handle < 0:
            raise Conflict("this ingest is over: begin another one")
        found = self._digester.digest()
        if self._size is not None and self.offset != self._size:
            raise DataLoss(f"content {self._name} ended after {self.offset} of {self._size} bytes")
        if self._expected is not None and found != self._expected:
            raise DataLoss(f"content {self._expected} arrived with digest {found}")
        if self._settled != self.offset:
            self.settle()
        info = self._store._publish(  # noqa: SLF001 (the two halves of one driver)
            self._path, found, self.offset, replace=self._replace, lasting=lasting
        )
        self._path = ""
        self._close()
        return info

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._path:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
            self._path = ""

    def __enter__(self) -> "LocalIngest":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
