"""Pushing: what an image consists of goes to a registry, byte for byte, its blobs first and its name last."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from wherry.core.leases.leased import leased
from wherry.core.remotes import transfer
from wherry.core.remotes.remote import ANONYMOUS, Credentials, Document, Outcome, Repository
from wherry.core.threads import blocking
from wherry.engine.conversions import FORMS, Form, convert
from wherry.engine.events import Events
from wherry.engine.images import Images
from wherry.engine.progress import Report, short, streamed
from wherry.engine.services import EngineServices
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Index
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

Json = dict[str, Any]
UPLOADS = 5
"""Layers sent at a time, by all pushes together, as docker has it."""
_MOST_DEPTH = 3
_WORDS: dict[Outcome, str] = {"pushed": "Pushed", "exists": "Layer already exists"}


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What to push: ``reference`` with a tag, or without for all tags of that repository; ``platform`` sends that one
    manifest instead of the whole index; ``form`` converts it first."""

    reference: Reference
    platform: Platform | None = None
    credentials: Credentials = ANONYMOUS
    form: Form | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        tag: str = "",
        platform: Platform | None = None,
        credentials: Credentials = ANONYMOUS,
        form: str = "",
    ) -> "PushRequest":
        """As the API has it. InvalidArgument."""
        reference = Reference.parse_bare(name)
        if reference.digest is not None:
            raise InvalidArgument("cannot push a digest reference")
        known: Form | None = next((known for known in FORMS if known == form), None)
        if form and known is None:
            raise InvalidArgument(f"unknown form {form[:40]!r}: an image is pushed as {' or '.join(FORMS)}")
        return cls(reference.tagged(tag) if tag else reference, platform, credentials, known)


class Pushes:
    """The engine's pushes. Any number may be under way."""

    def __init__(self, services: EngineServices, images: Images, events: Events) -> None:
        self._services = services
        self._images = images
        self._events = events
        self._slots = asyncio.Semaphore(UPLOADS)

    def stream(self, request: PushRequest) -> AsyncGenerator[Json, None]:
        """Push; docker's messages. NotFound before the first: there is no such image here."""
        return streamed(partial(self.push, request))

    async def push(self, request: PushRequest, report: Report) -> None:
        """Push, telling ``report``."""
        reference = request.reference
        targets = await self._targets(reference)
        repository = self._services.remotes.repository(reference.domain, reference.path, request.credentials)
        report.status(f"The push refers to repository [{reference.name}]")
        for named, target in targets:
            await self._push(repository, named, target, request, report)

    async def _targets(self, reference: Reference) -> Sequence[tuple[Reference, Descriptor]]:
        names = await self._images.catalog.names()
        if reference.tag:
            found = names.get(str(reference))
            if found is None:
                raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
            return [(reference, found.target)]
        mine = [name for name in names if name.startswith(f"{reference.name}:")]
        if not mine:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        return [(Reference.parse_bare(name), names[name].target) for name in sorted(mine)]

    async def _push(
        self, repository: Repository, reference: Reference, target: Descriptor, request: PushRequest, report: Report
    ) -> None:
        services = self._services
        async with leased(services.leases, f"push-{services.new_id()}", services.clock() / 1e9) as lease:
            # What is pushed may be removed here meanwhile: it stays until it is over there.
            await blocking(services.leases.add, lease, "content", str(target.digest))
            target = await self._chosen(reference, target, request, lease)
            document = await self._document(target)
            await self._tree(_Push(repository, reference, report, await self._neighbours(reference)), document, 0)
            await repository.push_document(document, reference.tag)
        report.status(f"{reference.tag}: digest: {target.digest} size: {target.size}")
        report.aux({"Tag": reference.tag, "Digest": str(target.digest), "Size": target.size})
        self._events.publish("image", "push", reference.familiar(), {"name": reference.familiar_name})

    async def _chosen(self, reference: Reference, target: Descriptor, request: PushRequest, lease: str) -> Descriptor:
        """What is sent: the image as it is, or one platform of it, or its module in another form."""
        if request.platform is None and request.form is None:
            return target
        shown = reference.familiar()
        entry = (await self._images.catalog.find(str(reference))).entry
        if request.form is None:
            return (await self._images.catalog.variant(entry, request.platform, shown)).descriptor

        def hold(digest: Digest) -> None:
            self._services.leases.add(lease, "content", str(digest))

        async with self._images.module(shown, str(request.platform or "")) as module:
            return await blocking(convert, request.form, module, self._services.content, hold)

    async def _document(self, descriptor: Descriptor) -> Document:
        return Document(descriptor, await asyncio.to_thread(self._services.content.read, descriptor))

    async def _tree(self, push: "_Push", document: Document, depth: int) -> None:
        """Send all that a manifest or index needs, but not itself."""
        parsed = parse_manifest(document.data, document.descriptor.media_type)
        if not isinstance(parsed, Index):
            async with asyncio.TaskGroup() as group:
                for blob in {blob.digest: blob for blob in parsed.children}.values():
                    group.create_task(self._blob(push, blob, told=blob is not parsed.config))
            return
        if depth > _MOST_DEPTH:
            raise InvalidArgument(f"image {push.reference.familiar()}: its indexes are nested too deeply")
        for child in parsed.manifests:
            await self._child(push, child, depth)

    async def _child(self, push: "_Push", child: Descriptor, depth: int) -> None:
        try:
            document = await self._document(child)
        except NotFound:
            await self._must_be_there(push, child)
            return
        await self._tree(push, document, depth + 1)
        await push.repository.push_document(document)

    async def _must_be_there(self, push: "_Push", child: Descriptor) -> None:
        """A platform that was never pulled can only be spoken of if the registry has it."""
        try:
            await push.repository.resolve(str(child.digest))
        except NotFound:
            platform = f" for {child.platform}" if child.platform else ""
            raise NotFound(
                f"image {push.reference.familiar()} lists a manifest{platform} ({child.digest}) that is neither here"
                f" nor in the registry: pull it with --platform, or push one platform with --platform"
            ) from None

    async def _blob(self, push: "_Push", blob: Descriptor, *, told: bool) -> None:
        what, report = short(blob.digest), push.report
        if told:
            report.state(what, "Preparing")
        async with self._slots:
            outcome = await push.repository.push(
                blob,
                transfer.stored(self._services.content, blob),
                mount=push.neighbours.get(blob.digest, ""),
                progress=lambda done: report.progress(what, "Pushing", done, blob.size) if told else None,
            )
        if told:
            mounted = f"Mounted from {push.neighbours.get(blob.digest, '')}"
            report.state(what, _WORDS.get(outcome, mounted))

    async def _neighbours(self, reference: Reference) -> dict[str, str]:
        """For each layer, another repository of the same registry that has it, as far as is known here."""
        layers = await self._images.layers()
        found: dict[str, str] = {}
        for image in (await self._images.catalog.names()).values():
            if image.name.startswith(f"{reference.domain}/"):
                path = Reference.parse_bare(image.name).path
                if path != reference.path:
                    found.update({layer.digest: path for layer in layers.get(str(image.target.digest), ())})
        return found


@dataclass(frozen=True, slots=True)
class _Push:
    """One image on its way out; ``neighbours`` says from which repository a blob can be mounted."""

    repository: Repository
    reference: Reference
    report: Report
    neighbours: dict[str, str]
