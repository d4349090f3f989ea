"""From a snapshot's changes to a layer in the content store: equal changes make the same blob."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from wherry.core.content.store import ContentStore
from wherry.core.diff import changes
from wherry.core.diff.compression import GzipWriter
from wherry.core.diff.entries import Entry
from wherry.core.diff.tar_writer import TarWriter
from wherry.core.faults import translating
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, Digester


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer as manifests (``descriptor``) and as configs (``diff_id``) name it."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class Normal:
    """What is made equal in all entries. ``mtime`` in seconds since the epoch; ``owner`` is (uid, gid); None: as is.

    Without the ``root`` folder's own entry, packing an untouched snapshot makes an empty layer.
    """

    mtime: int | None = None
    owner: tuple[int, int] | None = None
    root: bool = False

    def of(self, entry: Entry) -> Entry:
        """The entry as it goes into the layer."""
        if self.mtime is not None:
            entry = entry._replace(mtime_ns=self.mtime * 10**9)
        if self.owner is not None:
            entry = entry._replace(uid=self.owner[0], gid=self.owner[1])
        return entry


class LayerWriter:
    """Entries in, a compressed layer in the content store out: `add` each, then `commit`. A context manager."""

    def __init__(self, content: ContentStore) -> None:
        self._ingest = content.ingest()
        self._digester = Digester()
        self._gzip = GzipWriter(self._ingest.write)
        self._tar = TarWriter(self._write)

    def _write(self, data: bytes) -> None:
        self._digester.update(data)
        self._gzip.write(data)

    def add(self, entry: Entry, data: Iterable[bytes] = ()) -> None:
        """See `TarWriter.add`."""
        self._tar.add(entry, data)

    def commit(self) -> Packed:
        """Finish the archive and store it. ResourceExhausted."""
        self._tar.finish()
        self._gzip.finish()
        info = self._ingest.commit()
        return Packed(Descriptor(mediatypes.OCI_LAYER_GZIP, info.digest, info.size), self._digester.digest())

    def __enter__(self) -> "LayerWriter":
        self._ingest.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ingest.__exit__(*_)


def pack(
    upper: str, content: ContentStore, *, base: str = "", normal: Normal | None = None, without: bytes = b""
) -> Packed:
    """Store the changes in folder ``upper``: an overlayfs upper folder, or a whole tree that differs from ``base``; the
    path ``without`` is left out.

    Conflict: a file changed meanwhile; ResourceExhausted: the disk is full; FailedPrecondition: what no layer can say.
    """
    normal = normal or Normal()
    root = os.fsencode(upper)
    entries = changes.of_comparison(root, os.fsencode(base)) if base else changes.of_marks(root)
    with LayerWriter(content) as writer, translating(f"pack {upper}"):
        for entry in entries:
            if (entry.path == b"./" and not normal.root) or entry.path == without:
                continue
            data = changes.data_of(os.path.join(root, entry.path)) if entry.kind == "file" and entry.size else ()
            writer.add(normal.of(entry), data)
        return writer.commit()


def pack_snapshot(
    snapshots: Snapshotter, key: str, content: ContentStore, *, normal: Normal | None = None, without: bytes = b""
) -> Packed:
    """Store what snapshot ``key`` changed against its parent. NotFound; else as `pack`."""
    upper, *lowers = snapshots.layers(key)
    parent = snapshots.stat(key).parent
    base = snapshots.layers(parent)[0] if parent and not lowers else ""
    return pack(upper, content, base=base, normal=normal, without=without)
