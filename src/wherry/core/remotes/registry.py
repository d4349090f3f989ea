"""The driver that speaks to registries: OCI's distribution protocol, which Docker's v2 is too.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md. Pushing blobs is in upload.py.
"""

import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from wherry.core.remotes import upload
from wherry.core.remotes.hosts import RegistryConfig, endpoints
from wherry.core.remotes.http import BROKEN, REAL, Client, Origin, Request, Timing, broken, limited
from wherry.core.remotes.remote import ANONYMOUS, Credentials, Document, Outcome, Progress, Source
from wherry.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated, Unavailable
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, Digester
from wherry.oci.document import DOCUMENT_LIMIT, decode
from wherry.oci.manifest import Index, Manifest
from wherry.oci.manifest import parse as parse_manifest

_ACCEPT = ", ".join(
    (
        mediatypes.OCI_INDEX,
        mediatypes.DOCKER_INDEX,
        mediatypes.OCI_MANIFEST,
        mediatypes.DOCKER_MANIFEST,
    )
)
_BREAKS = 5
"""How often in a row a blob's connection may break without one more byte."""
_TAGS_LIMIT = 100_000
_PAGES = 1000
_TAG_LIST_LIMIT = 16 << 20
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?', re.ASCII)
T = TypeVar("T")


class RegistryRemotes:
    """Driver of `Remotes`. Connections are made when first needed; `close` ends them."""

    def __init__(self, config: RegistryConfig, timing: Timing = REAL) -> None:
        self._client = Client(config, timing)

    def repository(self, domain: str, path: str, credentials: Credentials = ANONYMOUS) -> "RegistryRepository":
        """See `Remotes.repository`."""
        places = endpoints(domain, self._client.config)
        origins = [Origin(self._client, place, credentials if place.own else ANONYMOUS) for place in places]
        return RegistryRepository(origins, path, self._client.timing)

    async def login(self, domain: str, credentials: Credentials) -> str:
        """See `Remotes.login`."""
        origin = Origin(self._client, endpoints(domain, self._client.config)[-1], credentials)
        try:
            async with origin.request(Request("GET", "/v2/")):
                return origin.authorizer.identity_token
        except Unauthenticated as error:
            raise Unauthenticated(f'Get "{await origin.base()}/v2/": {error}') from None

    def reconfigure(self, config: RegistryConfig) -> None:
        """See `Remotes.reconfigure`."""
        self._client.reconfigure(config)

    async def close(self) -> None:
        """Idempotent."""
        await self._client.close()


class RegistryRepository:
    """Driver of `Repository`. ``origins`` are asked in turn for what is fetched; pushes go to the last."""

    def __init__(self, origins: Sequence[Origin], path: str, timing: Timing) -> None:
        self._origins = origins
        self._path = path
        self._timing = timing
        self._pull = (f"repository:{path}:pull",)
        self._push = (f"repository:{path}:pull,push",)

    @property
    def _own(self) -> Origin:
        return self._origins[-1]

    async def resolve(self, reference: str) -> Descriptor:
        """See `Repository.resolve`."""
        return await self._first(lambda origin: self._resolve(origin, reference))

    async def _resolve(self, origin: Origin, reference: str) -> Descriptor:
        request = Request("HEAD", f"/v2/{self._path}/manifests/{reference}", self._pull, {"Accept": _ACCEPT})
        try:
            async with origin.request(request) as response:
                found = _described(response, reference)
        except (NotFound, InvalidArgument):
            found = None  # an answer to HEAD has no words; one to GET has
        return found or (await self._document(origin, reference)).descriptor

    async def document(self, reference: str) -> Document:
        """See `Repository.document`."""
        return await self._first(lambda origin: self._document(origin, reference))

    async def _document(self, origin: Origin, reference: str) -> Document:
        request = Request("GET", f"/v2/{self._path}/manifests/{reference}", self._pull, {"Accept": _ACCEPT})
        for attempt in range(1, _BREAKS + 1):
            try:
                async with origin.request(request) as response:
                    data = await _within(response, DOCUMENT_LIMIT, f"manifest {reference}")
                    return _verified(response, reference, data)
            except BROKEN as error:
                if attempt == _BREAKS:
                    raise broken(error, f"manifest {reference}") from None
        raise AssertionError("the last attempt returns or raises")

    async def _first(self, ask: Callable[[Origin], Coroutine[Any, Any, T]]) -> T:
        """What the first of the origins that has it says; the registry's own refusal counts when none has."""
        for origin in self._origins[:-1]:
            try:
                return await ask(origin)
            except (NotFound, Unavailable, Unauthenticated, FailedPrecondition, DataLoss, InvalidArgument):
                continue
        return await ask(self._own)

    async def fetch(self, blob: Descriptor) -> AsyncGenerator[bytes, None]:
        """See `Repository.fetch`."""
        offset = 0
        for origin in self._origins:
            try:
                async with aclosing(self._fetch(origin, blob, offset)) as pieces:
                    async for data in pieces:
                        offset += len(data)
                        yield data
                return
            except (NotFound, Unavailable, Unauthenticated, FailedPrecondition):
                if origin is self._own:
                    raise

    async def _fetch(self, origin: Origin, blob: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        breaks = 0
        while True:
            before = offset
            try:
                async with aclosing(self._from(origin, blob, offset)) as pieces:
                    async for data in pieces:
                        offset += len(data)
                        yield data
                if offset >= blob.size:
                    return
                failure: Exception = aiohttp.ClientPayloadError(f"it ended after {offset} of {blob.size} bytes")
            except BROKEN as error:
                failure = error
            breaks = 1 if offset > before else breaks + 1
            if breaks >= _BREAKS:
                raise broken(failure, f"blob {blob.digest}")
            await self._timing.sleep(0.1 * 2**breaks * self._timing.jitter())

    async def _from(self, origin: Origin, blob: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """One connection's worth of the blob from ``offset`` on, cut at the blob's size. BROKEN."""
        headers = {"Range": f"bytes={offset}-{blob.size - 1}"} if offset else {}
        path = f"/v2/{self._path}/blobs/{blob.digest}"
        async with origin.request(
            Request("GET", path, self._pull, headers, expected=frozenset({200, 206}))
        ) as response:
            skip = offset
            if response.status == 206:
                skip = offset - _range_start(response.headers.get("Content-Range", ""), offset)
            left = blob.size - offset
            async for data in response.content.iter_any():
                piece = data[skip:] if skip else data
                skip = max(0, skip - len(data))
                if piece:
                    yield piece[: left + 1]  # one more than there should be is for the one who checks the size
                    left -= len(piece)
                    if left < 0:
                        return

    async def push(self, blob: Descriptor, source: Source, *, mount: str = "", progress: Progress) -> Outcome:
        """See `Repository.push`."""
        if await self._has(blob):
            return "exists"
        scopes = (*self._push, f"repository:{mount}:pull") if mount else self._push
        started = await upload.begin(self._own, self._path, blob, scopes, mount)
        if not started:
            return "mounted"
        await upload.send(self._own, started, blob, source, self._push, progress)
        return "pushed"

    async def _has(self, blob: Descriptor) -> bool:
        path = f"/v2/{self._path}/blobs/{blob.digest}"
        try:
            async with self._own.request(Request("HEAD", path, self._push)) as response:
                return response.content_length in (None, blob.size)
        except NotFound:
            return False

    async def push_document(self, document: Document, tag: str = "") -> None:
        """See `Repository.push_document`."""
        reference = tag or str(document.descriptor.digest)
        path = f"/v2/{self._path}/manifests/{reference}"
        request = Request(
            "PUT",
            path,
            self._push,
            {"Content-Type": document.descriptor.media_type},
            document.data,
            expected=frozenset({200, 201, 202}),
        )
        async with self._own.request(request) as response:
            said = response.headers.get("Docker-Content-Digest", "")
            known = "OCI-Subject" in response.headers
        if said and said != document.descriptor.digest:
            raise DataLoss(f"the registry stored {reference} as {said[:100]} instead of {document.descriptor.digest}")
        subject = parse_manifest(document.data, document.descriptor.media_type).subject
        if subject is not None and not known:
            await self._add_referrer(subject.digest, document)

    async def _add_referrer(self, subject: Digest, document: Document) -> None:
        """The fallback of the spec: an index under a tag made of the subject's digest."""
        listed = await self._tagged_referrers(subject)
        if document.descriptor.digest in {entry.digest for entry in listed}:
            return
        data = Index((*listed, _as_referrer(document))).to_bytes()
        await self.push_document(Document(Descriptor.of(mediatypes.OCI_INDEX, data), data), _fallback_tag(subject))

    async def referrers(self, digest: Digest) -> list[Descriptor]:
        """See `Repository.referrers`."""
        try:
            async with self._own.request(
                Request("GET", f"/v2/{self._path}/referrers/{digest}", self._pull)
            ) as response:
                data = await _within(response, DOCUMENT_LIMIT, f"the list of referrers of {digest}")
                return list(Index.parse(data).manifests)
        except (NotFound, InvalidArgument):
            return await self._tagged_referrers(digest)
        except BROKEN as error:
            raise broken(error, f"referrers of {digest}") from None

    async def _tagged_referrers(self, digest: Digest) -> list[Descriptor]:
        try:
            found = await self._document(self._own, _fallback_tag(digest))
        except NotFound:
            return []
        return list(Index.parse(found.data).manifests)

    async def tags(self) -> list[str]:
        """See `Repository.tags`."""
        found: set[str] = set()
        path = f"/v2/{self._path}/tags/list"
        for _ in range(_PAGES):
            try:
                async with self._own.request(Request("GET", path, self._pull)) as response:
                    data = await _within(response, _TAG_LIST_LIMIT, "the list of tags")
                    path = _next_page(response, path)
            except BROKEN as error:
                raise broken(error, "the list of tags") from None
            listed = decode(data, "list of tags", limit=_TAG_LIST_LIMIT).get("tags") or []
            if not isinstance(listed, list) or not all(isinstance(tag, str) for tag in listed):
                raise InvalidArgument("invalid list of tags: tags must be a list of strings")
            found.update(listed)
            if not path or len(found) > _TAGS_LIMIT:
                break
        return sorted(found)


def _described(response: aiohttp.ClientResponse, reference: str) -> Descriptor | None:
    """What the headers say of a manifest; None if that is not enough."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    said = response.headers.get("Docker-Content-Digest", "") or (reference if ":" in reference else "")
    if media_type not in mediatypes.MANIFESTS | mediatypes.INDEXES or not said or response.content_length is None:
        return None
    try:
        return Descriptor(media_type, Digest.parse(said), response.content_length)
    except InvalidArgument:
        return None


async def _within(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    try:
        return await limited(response, limit)
    except InvalidArgument:
        raise InvalidArgument(f"{what} is too large: at most {limit} bytes are read") from None


def _verified(response: aiohttp.ClientResponse, reference: str, data: bytes) -> Document:
    """The document under the digest that was asked for, or that the registry says it has, or its own."""
    _refuse_first_schema(response, reference, data)  # first, for a signed one's digest is not that of its bytes
    said = reference if ":" in reference else response.headers.get("Docker-Content-Digest", "")
    try:
        wanted = Digest.parse(said) if said else Digest.of(data)
    except InvalidArgument:
        wanted = Digest.of(data)
    digester = Digester(wanted.algorithm)
    digester.update(data)
    if digester.digest() != wanted:
        raise DataLoss(f"manifest {reference} arrived with digest {digester.digest()} instead of {wanted}")
    parsed = parse_manifest(data, _media_type(response, data))
    return Document(Descriptor(parsed.media_type, wanted, len(data)), data)


def _media_type(response: aiohttp.ClientResponse, data: bytes) -> str:
    """The document's own word, else the header's; some registries say application/json of everything."""
    document = decode(data, "manifest")
    said = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return "" if document.get("mediaType") or said not in mediatypes.MANIFESTS | mediatypes.INDEXES else said


def _refuse_first_schema(response: aiohttp.ClientResponse, reference: str, data: bytes) -> None:
    said = response.headers.get("Content-Type", "").partition(";")[0].strip()
    document = {} if said in mediatypes.MANIFESTS | mediatypes.INDEXES else _guessed(data)
    if said in mediatypes.FIRST_SCHEMA or document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise InvalidArgument(
            f"manifest {reference} is a Docker Image manifest version 2, schema 1, support for which has been removed:"
            " its author has to push the image anew, as an OCI image or with a schema 2 manifest"
        )


def _guessed(data: bytes) -> dict[str, Any]:
    try:
        return decode(data, "manifest")
    except InvalidArgument:
        return {}


def _range_start(text: str, offset: int) -> int:
    """Where a 206's bytes begin. Unavailable: somewhere else than they can be of use."""
    match = re.match(r"bytes (\d{1,18})-", text, re.ASCII)
    start = int(match[1]) if match else -1
    if not 0 <= start <= offset:
        raise Unavailable(f"the registry answered a request for bytes from {offset} on with {text[:60]!r}")
    return start


def _next_page(response: aiohttp.ClientResponse, path: str) -> str:
    """The next page's path; "" if this is the last. Pages are on the same registry."""
    match = _NEXT.search(response.headers.get("Link", "")[:4096])
    query = urlsplit(match[1]).query if match else ""
    last = dict(parse_qsl(query)).get("last")
    return f"{path.partition('?')[0]}?{query}" if last and query.isascii() and query.isprintable() else ""


def _fallback_tag(digest: Digest) -> str:
    return f"{digest.algorithm}-{digest.hex}"


def _as_referrer(document: Document) -> Descriptor:
    found = parse_manifest(document.data, document.descriptor.media_type)
    kind = found.artifact_type or (found.config.media_type if isinstance(found, Manifest) else "")
    described = document.descriptor
    return Descriptor(
        described.media_type, described.digest, described.size, annotations=found.annotations, artifact_type=kind
    )
