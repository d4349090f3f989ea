"""Which images there are, by name and id, and what each of them consists of.

The names are kept in memory: this engine is the only writer of its root, and every create asks. What an image consists
of never changes under its digest, so that is kept too. Docker's words for images lie in image_views.py.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wherry.core.content.store import ContentStore
from wherry.core.images.store import Image, ImageStore
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci.artifact import WASM, read_config
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

UNTAGGED = "<none>@"
"""What the name of an image that has none begins with; its digest follows."""
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_KEPT_VARIANTS = 512
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: a target and all names that point at it. Times in seconds since the epoch."""

    target: Descriptor
    names: tuple[str, ...]
    created: float
    updated: float

    @property
    def id(self) -> str:
        """The digest of the manifest or index: what `docker images` shows as the id."""
        return str(self.target.digest)


@dataclass(frozen=True, slots=True)
class Found:
    """What a reference led to: ``name`` is the canonical name that was asked for, "" when it was an id."""

    entry: Entry
    name: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One platform's manifest of an image, read. ``size`` is the bytes of its blobs as they are stored."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    platform: Platform
    size: int


class Catalog:
    """Looks images up and renames them. Methods that change something return once that is durable."""

    def __init__(self, images: ImageStore, content: ContentStore, host: Platform, clock: Callable[[], int]) -> None:
        self._images = images
        self._content = content
        self._host = host
        self._clock = clock
        self._known: dict[str, Image] | None = None
        self._changing = asyncio.Lock()
        self._variants: OrderedDict[tuple[Digest, str], Variant] = OrderedDict()

    def forget(self) -> None:
        """Read the names anew when next asked: somebody else (a build) wrote some."""
        self._known = None

    def forget_variants(self, image: str) -> None:
        """Read an image's manifests anew when next asked: more of them are here than were."""
        for key in [key for key in self._variants if key[0] == image]:
            del self._variants[key]

    async def names(self) -> dict[str, Image]:
        """Every name, placeholders of untagged images included."""
        if self._known is None:
            images = await asyncio.to_thread(lambda: list(self._images.walk()))
            self._known = {image.name: image for image in images}
        return self._known

    async def entries(self) -> list[Entry]:
        """Every image, newest first."""
        by_target: dict[Digest, list[Image]] = {}
        for image in (await self.names()).values():
            by_target.setdefault(image.target.digest, []).append(image)
        return sorted((_entry(images) for images in by_target.values()), key=lambda entry: -entry.created)

    async def entry(self, digest: Digest) -> Entry:
        """The image with that target. NotFound."""
        images = [image for image in (await self.names()).values() if image.target.digest == digest]
        if not images:
            raise NotFound(f"No such image: {digest}")
        return _entry(images)

    async def find(self, ref: str) -> Found:
        """By name, id or unique prefix of an id. NotFound; InvalidArgument: it can be neither; Conflict: ambiguous."""
        if ref.startswith("sha256:"):
            return Found(await self._by_prefix(ref.removeprefix("sha256:"), ref))
        if len(ref) == 64 and _HEX.fullmatch(ref):
            return Found(await self._by_prefix(ref, ref))
        reference = Reference.parse(ref)
        known = await self.names()
        image = known.get(str(reference))
        if image is not None:
            return Found(await self.entry(image.target.digest), image.name)
        if reference.digest is not None:
            return Found(await self._by_digest(reference), str(reference))
        if _HEX.fullmatch(ref):
            return Found(await self._by_prefix(ref, reference.familiar()))
        raise NotFound(f"No such image: {reference.familiar()}")

    async def _by_prefix(self, prefix: str, shown: str) -> Entry:
        if not _HEX.fullmatch(prefix):
            raise InvalidArgument(f"invalid image id {shown[:100]!r}: sha256: and up to 64 hex digits are expected")
        digests = {image.target.digest for image in (await self.names()).values()}
        matching = [digest for digest in digests if digest.hex.startswith(prefix)]
        if len(matching) > 1:
            raise Conflict(f"Multiple IDs found with provided prefix: {prefix}")
        if not matching:
            raise NotFound(f"No such image: {shown}")
        return await self.entry(matching[0])

    async def _by_digest(self, reference: Reference) -> Entry:
        """``hello@sha256:...``: an image of that repository and digest, whatever its tag."""
        for image in (await self.names()).values():
            same = image.target.digest == reference.digest and not image.name.startswith(UNTAGGED)
            if same and Reference.parse(image.name).name == reference.name:
                return await self.entry(image.target.digest)
        raise NotFound(f"No such image: {reference.familiar()}")

    async def name(self, name: str, target: Descriptor) -> None:
        """Let ``name`` point at ``target``; an image that loses its last name by that is kept as an untagged one."""
        async with self._changing:
            known = await self.names()
            before = known.get(name)
            await self._put(Image(name, target, *self._times(before, target)))
            await self._drop(known.get(UNTAGGED + str(target.digest)))
            if before is not None:
                await self._keep(before.target)

    async def unname(self, name: str, *, keep: bool = False) -> None:
        """Take a name away; with ``keep`` the image stays as an untagged one if that was its last. NotFound."""
        async with self._changing:
            image = (await self.names()).get(name)
            if image is None:
                raise NotFound(f"No such image: {name}")
            await self._drop(image)
            if keep:
                await self._keep(image.target)

    async def keep(self, target: Descriptor) -> None:
        """Hold an image that has no name under a placeholder."""
        async with self._changing:
            await self._keep(target)

    async def _keep(self, target: Descriptor) -> None:
        if all(image.target.digest != target.digest for image in (await self.names()).values()):
            await self._put(Image(UNTAGGED + str(target.digest), target, *self._times(None, target)))

    def _times(self, before: Image | None, target: Descriptor) -> tuple[float, float]:
        now = self._clock() / 1e9
        return (before.created if before is not None and before.target.digest == target.digest else now), now

    async def _put(self, image: Image) -> None:
        known = await self.names()
        await asyncio.to_thread(self._images.put, image)
        known[image.name] = image

    async def _drop(self, image: Image | None) -> None:
        if image is None:
            return
        known = await self.names()
        await asyncio.to_thread(self._images.delete, image.name)
        known.pop(image.name, None)

    async def variants(self, target: Descriptor) -> list[Variant]:
        """Every manifest of an image that is here, in the index's order, attestations left out. DataLoss."""
        return await asyncio.to_thread(self._read_variants, target)

    async def variant(self, entry: Entry, platform: Platform | None, shown: str) -> Variant:
        """The manifest for ``platform``; without one, WebAssembly's, else the host's. NotFound names ``shown``."""
        key = (entry.target.digest, str(platform or ""))
        kept = self._variants.get(key)
        if kept is not None:
            self._variants.move_to_end(key)
            return kept
        found = self._choose(await self.variants(entry.target), platform, shown)
        self._variants[key] = found
        if len(self._variants) > _KEPT_VARIANTS:
            self._variants.popitem(last=False)
        return found

    def _choose(self, variants: Sequence[Variant], platform: Platform | None, shown: str) -> Variant:
        if not variants:
            raise NotFound(f"image {shown} has no manifest whose content is here")
        if platform is None:
            return _best(variants, WASM) or _best(variants, self._host) or variants[0]
        fitting = _best(variants, platform)
        if fitting is None:
            there = ", ".join(sorted({str(variant.platform) for variant in variants}))
            raise NotFound(
                f"image with reference {shown} was found but its platform ({there}) does not match"
                f" the specified platform ({platform})"
            )
        return fitting

    def _read_variants(self, target: Descriptor) -> list[Variant]:
        document = parse_manifest(self._content.read(target), target.media_type)
        if isinstance(document, Manifest):
            return [self._read_variant(target, document)]
        found = []
        for descriptor in document.manifests:
            if descriptor.platform is not None and descriptor.platform.os == "unknown":
                continue
            try:
                manifest = parse_manifest(self._content.read(descriptor), descriptor.media_type)
            except NotFound:
                continue  # a platform that was not fetched
            if not isinstance(manifest, Index):
                found.append(self._read_variant(descriptor, manifest))
        return found

    def _read_variant(self, descriptor: Descriptor, manifest: Manifest) -> Variant:
        full = read_config(manifest, self._content.read)
        platform = full.platform if full.os and full.architecture else descriptor.platform
        size = descriptor.size + sum(child.size for child in manifest.children)
        return Variant(descriptor, manifest, full, platform or WASM, size)


def _entry(images: Iterable[Image]) -> Entry:
    found = sorted(images, key=lambda image: image.name)
    names = tuple(image.name for image in found if not image.name.startswith(UNTAGGED))
    return Entry(found[0].target, names, min(image.created for image in found), max(image.updated for image in found))


def _best(variants: Sequence[Variant], wanted: Platform) -> Variant | None:
    fitting = [variant for variant in variants if wanted.matches(variant.platform)]
    exact = [variant for variant in fitting if variant.platform.normalized() == wanted.normalized()]
    return next(iter(exact or fitting), None)
