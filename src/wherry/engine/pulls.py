"""Pulling: from a name at a registry to an image that starts like any other: fetched, verified, unpacked, compiled.

A pull that fails or is cancelled leaves no name, and what it fetched goes with the collection that it asks for.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from wherry.core.content.store import Ingest
from wherry.core.diff.unpack import Step, steps, unpack_step
from wherry.core.leases.leased import leased
from wherry.core.leases.store import ResourceKind
from wherry.core.remotes import transfer
from wherry.core.remotes.remote import ANONYMOUS, Credentials, Document, Repository
from wherry.core.threads import blocking
from wherry.engine.events import Events
from wherry.engine.images import Images
from wherry.engine.progress import Report, innermost, short, streamed
from wherry.engine.services import EngineServices
from wherry.engine.trust import Trust
from wherry.errors import InvalidArgument, NotFound, PermissionDenied, WherryError
from wherry.oci import artifact
from wherry.oci.artifact import WASM
from wherry.oci.descriptor import Descriptor
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import DEFAULT_TAG, Reference

log = logging.getLogger(__name__)
Json = dict[str, Any]
DOWNLOADS = 3
"""Layers fetched at a time, by all pulls together, as docker has it."""
_MOST_DEPTH = 3
_MOST_LAYERS = 1000


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What to pull: ``reference`` with a tag or a digest, or with neither for ``all_tags``; ``platform`` "" leaves the
    choice to the image: WebAssembly if there is any of it, else this machine's. ``keys`` (PEM): it must be signed by
    one of them, or if there are none by one of the policy's; None is for the policy alone to decide."""

    reference: Reference
    platform: str = ""
    credentials: Credentials = ANONYMOUS
    all_tags: bool = False
    keys: tuple[str, ...] | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        tag: str = "",
        platform: str = "",
        credentials: Credentials = ANONYMOUS,
        keys: tuple[str, ...] | None = None,
    ) -> "PullRequest":
        """As the API has it: the tag, or a digest, may stand apart, and without either all tags are meant.

        InvalidArgument.
        """
        text = name if not tag else f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
        reference = Reference.parse_bare(text)
        return cls(reference, platform, credentials, not (reference.tag or reference.digest), keys)


class Pulls:
    """The engine's pulls. Any number may be under way, also of the same image."""

    def __init__(self, services: EngineServices, images: Images, events: Events) -> None:
        self._services = services
        self._images = images
        self._events = events
        self._trust = Trust(services.config)
        self._slots = asyncio.Semaphore(DOWNLOADS)
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def stream(self, request: PullRequest) -> AsyncGenerator[Json, None]:
        """Pull; docker's messages. What is wrong from the start is raised at the first: NotFound in docker's words."""
        return streamed(partial(self.pull, request))

    async def pull(self, request: PullRequest, report: Report) -> None:
        """Pull, telling ``report``."""
        reference = request.reference
        repository = self._services.remotes.repository(reference.domain, reference.path, request.credentials)
        if not request.all_tags:
            named = reference if reference.tag or reference.digest else reference.tagged(DEFAULT_TAG)
            newer = await self._pull(repository, named, request, report)
            report.status(_outcome(named.familiar(), newer))
            return
        try:
            tags = await repository.tags()
        except (NotFound, PermissionDenied) as error:
            raise _refused(error, reference) from None
        if not tags:
            raise NotFound(f"repository {reference.familiar_name} has no tags")
        newer = False
        for tag in tags:
            newer |= await self._pull(repository, reference.tagged(tag), request, report)
        report.status(_outcome(reference.familiar_name, newer))

    async def _pull(self, repository: Repository, reference: Reference, request: PullRequest, report: Report) -> bool:
        """Pull one image and name it; whether the name now means something else."""
        asked, platform = str(reference.digest or reference.tag), request.platform
        rule = await self._trust.rule(reference, request.keys)
        wanted = Platform.parse(platform, self._services.config.default_platform) if platform else None
        try:
            known = str(reference) in await self._images.catalog.names()
            # Who has an image of that name, has most likely this one; who has none, needs the manifest itself.
            first = None if known else await repository.document(asked)
            target = first.descriptor if first else await repository.resolve(asked)
            report.status(f"Pulling from {reference.path}", asked)
            await self._trust.verify(rule, repository, reference, target.digest, report)
            async with self._leased() as lease:
                pull = _Pull(self, repository, reference, lease, report)
                await pull.run(target, wanted, first)
                name = str(reference.pinned(target.digest) if reference.digest else reference)
                before = (await self._images.catalog.names()).get(name)
                self._images.forget(str(target.digest))
                await self._images.catalog.name(name, target)
        except (NotFound, PermissionDenied) as error:
            refused = _refused(error, reference)
            raise type(refused)(f"{refused}{await self._here(reference, wanted)}") from None
        self._events.publish("image", "pull", reference.familiar(), {"name": reference.familiar_name})
        await self._compile(target, wanted, report)
        report.status(f"Digest: {target.digest}")
        return before is None or before.target.digest != target.digest or pull.fetched

    async def _here(self, reference: Reference, wanted: Platform | None) -> str:
        """For who was sent to the registry since what is here does not fit: what that is."""
        try:
            found = await self._images.catalog.find(str(reference))
            variants = await self._images.catalog.variants(found.entry.target)
        except WherryError:
            return ""
        there = ", ".join(str(variant.platform) for variant in variants)
        return f" ({reference.familiar()} is here for {there}, not for {wanted})" if wanted else ""

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[str]:
        """A lease for what comes in; when that fails, what came is collected at once."""
        services = self._services
        try:
            async with leased(services.leases, f"pull-{services.new_id()}", services.clock() / 1e9) as lease:
                yield lease
        except BaseException:  # also cancelled
            await asyncio.shield(self._collect())
            raise

    async def _collect(self) -> None:
        try:
            await self._images.collect()
        except WherryError as error:
            log.warning("cannot collect what a failed pull left: %s", error)

    async def _compile(self, target: Descriptor, platform: Platform | None, report: Report) -> None:
        """So that no start has to. What cannot be compiled, can be pulled all the same."""
        what = short(target.digest)
        told = False

        def progress(text: str) -> None:
            nonlocal told
            told = True
            report.state(what, text)

        await self._images.warm(str(target.digest), str(platform or ""), progress)
        if told:
            report.state(what, "Compiled")

    async def fetch(self, repository: Repository, blob: Descriptor, report: Report | None) -> bool:
        """Fetch one blob unless it is here, or is being fetched by somebody else. False: it was here already."""
        content, what = self._services.content, short(blob.digest)
        lock = self._fetching.get(blob.digest)
        if lock is None:
            lock = self._fetching[blob.digest] = asyncio.Lock()
        async with lock:
            if await blocking(transfer.has, content, blob):
                return False
            async with self._slots:
                if report is None:
                    await transfer.fetch(repository, blob, content, lambda _: None)
                    return True
                await transfer.fetch(
                    repository, blob, content, lambda done: report.progress(what, "Downloading", done, blob.size)
                )
                report.state(what, "Download complete")
                return True


class _Pull:
    """One image on its way in, under a lease. ``fetched``: something was not here before."""

    def __init__(self, pulls: Pulls, repository: Repository, reference: Reference, lease: str, report: Report) -> None:
        self._pulls = pulls
        self._services = pulls._services  # noqa: SLF001 - the two halves of one thing
        self._repository = repository
        self._reference = reference
        self._lease = lease
        self._report = report
        self._new: set[str] = set()
        self.fetched = False

    async def run(self, target: Descriptor, wanted: Platform | None, first: Document | None = None) -> None:
        """Fetch what ``target`` is for that platform; parents are stored after what they speak of. ``first`` is its
        manifest or index, if that was fetched already."""
        documents = [await self._document(target, first)]
        parsed = parse_manifest(documents[0].data, target.media_type)
        while isinstance(parsed, Index):
            if len(documents) > _MOST_DEPTH:
                raise InvalidArgument(f"image {self._reference.familiar()}: its indexes are nested too deeply")
            chosen = self._choose(parsed, wanted)
            documents.append(await self._document(chosen))
            parsed = parse_manifest(documents[-1].data, chosen.media_type)
        with contextlib.ExitStack() as stack:
            staged: list[Ingest] = []
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._stage(documents, staged, stack))
                    await self._manifest(parsed, wanted)
            except BaseExceptionGroup as several:  # the other was cancelled for the first
                raise innermost(several) from None
            for ingest in reversed(staged):
                await blocking(ingest.commit)

    async def _stage(self, documents: Sequence[Document], staged: list[Ingest], stack: contextlib.ExitStack) -> None:
        """Have the documents durable by the time that the blobs are."""
        for document in documents:
            staged.append(await blocking(self._staged, document, stack))

    def _staged(self, document: Document, stack: contextlib.ExitStack) -> Ingest:
        return stack.enter_context(transfer.staged(document, self._services.content))

    async def _document(self, descriptor: Descriptor, fetched: Document | None = None) -> Document:
        """The manifest or index, from the store if it is there."""
        kept = await blocking(self._kept, descriptor)
        if kept is not None:
            return Document(descriptor, kept)
        found = fetched or await self._repository.document(str(descriptor.digest))
        if found.descriptor.size != descriptor.size:
            raise InvalidArgument(
                f"manifest {descriptor.digest} has {found.descriptor.size} bytes, not {descriptor.size} as was said"
            )
        self.fetched = True
        return Document(descriptor, found.data)

    def _kept(self, descriptor: Descriptor) -> bytes | None:
        content = self._services.content
        self._services.leases.add(self._lease, "content", descriptor.digest)
        return content.read(descriptor) if transfer.has(content, descriptor) else None

    def _choose(self, index: Index, wanted: Platform | None) -> Descriptor:
        host = self._services.config.default_platform
        found = [index.choose(platform) for platform in ((wanted,) if wanted else (WASM, host))]
        chosen = next((entry for entry in found if entry is not None), None)
        if chosen is None and wanted is None:
            # Artifacts are often listed without a platform; one that stands alone is meant.
            alone = [entry for entry in index.manifests if entry.platform is None]
            chosen = alone[0] if len(index.manifests) == len(alone) == 1 else None
        if chosen is None:
            raise NotFound(f"no matching manifest for {wanted or host} in the manifest list entries")
        return chosen

    async def _manifest(self, manifest: Manifest, wanted: Platform | None) -> None:
        if len(manifest.layers) > _MOST_LAYERS:
            raise InvalidArgument(f"image {self._reference.familiar()} has {len(manifest.layers)} layers: too many")
        await blocking(self._services.leases.add, self._lease, "content", *(blob.digest for blob in manifest.children))
        try:
            async with asyncio.TaskGroup() as group:
                await self._blobs(manifest, wanted, group)
        except BaseExceptionGroup as several:  # the others were cancelled for the first
            raise innermost(several) from None

    async def _blobs(self, manifest: Manifest, wanted: Platform | None, group: asyncio.TaskGroup) -> None:
        """Fetch the configuration and the layers, all at once, and unpack them one on another."""
        waiting: dict[str, asyncio.Task[None]] = {}
        for layer in manifest.layers:
            if layer.digest not in waiting:
                self._report.state(short(layer.digest), "Pulling fs layer")
                waiting[layer.digest] = group.create_task(self._layer(layer))
        config = await self._config(manifest)
        if wanted is not None and artifact.is_image(manifest) and not wanted.matches(config.platform):
            raise NotFound(
                f"image with reference {self._reference.familiar()} was found but its platform ({config.platform}) does"
                f" not match the specified platform ({wanted})"
            )
        found = self._steps(manifest, config)
        for step in found:
            await waiting[step.layer.digest]
            await self._unpack(step)
        if not found:
            for layer in manifest.layers:
                await waiting[layer.digest]
                self._done(layer, changed=False)

    async def _config(self, manifest: Manifest) -> ImageConfig:
        self.fetched |= await self._pulls.fetch(self._repository, manifest.config, None)
        return await blocking(artifact.read_config, manifest, self._services.content.read)

    def _steps(self, manifest: Manifest, config: ImageConfig) -> list[Step]:
        """What to unpack; nothing of an artifact that cannot be run: it can be kept all the same."""
        try:
            return steps(manifest, config)
        except WherryError:
            if artifact.is_image(manifest):
                raise
            return []

    async def _layer(self, layer: Descriptor) -> None:
        if await self._pulls.fetch(self._repository, layer, self._report):
            self.fetched = True
            self._new.add(layer.digest)

    def _done(self, layer: Descriptor, *, changed: bool) -> None:
        news = changed or layer.digest in self._new
        self._report.state(short(layer.digest), "Pull complete" if news else "Already exists")

    async def _unpack(self, step: Step) -> None:
        if step.layer.digest in self._new:
            self._report.progress(short(step.layer.digest), "Extracting", step.layer.size, step.layer.size)

        def hold(kind: ResourceKind, key: str) -> None:
            self._services.leases.add(self._lease, kind, key)

        services, limits = self._services, self._services.config.layer_limits
        changed = await blocking(unpack_step, step, services.content, services.snapshots, hold=hold, limits=limits)
        self._done(step.layer, changed=changed)


def _outcome(name: str, newer: bool) -> str:
    return f"Status: Downloaded newer image for {name}" if newer else f"Status: Image is up to date for {name}"


def _refused(error: WherryError, reference: Reference) -> WherryError:
    """A registry's no, in docker's words."""
    text = str(error)
    if text.startswith("manifest unknown"):
        return NotFound(f"manifest for {reference.familiar()} not found: {text}")
    if text.startswith(("no matching manifest", "image with reference")) or "is not trusted: " in text:
        return error
    return NotFound(
        f"pull access denied for {reference.familiar_name}, repository does not exist or may require 'docker login':"
        f" {text}"
    )
