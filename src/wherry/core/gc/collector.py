"""The collector: what no image, container or lease needs goes away. Nothing else ever deletes content or layers.

It may run beside any work. Who works holds a lease from before the first byte until an image or a container names the
result; the collector spares what leases name, all that this leads to, and all that is younger than the oldest lease:
a blob whose digest is known only when its last byte was written cannot be named before.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wherry.core.containers.store import ContainerStore
from wherry.core.content.store import BlobInfo, ContentStore
from wherry.core.diff.unpack import steps
from wherry.core.images.store import ImageStore
from wherry.core.leases.store import LeaseStore
from wherry.core.snapshots.snapshotter import SnapshotInfo, Snapshotter
from wherry.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, Unimplemented
from wherry.oci import mediatypes
from wherry.oci.artifact import read_config
from wherry.oci.digest import Digest
from wherry.oci.document import DOCUMENT_LIMIT
from wherry.oci.manifest import Index, Manifest, parse

_CLOCK_SLACK = 2.0  # seconds by which a file's time may lag behind the clock that leases are dated by


@dataclass(frozen=True, slots=True)
class Collected:
    """What went away: digests, snapshot keys, and the bytes that both took on disk."""

    content: tuple[Digest, ...] = ()
    snapshots: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Stores:
    """What the collector looks at."""

    content: ContentStore
    images: ImageStore
    containers: ContainerStore
    leases: LeaseStore
    snapshots: Snapshotter


class Collector:
    """Blocks; run it in a thread. One collection at a time: the caller sees to it."""

    def __init__(self, stores: Stores, sync: Callable[[], None], *, clock: Callable[[], float] = time.time) -> None:
        """``sync`` makes the records durable (Database.sync), before anything that they no longer name is deleted."""
        self._stores = stores
        self._sync = sync
        self._clock = clock

    def collect(self, roots: Iterable[Digest] = ()) -> Collected:
        """Delete what nobody needs; ``roots`` are needed too (a build cache's blobs, say). Active snapshots stay."""
        return self._collect(roots, actives=False)

    def recover(self, roots: Iterable[Digest] = ()) -> Collected:
        """At the engine's start, before any work: end the leases of the dead engine, and delete what it was making."""
        for lease in list(self._stores.leases.walk()):
            self._stores.leases.delete(lease.id)
        return self._collect(roots, actives=True)

    def _collect(self, roots: Iterable[Digest], *, actives: bool) -> Collected:
        # Candidates first: what comes into being while the marks are gathered is none.
        started = self._clock()
        blobs = list(self._stores.content.walk())
        snapshots = list(self._stores.snapshots.walk())
        young = self._end_leases() - _CLOCK_SLACK
        content, chains = self._mark(roots)
        chains.update(container.snapshot for container in self._stores.containers.walk())
        self._sync()
        removed = tuple(self._sweep_snapshots(snapshots, chains, young, actives=actives))
        self._stores.snapshots.trim(0)  # what is kept for containers to come is of no image
        freed = sum(size for _, size in removed)
        unneeded = [blob for blob in blobs if blob.digest not in content and blob.created < young]
        deleted = tuple(self._sweep_content(unneeded, started))
        freed += sum(blob.size for blob in deleted)
        return Collected(tuple(blob.digest for blob in deleted), tuple(key for key, _ in removed), freed)

    def _end_leases(self) -> float:
        """Drop expired leases; returns when the oldest of the others began, else infinity."""
        now = self._clock()
        oldest = float("inf")
        for lease in list(self._stores.leases.walk()):
            if lease.expires > now:
                oldest = min(oldest, lease.created)
                continue
            try:
                self._stores.leases.delete(lease.id)
            except NotFound:
                continue
        return oldest

    def _mark(self, roots: Iterable[Digest]) -> tuple[set[str], set[str]]:
        """Digests and snapshot keys that are needed. Leases are read first: what they hold may become an image's."""
        held = self._stores.leases.held()
        content = {key for kind, key in held if kind == "content"} | {str(digest) for digest in roots}
        chains = {key for kind, key in held if kind == "snapshot"}
        content.update(image.target.digest for image in self._stores.images.walk())
        content.update(container.image for container in self._stores.containers.walk())
        pending = list(content)
        while pending:
            document = self._document(pending.pop())
            for child in document.children if document is not None else ():
                if child.digest not in content and child.media_type in mediatypes.MANIFESTS | mediatypes.INDEXES:
                    pending.append(child.digest)
                content.add(child.digest)
            if isinstance(document, Manifest):
                chains.update(self._chain(document))
        return content, chains

    def _document(self, text: str) -> Manifest | Index | None:
        """The manifest or index of that digest; None for anything else that a lease or a container may name."""
        try:
            digest = Digest.parse(text)
            if self._stores.content.info(digest).size > DOCUMENT_LIMIT:
                return None
            return parse(self._stores.content.read(digest))
        except (InvalidArgument, NotFound, DataLoss):
            return None

    def _chain(self, manifest: Manifest) -> list[str]:
        try:
            config = read_config(manifest, self._stores.content.read)
            return [step.chain for step in steps(manifest, config)]
        except (InvalidArgument, NotFound, DataLoss, Unimplemented):
            return []

    def _sweep_content(self, unneeded: Iterable[BlobInfo], started: float) -> Iterator[BlobInfo]:
        for blob in unneeded:
            try:
                self._stores.content.delete(blob.digest, unless_stored_since=started)
            except (NotFound, FailedPrecondition):
                continue
            yield blob

    def _sweep_snapshots(
        self, known: Sequence[SnapshotInfo], needed: set[str], young: float, *, actives: bool
    ) -> Iterator[tuple[str, int]]:
        """Children go before their parents; what still has a child (an active one, say) refuses to go, and stays. Keys
        and bytes."""
        parents = {info.key: info.parent for info in known}
        for info in sorted(known, key=lambda info: _depth(info.key, parents), reverse=True):
            if info.key in needed or info.created >= young or (info.kind != "committed" and not actives):
                continue
            try:
                size = self._size(info.key)
                self._stores.snapshots.remove(info.key)
            except (NotFound, FailedPrecondition):
                continue
            yield info.key, size

    def _size(self, key: str) -> int:
        try:
            return self._stores.snapshots.usage(key).size
        except (OSError, NotFound):  # its files are gone already, or go: that shall not keep it
            return 0


def _depth(key: str, parents: Mapping[str, str]) -> int:
    depth = 0
    while key := parents.get(key, ""):
        depth += 1
    return depth
