"""Images made without a build: of a container's files (`docker commit`), of an archive of files (`docker import`)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from wherry.build.changes import changed
from wherry.build.walk import MOST_LAYERS
from wherry.core.content.store import write_blob
from wherry.core.diff.compression import decompressed, reading
from wherry.core.diff.entries import Entry
from wherry.core.diff.pack import LayerWriter, Normal, Packed, pack_snapshot
from wherry.core.diff.tar_reader import TarReader
from wherry.core.leases.leased import leased
from wherry.core.threads import blocking
from wherry.engine.containers.changes import MARK
from wherry.engine.containers.containers import Containers
from wherry.engine.containers.live import Live
from wherry.engine.events import Events
from wherry.engine.image_catalog import Variant
from wherry.engine.images import Images
from wherry.engine.record import Record
from wherry.engine.services import EngineServices
from wherry.engine.times import rfc3339
from wherry.engine.transfer import receive, temporary_file
from wherry.errors import InvalidArgument, NotFound
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.image import History, ImageConfig, RunConfig
from wherry.oci.manifest import Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

Json = dict[str, Any]
# What of a container's configuration an image has too.
_KEPT = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
)

_MARK: Final = MARK.encode()


@dataclass(frozen=True, slots=True)
class Naming:
    """What a new image is called, and who says what of it. ``changes`` are Dockerfile instructions."""

    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    changes: Sequence[str] = ()

    def reference(self) -> Reference | None:
        """None: it gets no name. InvalidArgument: that is no name."""
        if not self.repository:
            return None
        name = Reference.parse_bare(self.repository)
        if name.digest is not None:
            raise InvalidArgument(f"refusing to create a tag with a digest reference: {self.repository[:200]}")
        return name.tagged(self.tag) if self.tag else Reference.parse(self.repository)


class Makings:
    """`docker commit` and `docker import`."""

    def __init__(self, services: EngineServices, images: Images, containers: Containers, events: Events) -> None:
        self._services = services
        self._images = images
        self._containers = containers
        self._events = events

    async def commit(self, ref: str, naming: Naming, body: Mapping[str, Any], *, pause: bool = True) -> Json:
        """The container's changes as one more layer on its image; ``body`` is a configuration that covers its own.
        Returns ``{"Id"}``. NotFound: the container, or the image it was made from; Conflict: files changed meanwhile.
        """
        live = self._containers.registry.get(ref)
        reference, record = naming.reference(), live.record
        base = await self._base(record)
        own = {key: (body.get(key) or record.config.get(key)) for key in _KEPT}
        config = RunConfig.from_json({key: value for key, value in own.items() if value is not None})
        config = changed(config, naming.changes, wasm=record.kind == "wasm")
        if len(base.manifest.layers) >= MOST_LAYERS:
            raise InvalidArgument(f"max depth exceeded: an image may have at most {MOST_LAYERS} layers")
        async with self._leased("commit"):
            packed = await self._packed(live, pause)
            step = History(rfc3339(self._services.clock()), " ".join(record.args), naming.author, naming.comment or "")
            image = replace(
                base.config,
                created=step.created,
                author=naming.author or base.config.author,
                config=config,
                diff_ids=(*base.config.diff_ids, packed.diff_id),
                history=(*base.config.history, step),
            )
            layers = (*base.manifest.layers, packed.descriptor)
            target = await self._store(image, layers, reference, base.manifest.annotations)
        named = {"imageRef": reference.familiar()} if reference is not None else {}
        self._containers.tell(record, "commit", comment=naming.comment, imageID=str(target.digest), **named)
        return {"Id": str(target.digest)}

    async def _base(self, record: Record) -> Variant:
        try:
            entry = (await self._images.catalog.find(record.image_id)).entry
        except NotFound:
            raise NotFound(f"the image that container {record.short_id} was made from is not here any more") from None
        base = await self._images.catalog.variant(entry, Platform.parse(record.platform), record.image)
        if base.manifest.config.media_type not in mediatypes.IMAGE_CONFIGS:
            raise InvalidArgument(f"image {record.image} is a Wasm artifact: no layer can be put on it")
        return base

    async def _packed(self, live: Live, pause: bool) -> Packed:
        """Its changes, taken while it is paused if it runs and that is wanted."""
        services = self._services
        async with live.lock:
            if live.gone:
                raise NotFound(f"No such container: {live.record.id}")
            task = live.task if pause and live.record.state.status == "running" else None
            if task is not None:
                await task.pause()
                self._containers.tell(live.record, "pause")
            try:
                normal = Normal(root=False)
                return await blocking(
                    pack_snapshot, services.snapshots, live.record.id, services.content, normal=normal, without=_MARK
                )
            finally:
                if task is not None:
                    await task.resume()
                    self._containers.tell(live.record, "unpause")

    async def import_archive(
        self, chunks: AsyncIterator[bytes], naming: Naming, platform: str | None
    ) -> AsyncGenerator[Json, None]:
        """An archive of a root filesystem, compressed or not, as an image of one layer. The lines that `docker import`
        prints. InvalidArgument: it is no archive, or the platform or a change is wrong."""
        reference = naming.reference()
        default = self._services.config.default_platform
        wanted = (Platform.parse(platform, default) if platform else default).normalized()
        config = changed(RunConfig(), naming.changes, wasm=wanted.is_wasm)
        with await asyncio.to_thread(temporary_file, self._services.config) as file:
            await receive(file, chunks, "the archive")
            async with self._leased("import"):
                packed = await blocking(self._pack_archive, file)
                created = rfc3339(self._services.clock())
                comment = naming.comment or "Imported from -"
                image = ImageConfig(
                    architecture=wanted.architecture,
                    os=wanted.os,
                    variant=wanted.variant,
                    created=created,
                    config=config,
                    diff_ids=(packed.diff_id,),
                    history=(History(created=created, comment=comment),),
                )
                target = await self._store(image, (packed.descriptor,), reference)
        self._events.publish("image", "import", str(target.digest), {"name": str(target.digest)})
        yield {"status": str(target.digest)}

    def _pack_archive(self, file: BinaryIO) -> Packed:
        """Written anew rather than kept as it came: so it is known to be whole, and equal files make equal layers."""
        file.seek(0)
        with reading("the archive"), LayerWriter(self._services.content) as writer:
            reader = TarReader(decompressed(file))
            count = 0
            for entry in reader:
                count += 1
                path = entry.path.lstrip(b"/") or b"./"
                data = _whole(entry, iter(reader.data())) if entry.sparse is not None else reader.data()
                writer.add(entry._replace(path=path, sparse=None), data)
            if not count:
                raise InvalidArgument("the archive is empty: a root filesystem is wanted")
            return writer.commit()

    def _leased(self, what: str) -> AbstractAsyncContextManager[str]:
        services = self._services
        return leased(services.leases, f"{what}-{services.new_id()}", services.clock() / 1e9)

    async def _store(
        self,
        config: ImageConfig,
        layers: Sequence[Descriptor],
        reference: Reference | None,
        annotations: Mapping[str, str] | None = None,
    ) -> Descriptor:
        """Write configuration and manifest, then the name: what a crash leaves is for the collector."""
        target = await asyncio.to_thread(self._write, config, layers, annotations or {})
        if reference is not None:
            await self._images.catalog.name(str(reference), target)
        await self._images.catalog.keep(target)
        if reference is not None:
            self._events.publish("image", "tag", str(target.digest), {"name": reference.familiar()})
        await self._images.warm(str(target.digest))
        return target

    def _write(self, config: ImageConfig, layers: Sequence[Descriptor], notes: Mapping[str, str]) -> Descriptor:
        services, document = self._services, config.to_bytes()
        blob = Descriptor.of(mediatypes.OCI_CONFIG, document)
        manifest = Manifest(blob, tuple(layers), annotations=notes).to_bytes()
        target = Descriptor.of(mediatypes.OCI_MANIFEST, manifest)
        for descriptor, data in ((blob, document), (target, manifest)):
            write_blob(services.content, data, expected=descriptor.digest)
        return target


def _whole(entry: Entry, stretches: Iterator[bytes]) -> Iterator[bytes]:
    """A sparse file's bytes, its holes filled."""
    position, ready = 0, b""
    for offset, length in entry.sparse or ():
        yield from _zeros(offset - position)
        left = length
        while left:
            ready = ready or next(stretches)
            piece, ready = ready[:left], ready[left:]
            left -= len(piece)
            yield piece
        position = offset + length
    yield from _zeros(entry.size - position)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, 1 << 18))
        count -= 1 << 18
