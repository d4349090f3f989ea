"""Images as tar archives: what `docker save` writes and `docker load` reads: OCI layouts, and Docker's older form.

What is read is hostile: names in an archive are only ever looked up in it, and every blob is verified as it is stored.
Source: image-spec v1.1.0 image-layout.md; moby image/spec v1.2 (``manifest.json``).
"""

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

from wherry.core.content.store import ContentStore, write_blob
from wherry.errors import DataLoss, InvalidArgument, NotFound
from wherry.oci import layout, mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

_CHUNK = 1 << 20
_DOCUMENT_LIMIT = 8 << 20
_MOST_MEMBERS = 100_000
_MOST_DEPTH = 4
_FULL_NAME = "io.containerd.image.name"
_DOCKER_MANIFEST = "manifest.json"
_MAGICS = ((b"\x1f\x8b", mediatypes.OCI_LAYER_GZIP), (b"\x28\xb5\x2f\xfd", mediatypes.OCI_LAYER_ZSTD))

Hold = Callable[[Digest], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image that an archive brought: its canonical names, none if it has none."""

    target: Descriptor
    names: tuple[str, ...]


def load(file: BinaryIO, content: ContentStore, hold: Hold, platform: Platform | None = None) -> list[Loaded]:
    """Store what the archive in ``file`` holds, plain or compressed; ``hold`` is told each digest first. Blocks.

    Of indexes ``platform`` chooses what is taken; what stands alone is taken whatever it is for, as docker has it.
    InvalidArgument: it is no image archive, or a damaged one; NotFound: it has nothing for the platform.
    """
    try:
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            return _Reader(archive, content, hold, platform).read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        # Of a file that is nothing like a tar, tarfile has a line for each codec that it tried.
        first, *others = str(error).splitlines() or ["it is cut short"]
        why = "it is no tar, plain or compressed" if others else first[:200]
        raise InvalidArgument(f"not an image archive: {why}") from error
    except DataLoss as error:
        raise InvalidArgument(f"damaged image archive: {error}") from error


class _Reader:
    def __init__(
        self, archive: tarfile.TarFile, content: ContentStore, hold: Hold, platform: Platform | None = None
    ) -> None:
        self._platform = platform
        self._archive = archive
        self._content = content
        self._hold = hold
        self._members: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(archive):
            if number >= _MOST_MEMBERS:
                raise InvalidArgument(f"not an image archive: more than {_MOST_MEMBERS} files")
            self._members[member.name.removeprefix("./")] = member

    def read(self) -> list[Loaded]:
        if layout.LAYOUT_FILE in self._members and layout.INDEX_FILE in self._members:
            return self._read_layout()
        if _DOCKER_MANIFEST in self._members:
            return self._read_docker()
        raise InvalidArgument("not an image archive: it has neither an index.json nor a manifest.json")

    def _open(self, name: str) -> IO[bytes]:
        """A regular file of the archive; Docker's old archives link to layers they have already."""
        member = self._members.get(name)
        if member is not None and member.issym():
            folder = name.rpartition("/")[0]
            target = member.linkname.removeprefix("../") if member.linkname.startswith("../") else ""
            member = self._members.get(target or f"{folder}/{member.linkname}")
        if member is None or not member.isreg():
            raise InvalidArgument(f"damaged image archive: {name[:200]!r} is missing")
        file = self._archive.extractfile(member)
        assert file is not None, "a regular file can be read"
        return file

    def _document(self, name: str) -> bytes:
        with self._open(name) as file:
            data = file.read(_DOCUMENT_LIMIT + 1)
        if len(data) > _DOCUMENT_LIMIT:
            raise InvalidArgument(f"damaged image archive: {name[:200]!r} is too large to be a document")
        return data

    def _read_layout(self) -> list[Loaded]:
        loaded = []
        for entry in self._chosen(Index.parse(self._document(layout.INDEX_FILE))):
            if not self._store_tree(entry, 0):
                raise InvalidArgument(f"damaged image archive: {entry.digest} is missing")
            target = Descriptor(entry.media_type, entry.digest, entry.size, platform=entry.platform)
            loaded.append(Loaded(target, _names_of(entry)))
        return loaded

    def _chosen(self, index: Index) -> list[Descriptor]:
        """Its entries for the platform, and those that do not say what they are for. NotFound: there are none."""
        wanted = self._platform
        if wanted is None:
            return list(index.manifests)
        found = [entry for entry in index.manifests if entry.platform is None or wanted.matches(entry.platform)]
        if index.manifests and not found:
            raise NotFound(f"requested platform ({wanted}) not found")
        return found

    def _store_tree(self, descriptor: Descriptor, depth: int) -> bool:
        """Store a manifest or index and all below it. False: it is not in the archive, as an index may have it."""
        if layout.blob_path(descriptor.digest) not in self._members:
            return False
        if depth > _MOST_DEPTH:
            raise InvalidArgument("damaged image archive: its indexes are nested too deeply")
        document = parse_manifest(self._document(layout.blob_path(descriptor.digest)), descriptor.media_type)
        if isinstance(document, Index):
            for entry in self._chosen(document):
                if not self._store_tree(entry, depth + 1) and self._platform is not None:
                    raise NotFound(f"requested platform ({self._platform}) found, but some content is missing")
        else:
            for child in document.children:
                self._store_blob(child)
        self._store_blob(descriptor)
        return True

    def _store_blob(self, descriptor: Descriptor) -> None:
        self._hold(descriptor.digest)
        digest, size = descriptor.digest, descriptor.size
        member = self._members.get(layout.blob_path(digest))
        if member is not None and member.size != size:
            raise InvalidArgument(f"damaged image archive: {digest} has {member.size} bytes instead of {size}")
        with self._open(layout.blob_path(digest)) as file, self._content.ingest(expected=digest, size=size) as ingest:
            while data := file.read(_CHUNK):
                ingest.write(data)
            ingest.commit()

    def _read_docker(self) -> list[Loaded]:
        try:
            entries = json.loads(self._document(_DOCKER_MANIFEST))
            described = [(entry["Config"], entry["Layers"], entry.get("RepoTags") or []) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InvalidArgument("damaged image archive: its manifest.json is not Docker's") from None
        return [self._read_docker_image(*entry) for entry in described]

    def _read_docker_image(self, config_name: Any, layers: Any, tags: Any) -> Loaded:
        if not (isinstance(config_name, str) and _is_texts(layers) and _is_texts(tags)):
            raise InvalidArgument("damaged image archive: its manifest.json is not Docker's")
        config = self._document(config_name)
        if len(ImageConfig.parse(config).diff_ids) != len(layers):
            raise InvalidArgument(f"damaged image archive: {config_name[:200]!r} does not fit its layers")
        manifest = Manifest(
            config=self._store(mediatypes.OCI_CONFIG, config),
            layers=tuple(self._store_layer(name) for name in layers),
        ).to_bytes()
        names = tuple(str(Reference.parse(tag)) for tag in tags)
        return Loaded(self._store(mediatypes.OCI_MANIFEST, manifest), names)

    def _store(self, media_type: str, data: bytes) -> Descriptor:
        descriptor = Descriptor.of(media_type, data)
        self._hold(descriptor.digest)
        write_blob(self._content, data, expected=descriptor.digest)
        return descriptor

    def _store_layer(self, name: str) -> Descriptor:
        with self._open(name) as file, self._content.ingest() as ingest:
            first = data = file.read(_CHUNK)
            while data:
                ingest.write(data)
                data = file.read(_CHUNK)
            info = ingest.commit()
        self._hold(info.digest)
        kind = next((kind for magic, kind in _MAGICS if first.startswith(magic)), mediatypes.OCI_LAYER)
        return Descriptor(kind, info.digest, info.size)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _names_of(entry: Descriptor) -> tuple[str, ...]:
    """An entry's canonical name: containerd's annotation has it whole, OCI's may be the tag alone, which is no name."""
    name = entry.annotations.get(_FULL_NAME) or entry.annotations.get(layout.REF_NAME, "")
    full = _FULL_NAME in entry.annotations or ":" in name or "/" in name
    return (str(Reference.parse(name)),) if name and full else ()


def save(images: Sequence[tuple[Descriptor, Sequence[str]]], content: ContentStore) -> Iterator[bytes]:
    """The archive of ``images`` (target, canonical names), piece by piece. Blocks. NotFound: a blob is not here."""
    blobs: dict[Digest, Descriptor] = {}
    entries: list[Descriptor] = []
    legacy: list[dict[str, Any]] = []
    for target, names in images:
        manifests = list(_gather(target, content, blobs))
        entries += _index_entries(target, names)
        tags = [Reference.parse_bare(name).familiar() for name in names]
        legacy += [_docker_entry(manifest, tags) for manifest in manifests[:1]]
    yield from _file(layout.LAYOUT_FILE, layout.layout_document())
    yield from _file(layout.INDEX_FILE, Index(tuple(entries)).to_bytes())
    yield from _file(_DOCKER_MANIFEST, json.dumps(legacy, separators=(",", ":")).encode())
    for digest, descriptor in sorted(blobs.items()):
        yield _header(layout.blob_path(digest), descriptor.size)
        with content.open(digest) as blob:
            while data := blob.read(_CHUNK):
                yield data
        yield _padding(descriptor.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def verify(images: Iterable[Descriptor], content: ContentStore) -> None:
    """Read all that `save` is going to. Blocks. NotFound: a blob is not here; DataLoss names one that is damaged."""
    blobs: dict[Digest, Descriptor] = {}
    for target in images:
        list(_gather(target, content, blobs))
    for digest in blobs:
        with content.open(digest) as blob:
            while blob.read(_CHUNK):
                pass


def _gather(target: Descriptor, content: ContentStore, blobs: dict[Digest, Descriptor]) -> Iterator[Manifest]:
    document = parse_manifest(content.read(target), target.media_type)
    blobs[target.digest] = target
    if isinstance(document, Manifest):
        blobs.update({child.digest: child for child in document.children})
        yield document
        return
    for child in document.manifests:
        try:
            yield from _gather(child, content, blobs)
        except NotFound:
            continue  # a platform that was not fetched; the archive's index speaks of it all the same


def _index_entries(target: Descriptor, names: Sequence[str]) -> list[Descriptor]:
    if not names:
        return [target]
    references = [Reference.parse_bare(name) for name in names]
    return [
        Descriptor(
            target.media_type,
            target.digest,
            target.size,
            annotations={_FULL_NAME: str(reference), layout.REF_NAME: reference.tag},
            platform=target.platform,
        )
        for reference in references
    ]


def _docker_entry(manifest: Manifest, tags: Sequence[str]) -> dict[str, Any]:
    layers = [layout.blob_path(layer.digest) for layer in manifest.layers]
    return {"Config": layout.blob_path(manifest.config.digest), "RepoTags": list(tags) or None, "Layers": layers}


def _file(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data))
    yield data
    yield _padding(len(data))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
