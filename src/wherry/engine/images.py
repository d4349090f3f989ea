"""Images as the Engine API has them: one method a route, Docker-shaped JSON in and out.

How images are found lies in image_catalog.py, what they look like in image_views.py, what may go in image_removal.py.
"""

import asyncio
import contextlib
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from wherry.core.diff.unpack import unpack
from wherry.core.faults import translating
from wherry.core.leases.leased import leased
from wherry.core.threads import blocking
from wherry.engine import image_archive, image_views
from wherry.engine.events import Events
from wherry.engine.filters import boolean, checked
from wherry.engine.image_archive import Loaded
from wherry.engine.image_catalog import UNTAGGED, Catalog, Entry, Found, Variant
from wherry.engine.image_filters import KNOWN, Selection, selection
from wherry.engine.image_removal import Removal, User, plan
from wherry.engine.module_views import module_view
from wherry.engine.progress import Report, short, streamed
from wherry.engine.record import Record, from_container
from wherry.engine.services import EngineServices, RunnableImage
from wherry.engine.transfer import InThreads, receive, temporary_file
from wherry.errors import Conflict, InvalidArgument, NotFound, Unimplemented, WherryError
from wherry.linux import stacked
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import RunConfig
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.wasm.module import is_text

log = logging.getLogger(__name__)

Json = dict[str, Any]
Jsons = list[Json]
Filters = Mapping[str, Sequence[str]]
_ACTIVE = frozenset({"running", "paused", "restarting"})
_KEPT_RUNNABLE = 512
_MAGIC = b"\0asm"
_BEGINNING = 64 << 10
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Module:
    """What an image runs: ``source`` is its file on the host, binary or text, and ``name`` that file's path in the
    root; ``binary`` is a file with the module in binary; ``config`` how it is run."""

    source: str
    name: str
    binary: str
    config: RunConfig


class Images:
    """``ref`` is a name, an id (digest or its hex) or a unique prefix of one. NotFound: ``No such image: x:latest``."""

    def __init__(self, services: EngineServices, events: Events) -> None:
        self._services = services
        self.latest: Callable[[], Iterable[Record]] = tuple
        """Containers as they are now, where somebody knows; whoever has them sets it."""
        self._events = events
        self.catalog = Catalog(services.images, services.content, services.config.default_platform, services.clock)
        self._collecting = asyncio.Lock()
        self._runnable: OrderedDict[tuple[str, str], RunnableImage] = OrderedDict()
        self._modules: OrderedDict[str, Json] = OrderedDict()

    async def runnable(self, ref: str, platform: str | None) -> RunnableImage:
        """See `RunnableImages`. What was found ready once is ready as long as the image is there."""
        found = await self.catalog.find(ref)
        key = (found.entry.id, platform or "")
        ready = self._runnable.get(key)
        if ready is None:
            wanted = Platform.parse(platform) if platform else None
            variant = await self.catalog.variant(found.entry, wanted, _shown(found, ref))
            ready = RunnableImage(
                id=found.entry.id,
                name="",
                config=variant.config,
                platform=variant.platform,
                snapshot=await self._unpacked(variant),
                manifest=str(variant.descriptor.digest),
                annotations=variant.manifest.annotations,
            )
            self._runnable[key] = ready
            if len(self._runnable) > _KEPT_RUNNABLE:
                self._runnable.popitem(last=False)
        return replace(ready, name=found.name or found.entry.id)

    async def family(self, refs: Sequence[str]) -> Set[str]:
        """See `RunnableImages`."""
        found: set[str] = set()
        for ref in refs:
            with contextlib.suppress(NotFound, InvalidArgument, Conflict):
                found.add((await self.catalog.find(ref)).entry.id)
        known = await self._described() if found else ()
        chains = [variant.config.diff_ids for entry, variant in known if entry.id in found]
        return found | {
            entry.id
            for entry, variant in known
            if any(chain and variant.config.diff_ids[: len(chain)] == chain for chain in chains)
        }

    async def warm(self, ref: str, platform: str = "", progress: Callable[[str], None] | None = None) -> None:
        """Unpack an image and compile its entry, so that its first container starts like any other. Best effort."""
        try:
            await self._module(await self.runnable(ref, platform or None), progress)
        except WherryError as error:
            log.info("image %s is not ready to run: %s", ref, error)  # whoever runs it, is told the same

    async def _module(self, image: RunnableImage, progress: Callable[[str], None] | None = None) -> Json:
        """What its entry is, compiled now if it has not been; {} if it has none. NotFound; InvalidArgument."""
        name, export = _entry_words(image)
        if not (image.platform.is_wasm and image.snapshot and name):
            return {}
        module = await self._services.compiler.ensure(await self._entry(image, name), progress=progress)
        return module_view(name + export, module)

    @asynccontextmanager
    async def module(self, ref: str, platform: str = "") -> AsyncIterator[Module]:
        """The module that the image runs, as files that are there for as long as this lasts.

        InvalidArgument: what it runs is none, or wrong text; NotFound.
        """
        image = await self.runnable(ref, platform or None)
        name, _ = _entry_words(image)
        path = await self._entry(image, name) if image.snapshot and name else ""
        begin = await asyncio.to_thread(_beginning, path) if path else b""
        module = Module(path, os.path.normpath(name), path, image.config.config)
        if begin.startswith(_MAGIC):
            yield module
        elif is_text(begin):
            with await asyncio.to_thread(temporary_file, self._services.config) as file:
                await self._services.compiler.binary(path, file.fileno())
                yield replace(module, binary=f"/proc/self/fd/{file.fileno()}")
        else:
            raise InvalidArgument(f"image {ref} has no WebAssembly module as its entry")

    async def binary(self, ref: str, platform: str = "") -> AsyncGenerator[bytes, None]:
        """The module that the image runs, in binary, piece by piece. Raises what `module` does, at the first."""
        async with self.module(ref, platform) as module, aclosing(InThreads(_pieces(module.binary))) as pieces:
            async for piece in pieces:
                yield piece

    async def _entry(self, image: RunnableImage, name: str) -> str:
        """The host path of a file of the image. NotFound."""
        snapshots = self._services.snapshots
        return await asyncio.to_thread(lambda: stacked.resolve(snapshots.layers(image.snapshot), name))

    async def raw(self, ref: str, platform: str = "") -> tuple[Descriptor, bytes]:
        """The manifest or index as it is stored; with ``platform`` that platform's manifest. NotFound."""
        found = await self.catalog.find(ref)
        target = found.entry.target
        if platform:
            target = (await self.catalog.variant(found.entry, Platform.parse(platform), ref)).descriptor
        return target, await asyncio.to_thread(self._services.content.read, target)

    async def _unpacked(self, variant: Variant) -> str:
        return await asyncio.to_thread(
            partial(unpack, limits=self._services.config.layer_limits),
            variant.manifest,
            variant.config,
            self._services.content,
            self._services.snapshots,
        )

    async def list(
        self,
        *,
        filters: Filters | None = None,
        manifests: bool = False,
    ) -> Jsons:
        """Newest first; an image whose content is damaged is left out rather than hiding the others. ``manifests``
        adds what there is of each platform."""
        wanted = await self._selection(filters or {})
        users = Counter([image for image, _ in await self._users()])
        shown = []
        for entry, variant in await self._described():
            named = wanted.shown(entry)
            if named is not None and wanted.takes(entry, variant):
                summary = image_views.summary(named, variant, users[entry.id])
                if manifests:
                    summary["Manifests"] = image_views.manifests(await self.catalog.variants(entry.target))
                shown.append(summary)
        return shown

    async def layers(self) -> Mapping[str, Sequence[Descriptor]]:
        """The layers of each image, by its id."""
        return {entry.id: variant.manifest.layers for entry, variant in await self._described()}

    async def _described(self) -> Sequence[tuple[Entry, Variant]]:
        found = []
        for entry in await self.catalog.entries():
            try:
                found.append((entry, await self.catalog.variant(entry, None, entry.id)))
            except WherryError as error:
                log.warning("image %s cannot be shown: %s", entry.id, error)
        return found

    async def _selection(self, filters: Filters) -> Selection:
        asked = checked(filters, KNOWN)
        times: dict[str, list[float]] = {"before": [], "since": []}
        for key, found in times.items():
            for ref in asked.get(key, ()):
                entry = (await self.catalog.find(ref)).entry
                variant = await self.catalog.variant(entry, None, ref)
                found.append(image_views.created_seconds(variant.config, entry))
        return selection(asked, self._services.clock(), before=times["before"], since=times["since"])

    async def inspect(self, ref: str, platform: Platform | None = None) -> Json:
        found = await self.catalog.find(ref)
        variant = await self.catalog.variant(found.entry, platform, _shown(found, ref))
        document = image_views.inspection(found.entry, variant, self._services.snapshots.name)
        if variant.platform.is_wasm:
            document["Wasm"] = self._modules.get(found.entry.id) or await self._told(ref)
        return document

    async def _told(self, ref: str) -> Json:
        """What is told of an image's module. Remembered: `wherry run FILE` asks each time."""
        try:
            image = await self.runnable(ref, None)
            told = self._modules[image.id] = await self._module(image)
        except WherryError as error:  # the image can be shown all the same
            return {"Error": str(error)}
        if len(self._modules) > _KEPT_RUNNABLE:
            self._modules.popitem(last=False)
        return told

    async def history(self, ref: str, platform: Platform | None = None) -> Jsons:
        found = await self.catalog.find(ref)
        return image_views.history(found.entry, await self.catalog.variant(found.entry, platform, _shown(found, ref)))

    async def tag(self, ref: str, repository: str, tag: str) -> None:
        """Give the image one more name. InvalidArgument: the name is none, or has a digest."""
        target = (await self.catalog.find(ref)).entry.target
        name = Reference.parse_bare(repository)
        if name.digest is not None:
            raise InvalidArgument(f"refusing to create a tag with a digest reference: {repository[:200]}")
        named = name.tagged(tag) if tag else Reference.parse(repository)
        await self.catalog.name(str(named), target)
        self._tell("tag", str(target.digest), named.familiar())

    async def remove(self, ref: str, *, force: bool = False, platforms: Sequence[Platform] = ()) -> Jsons:
        """Take names away, and the image with its last one. ``[{"Untagged"} | {"Deleted"}]``. ``platforms`` must be all
        that it has. NotFound; Conflict; Unimplemented: to keep some of its platforms."""
        found = await self.catalog.find(ref)
        chosen = {(await self.catalog.variant(found.entry, each, _shown(found, ref))).descriptor for each in platforms}
        if chosen and len(chosen) < len(await self.catalog.variants(found.entry.target)):
            raise Unimplemented("removing some of an image's platforms is not offered: leave --platform out")
        users = [user for image, user in await self._users() if image == found.entry.id]
        told = await self._take_away(found.entry, plan(found, users, force=force))
        if any("Deleted" in each for each in told):
            await self.collect()
        return told

    async def _take_away(self, entry: Entry, removal: Removal) -> Jsons:
        """The names only; what then nothing refers to, is the collector's."""
        told: Jsons = []
        for name in removal.names:
            await self.catalog.unname(name, keep=removal.keep)
            shown = Reference.parse_bare(name).familiar()
            told.append({"Untagged": shown})
            self._tell("untag", entry.id, shown)
        if not entry.names and not removal.keep:
            await self.catalog.unname(UNTAGGED + entry.id)
        if not await self._is_there(entry):
            self.forget(entry.id)
            told.append({"Deleted": entry.id})
            self._tell("delete", entry.id, entry.id)
        return told

    async def _is_there(self, entry: Entry) -> bool:
        return any(other.id == entry.id for other in await self.catalog.entries())

    def forget(self, image: str) -> None:
        """What was found out of an image (its id) counts no more: it is gone, or more of it came."""
        self.catalog.forget_variants(image)
        for key in [key for key in self._runnable if key[0] == image]:
            del self._runnable[key]

    async def prune(self, filters: Filters) -> Json:
        """Remove what no container is made from: untagged images, or all of them with ``dangling=false``."""
        asked = dict(filters)
        asked.setdefault("dangling", ["true"])
        wanted = await self._selection({key: values for key, values in asked.items() if key != "dangling"})
        only_dangling = boolean("dangling", asked["dangling"])
        used = {image for image, _ in await self._users()}
        deleted: Jsons = []
        for entry, variant in await self._described():
            if entry.id in used or (only_dangling and entry.names) or not wanted.takes(entry, variant):
                continue
            deleted += await self._take_away(entry, Removal(entry.names))
        reclaimed = await self.collect() if deleted else 0
        self.pruned("image", reclaimed)
        return {"ImagesDeleted": deleted or None, "SpaceReclaimed": reclaimed}

    def pruned(self, kind: str, reclaimed: int) -> None:
        """Tell that what was not needed of ``kind`` (image, builder) is gone, ``reclaimed`` bytes of it."""
        self._events.publish(kind, "prune", "", {"reclaimed": str(reclaimed)})

    async def collect(self) -> int:
        """Drop content and snapshots that nothing needs any more."""
        async with self._collecting:
            return await asyncio.to_thread(self._services.collect)

    def loading(
        self, chunks: AsyncIterator[bytes], *, quiet: bool = False, platform: Platform | None = None
    ) -> AsyncGenerator[Json, None]:
        """`load` with its messages as they come, those of the compiler among them unless ``quiet``."""

        async def work(report: Report) -> None:
            tell = (lambda _what, _text: None) if quiet else report.state
            for message in await self.load(chunks, tell, platform):
                report.message(message)

        return streamed(work)

    async def load(
        self,
        chunks: AsyncIterator[bytes],
        tell: Callable[[str, str], None] | None = None,
        platform: Platform | None = None,
    ) -> Jsons:
        """Take in an archive of images; the messages that `docker load` prints in the end. ``tell`` gets an image's
        short id and what the compiler says of it. ``platform`` is all that is taken of an image for several.

        InvalidArgument: it is none. NotFound: the platform is not in it; an image that is for another one alone is
        loaded all the same.
        """
        services = self._services
        with await asyncio.to_thread(temporary_file, services.config) as file:
            await receive(file, chunks, "the image archive")
            async with leased(services.leases, f"load-{services.new_id()}", services.clock() / 1e9) as lease:
                loaded = await blocking(self._read_archive, file, lease, platform)
                for image in loaded:
                    await self._take_in(image)
                if platform is not None:
                    await self._check_loaded(loaded, platform)
        for image in loaded:
            progress = partial(tell, short(image.target.digest)) if tell is not None else None
            await self.warm(str(image.target.digest), str(platform or ""), progress)
        return [{"stream": text} for image in loaded for text in _loaded_lines(image)]

    async def _check_loaded(self, loaded: Sequence[Loaded], platform: Platform) -> None:
        """NotFound, in docker's words: some of them are not for that platform."""
        lacking = []
        for image in loaded:
            there = await self.catalog.variants(image.target)
            if not any(platform.matches(variant.platform) for variant in there):
                lacking.append(_loaded_name(image))
        if len(lacking) == 1:
            raise NotFound(f"image {lacking[0]} was loaded, but doesn't provide the requested platform ({platform})")
        if lacking:
            names = ", ".join(lacking)
            raise NotFound(f"images [{names}] were loaded, but don't provide the requested platform ({platform})")

    def _read_archive(self, file: BinaryIO, lease: str, platform: Platform | None) -> Sequence[Loaded]:
        def hold(digest: Digest) -> None:
            self._services.leases.add(lease, "content", str(digest))

        return image_archive.load(file, self._services.content, hold, platform)

    async def _take_in(self, image: Loaded) -> None:
        self.forget(str(image.target.digest))
        await self.catalog.variants(image.target)  # what cannot be read is refused, not named
        for name in image.names:
            await self.catalog.name(name, image.target)
        await self.catalog.keep(image.target)
        self._tell("load", str(image.target.digest), str(image.target.digest))

    async def save(self, refs: Sequence[str], platform: Platform | None = None) -> AsyncIterator[bytes]:
        """``await`` it (NotFound, also of the ``platform``; DataLoss), then iterate: a tar archive of the images with
        the names they were asked for by; with ``platform``, of an image for several, that one's alone. All is read once
        before, so that damage is an error with its reason and not an archive that breaks off.
        """
        wanted: dict[Digest, tuple[Descriptor, list[str]]] = {}
        for ref in refs:
            found = await self.catalog.find(ref)
            target = found.entry.target
            if platform is not None:
                target = (await self.catalog.variant(found.entry, platform, _shown(found, ref))).descriptor
            names = wanted.setdefault(target.digest, (target, []))[1]
            if found.name and found.name not in names:
                names.append(found.name)
        content, targets = self._services.content, [target for target, _ in wanted.values()]
        await asyncio.to_thread(image_archive.verify, targets, content)
        for target in targets:
            self._tell("save", str(target.digest), str(target.digest))
        return InThreads(image_archive.save(list(wanted.values()), content))

    async def _users(self) -> Sequence[tuple[str, User]]:
        """Every container with the id of its image. That one runs is written down a moment after it is so."""
        containers = await asyncio.to_thread(lambda: list(self._services.containers.walk()))
        latest = {record.id: record for record in self.latest()}
        records = [latest.get(record.id, record) for record in map(from_container, containers)]
        return [(record.image_id, User(record.id, record.state.status in _ACTIVE)) for record in records]

    def _tell(self, action: str, image: str, name: str) -> None:
        self._events.publish("image", action, image, {"name": name})


def _entry_words(image: RunnableImage) -> tuple[str, str]:
    """The absolute path that its command line begins with, "" if it has none, and what follows it from ``#`` on."""
    config = image.config.config
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words:
        return "", ""
    path, sharp, export = words[0].partition("#")
    return os.path.join("/", config.working_dir, path), sharp + export


def _pieces(path: str) -> Generator[bytes, None, None]:
    with translating(f"read {path}"), open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _beginning(path: str) -> bytes:
    with translating(f"read {path}"), open(path, "rb") as file:
        return file.read(_BEGINNING)


def _loaded_name(image: Loaded) -> str:
    return Reference.parse_bare(image.names[0]).familiar() if image.names else str(image.target.digest)


def _loaded_lines(image: Loaded) -> Iterator[str]:
    for name in image.names:
        yield f"Loaded image: {Reference.parse_bare(name).familiar()}\n"
    if not image.names:
        yield f"Loaded image ID: {image.target.digest}\n"


def _shown(found: Found, ref: str) -> str:
    return Reference.parse_bare(found.name).familiar() if found.name else ref
