"""Registries in memory, as the engine sees them: `Remotes` without HTTP. Passes the contract's tests."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.remote import ANONYMOUS, Credentials, Document, Outcome, Progress, Source
from wherry.errors import DataLoss, NotFound, Unauthenticated
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Manifest
from wherry.oci.manifest import parse as parse_manifest


class MemoryRemotes:
    """``users`` (name: password) may log in; none lets everybody do everything."""

    def __init__(self, users: dict[str, str] | None = None) -> None:
        self.users = users or {}
        self.known: dict[tuple[str, str], MemoryRepository] = {}

    def reconfigure(self, config: RegistryConfig) -> None:
        """There is nothing to be reached otherwise."""

    def repository(self, domain: str, path: str, credentials: Credentials = ANONYMOUS) -> "MemoryRepository":
        return self.known.setdefault((domain, path), MemoryRepository(self, domain))

    async def login(self, domain: str, credentials: Credentials) -> str:
        if self.users.get(credentials.username) != credentials.password:
            raise Unauthenticated(f'Get "https://{domain}/v2/": unauthorized: authentication required')
        return ""


class MemoryRepository:
    def __init__(self, remotes: MemoryRemotes, domain: str) -> None:
        self._remotes = remotes
        self._domain = domain
        self.exists = False
        self.blobs: dict[Digest, bytes] = {}
        self.documents: dict[Digest, Document] = {}
        self.named: dict[str, Digest] = {}

    async def resolve(self, reference: str) -> Descriptor:
        return (await self.document(reference)).descriptor

    async def document(self, reference: str) -> Document:
        if not self.exists:
            raise NotFound("name unknown: repository name not known to registry")
        found = self.documents.get(self.named.get(reference, Digest(reference)))
        if found is None:
            raise NotFound("manifest unknown: manifest unknown")
        return found

    async def fetch(self, blob: Descriptor) -> AsyncGenerator[bytes, None]:
        if blob.digest not in self.blobs:
            raise NotFound("blob unknown: blob unknown to registry")
        data = self.blobs[blob.digest]
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    async def push(self, blob: Descriptor, source: Source, *, mount: str = "", progress: Progress) -> Outcome:
        self.exists = True
        if blob.digest in self.blobs:
            return "exists"
        other = self._remotes.known.get((self._domain, mount))
        if other is not None and blob.digest in other.blobs:
            self.blobs[blob.digest] = other.blobs[blob.digest]
            return "mounted"
        data = b""
        async with aclosing(source(0)) as pieces:
            async for piece in pieces:
                data += piece
                progress(len(data))
        if Digest.of(data) != blob.digest:
            raise DataLoss(f"digest invalid: {blob.digest}")
        self.blobs[blob.digest] = data
        return "pushed"

    async def push_document(self, document: Document, tag: str = "") -> None:
        self.exists = True
        self.documents[document.descriptor.digest] = document
        if tag:
            self.named[tag] = document.descriptor.digest

    async def tags(self) -> list[str]:
        if not self.exists:
            raise NotFound("name unknown: repository name not known to registry")
        return sorted(self.named)

    async def referrers(self, digest: Digest) -> list[Descriptor]:
        found = []
        for document in self.documents.values():
            parsed = parse_manifest(document.data)
            if parsed.subject is not None and parsed.subject.digest == digest:
                kind = parsed.artifact_type or (parsed.config.media_type if isinstance(parsed, Manifest) else "")
                found.append(
                    Descriptor(
                        document.descriptor.media_type,
                        document.descriptor.digest,
                        document.descriptor.size,
                        annotations=parsed.annotations,
                        artifact_type=kind,
                    )
                )
        return found


def image_document(*layers: bytes, annotations: dict | None = None) -> tuple[Document, list[tuple[Descriptor, bytes]]]:
    """A manifest of ``layers`` and the blobs it needs."""
    config = json.dumps({"architecture": "wasm", "os": "wasi"}).encode()
    blobs = [(Descriptor.of(mediatypes.OCI_CONFIG, config), config)]
    blobs += [(Descriptor.of(mediatypes.OCI_LAYER, layer), layer) for layer in layers]
    data = Manifest(blobs[0][0], tuple(blob for blob, _ in blobs[1:]), annotations=annotations or {}).to_bytes()
    return Document(Descriptor.of(mediatypes.OCI_MANIFEST, data), data), blobs
