"""Is all that the engine keeps as it was when it was stored? Every blob, record, snapshot and compiled module, and what
can be mended of it: blobs from their registry, snapshots from their blobs, compiled code by compiling it again.

It runs beside any work; what goes away meanwhile, because somebody removes it, is no fault.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wherry.core.diff.unpack import Step, beside, is_unpacked, steps
from wherry.core.images.store import Image
from wherry.core.remotes.remote import Credentials
from wherry.core.snapshots.compare import difference
from wherry.core.threads import blocking
from wherry.engine.image_catalog import UNTAGGED
from wherry.engine.refetch import Refetch
from wherry.engine.services import EngineServices
from wherry.errors import DataLoss, NotFound, WherryError
from wherry.oci import artifact
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.reference import Reference

Json = dict[str, Any]
_CHUNK: Final = 1 << 20
_PULL_AGAIN: Final = "use --repair, or remove the image and get it again"
_MEND: Final = "use --repair"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be. ``kind``: content, image, snapshot, container, compiled. ``remedy`` is
    what to do about it; once it is ``repaired``, nothing."""

    kind: str
    name: str
    problem: str
    remedy: str
    repaired: bool = False

    def to_json(self) -> Json:
        return {
            "Kind": self.kind,
            "Name": self.name,
            "Problem": self.problem,
            "Remedy": "" if self.repaired else self.remedy,
            "Repaired": self.repaired,
        }


@dataclass(slots=True)
class _Blob:
    """What was found out of one blob. ``problem`` "" is none."""

    descriptor: Descriptor
    problem: str
    names: list[str] = field(default_factory=list)
    refusal: str = ""
    repaired: bool = False

    @property
    def usable(self) -> bool:
        return not self.problem or self.repaired


class Checks:
    """`wherry system check`."""

    def __init__(self, services: EngineServices) -> None:
        self._services = services

    async def run(
        self, *, repair: bool = False, logins: Mapping[str, Credentials] | None = None
    ) -> AsyncIterator[Json]:
        """``{"Fault": ...}`` for each that is found, and in the end ``{"Checked": ...}`` with what was looked at."""
        check = _Check(self._services, Refetch(self._services, logins or {}) if repair else None)
        faults = repaired = 0
        for part in (check.images, check.blobs, check.snapshots, check.containers, check.compiled):
            async for fault in part():
                faults += 1
                repaired += fault.repaired
                yield {"Fault": fault.to_json()}
        yield {"Checked": {**check.counts, "Faults": faults, "Repaired": repaired}}


class _Check:
    """One run. ``refetch`` is None when nothing is to be mended."""

    def __init__(self, services: EngineServices, refetch: Refetch | None) -> None:
        self._services = services
        self._refetch = refetch
        self._blobs: dict[str, _Blob] = {}
        self._chains: dict[str, str] = {}
        self._snapshot_faults: list[Fault] = []
        self.counts = {"Blobs": 0, "Images": 0, "Snapshots": 0, "Containers": 0, "Compiled": 0}

    async def images(self) -> AsyncIterator[Fault]:
        """Each image's documents and blobs, from its record down, and the snapshots of its layers."""
        for image in await asyncio.to_thread(lambda: list(self._services.images.walk())):
            self.counts["Images"] += 1
            try:
                problem = await self._document(image, image.target)
            except WherryError as error:
                problem = str(error)
            if problem and await self._still_there(image):
                yield Fault("image", _shown(image.name), problem, "remove the image, and get or build it again")

    async def _still_there(self, image: Image) -> bool:
        try:
            return (await asyncio.to_thread(self._services.images.get, image.name)).target.digest == image.target.digest
        except NotFound:
            return False

    async def _document(self, image: Image, descriptor: Descriptor) -> str:
        """What is wrong with a manifest or index beside the blobs themselves; "" is nothing."""
        blob = await self._blob(image, descriptor)
        if not blob.usable:
            return ""
        data = await asyncio.to_thread(self._services.content.read, descriptor)
        document = parse_manifest(data, descriptor.media_type)
        if isinstance(document, Index):
            return await self._index(image, document)
        for child in document.children:
            await self._blob(image, child)
        return await self._layers(document)

    async def _index(self, image: Image, index: Index) -> str:
        here = [child for child in index.manifests if await asyncio.to_thread(self._is_here, child.digest)]
        problems = [await self._document(image, child) for child in here]
        if not here and index.manifests:
            return "has no manifest whose content is here"
        return next((problem for problem in problems if problem), "")

    def _is_here(self, digest: Digest) -> bool:
        try:
            self._services.content.info(digest)
        except NotFound:
            return False
        return True

    async def _blob(self, image: Image, descriptor: Descriptor) -> _Blob:
        """Look at a blob once; mend it with the help of whichever image has it."""
        known = self._blobs.get(descriptor.digest)
        if known is None:
            known = _Blob(descriptor, await blocking(self._verify, descriptor))
            if known.problem and not await self._still_there(image):
                return replace(known)  # it went with its image
            self._blobs[descriptor.digest] = known
        if known.problem:
            known.names.append(image.name)
        if known.problem and not known.repaired and self._refetch is not None:
            try:
                await self._refetch.blob(descriptor, [image.name])
                known.repaired = True
            except WherryError as error:
                known.refusal = str(error)
        return known

    def _verify(self, descriptor: Descriptor | Digest) -> str:
        content = self._services.content
        digest = descriptor.digest if isinstance(descriptor, Descriptor) else descriptor
        try:
            size = content.info(digest).size
            if isinstance(descriptor, Descriptor) and size != descriptor.size:
                return f"has {size} bytes, not {descriptor.size}"
            with content.open(digest) as reader:
                while reader.read(_CHUNK):
                    pass
        except NotFound:
            return "is missing"
        except DataLoss:
            return "is not what its digest says"
        except WherryError as error:
            return str(error)
        return ""

    async def blobs(self) -> AsyncIterator[Fault]:
        """The faults of the images' blobs, and all blobs that no image has."""
        for blob in self._blobs.values():
            if blob.problem:
                users = f"{blob.problem} (image {', '.join(dict.fromkeys(map(_shown, blob.names)))})"
                remedy = f"remove the image, and get or build it again: {blob.refusal}" if blob.refusal else _PULL_AGAIN
                yield Fault("content", str(blob.descriptor.digest), users, remedy, blob.repaired)
        for info in await asyncio.to_thread(lambda: list(self._services.content.walk())):
            if info.digest not in self._blobs:
                problem = await blocking(self._verify, info.digest)
                stays = await asyncio.to_thread(self._is_here, info.digest)
                if problem and stays:
                    # At most the build cache has it: a step that misses it is run again.
                    if self._refetch is not None:
                        await asyncio.to_thread(self._services.content.delete, info.digest)
                    damaged = f"{problem} (no image has it)"
                    yield Fault("content", str(info.digest), damaged, _MEND, self._refetch is not None)
                self.counts["Blobs"] += 1
        self.counts["Blobs"] += len(self._blobs)

    async def _layers(self, manifest: Manifest) -> str:
        """Compare the snapshots of an image's layers with what their blobs unpack to; lowest first."""
        config = None
        if artifact.has_config(manifest):
            if not self._blobs[manifest.config.digest].usable:
                return ""
            config = ImageConfig.parse(await asyncio.to_thread(self._services.content.read, manifest.config))
        try:
            found = steps(manifest, artifact.completed(manifest, config))
        except WherryError as error:
            return str(error) if artifact.is_image(manifest) else ""
        for step in found:
            if self._chains.get(step.parent):
                self._chains[step.chain] = "lies on a damaged one"
            elif step.chain not in self._chains:
                await self._snapshot(step)
        return ""

    async def _snapshot(self, step: Step) -> None:
        if not await asyncio.to_thread(is_unpacked, self._services.snapshots, step):
            return
        self.counts["Snapshots"] += 1
        whole = self._blobs[step.layer.digest].usable
        problem = await blocking(self._compare, step) if whole else await blocking(self._folder, step.chain)
        if not problem or not await asyncio.to_thread(is_unpacked, self._services.snapshots, step):
            self._chains[step.chain] = ""
            return
        repaired = False
        if self._refetch is not None and whole:
            try:
                await blocking(self._unpack_again, step)
                repaired = True
            except WherryError as error:
                problem = f"{problem}; unpacking it again failed: {error}"
        self._chains[step.chain] = "" if repaired else problem
        self._snapshot_faults.append(Fault("snapshot", step.chain, problem, _PULL_AGAIN, repaired))

    def _compare(self, step: Step) -> str:
        services = self._services
        problem = self._folder(step.chain)
        if problem:
            return problem
        try:
            with beside(step, services.content, services.snapshots, limits=services.config.layer_limits) as active:
                return difference(services.snapshots.layers(step.chain)[0], services.snapshots.layers(active)[0])
        except (OSError, WherryError) as error:
            return f"cannot be compared with its layer: {error}"

    def _unpack_again(self, step: Step) -> None:
        services = self._services
        with beside(step, services.content, services.snapshots, limits=services.config.layer_limits) as active:
            services.snapshots.replace(step.chain, active)

    def _folder(self, key: str) -> str:
        try:
            return "" if os.path.isdir(self._services.snapshots.layers(key)[0]) else "has lost its folder"
        except NotFound:
            return ""  # it was removed meanwhile

    async def snapshots(self) -> AsyncIterator[Fault]:
        """The faults of the images' snapshots, and the folders of all others but the containers'."""
        for fault in self._snapshot_faults:
            yield fault
        containers = await asyncio.to_thread(lambda: {each.snapshot for each in self._services.containers.walk()})
        for info in await asyncio.to_thread(lambda: list(self._services.snapshots.walk())):
            if info.kind != "committed" or info.key in self._chains or info.key in containers:
                continue
            self.counts["Snapshots"] += 1
            problem = await asyncio.to_thread(self._folder, info.key)
            if problem:
                repaired = self._refetch is not None and await self._forget(info.key)
                yield Fault("snapshot", info.key, problem, _MEND, repaired)

    async def _forget(self, key: str) -> bool:
        try:
            await asyncio.to_thread(self._services.snapshots.remove, key)
        except WherryError:  # something stands on it
            return False
        return True

    async def containers(self) -> AsyncIterator[Fault]:
        """Each container's own files. They are nowhere else: nothing can be mended."""
        for container in await asyncio.to_thread(lambda: list(self._services.containers.walk())):
            self.counts["Containers"] += 1
            try:
                problem = await asyncio.to_thread(self._folder_of_container, container.id, container.snapshot)
            except NotFound:
                continue
            if problem:
                name = container.name or container.id[:12]
                yield Fault("container", name, problem, f"copy out what it has in volumes, and `rm` it: {name}")

    def _folder_of_container(self, container: str, snapshot: str) -> str:
        """NotFound: the container went meanwhile."""
        try:
            found = self._services.snapshots.stat(snapshot) if snapshot else None
        except NotFound:
            self._services.containers.get(container)
            return "has no writable layer"
        problem = "its writable layer has lost its folder" if found and self._folder(snapshot) else ""
        if problem:
            self._services.containers.get(container)
        return problem

    async def compiled(self) -> AsyncIterator[Fault]:
        """Compiled modules; what is dropped is made again when it is needed."""
        kept = self._services.compiled
        if kept is None:
            return
        damaged, count = await blocking(lambda: (list(kept.check()), kept.count()))
        self.counts["Compiled"] = count
        for each in damaged:
            if self._refetch is not None:
                await asyncio.to_thread(kept.drop, each.file)
            yield Fault("compiled", each.file, each.fault, _MEND, self._refetch is not None)


def _shown(name: str) -> str:
    return name.removeprefix(UNTAGGED) if name.startswith(UNTAGGED) else Reference.parse_bare(name).familiar()
