"""What each image consists of on the disk: blobs as they are stored, of all its platforms that are here, and unpacked
layers. Reading it walks the unpacked files, once for each layer.
"""

import asyncio
from collections.abc import Iterator, Mapping

from wherry.core.diff.unpack import steps
from wherry.engine.image_catalog import Catalog, Variant
from wherry.engine.services import EngineServices
from wherry.errors import NotFound, WherryError


class ImagePieces:
    """Remembers the sizes of unpacked layers: what is committed does not change."""

    def __init__(self, services: EngineServices, catalog: Catalog) -> None:
        self._services = services
        self._catalog = catalog
        self._unpacked: dict[str, int] = {}

    async def all(self) -> dict[str, Mapping[str, int]]:
        """By image, bytes by piece. An image that cannot be read has none."""
        found: dict[str, Mapping[str, int]] = {}
        for entry in await self._catalog.entries():
            try:
                variants = await self._catalog.variants(entry.target)
                pieces = await asyncio.to_thread(lambda variants: dict(self._of(variants)), variants)
            except WherryError:
                pieces = {}
            found[entry.id] = {str(entry.target.digest): entry.target.size, **pieces}
        present = {key for own in found.values() for key in own}
        self._unpacked = {key: size for key, size in self._unpacked.items() if key in present}
        return found

    def _of(self, variants: list[Variant]) -> Iterator[tuple[str, int]]:
        for variant in variants:
            yield str(variant.descriptor.digest), variant.descriptor.size
            for blob in variant.manifest.children:
                yield str(blob.digest), blob.size
            for chain in _chains(variant):
                size = self._size(chain)
                if size:
                    yield f"unpacked {chain}", size

    def _size(self, chain: str) -> int:
        key = f"unpacked {chain}"
        known = self._unpacked.get(key)
        if known is None:
            try:
                known = self._services.snapshots.usage(chain).size
            except NotFound:
                return 0  # not unpacked: nobody has run it
            self._unpacked[key] = known
        return known


def _chains(variant: Variant) -> list[str]:
    try:
        return [step.chain for step in steps(variant.manifest, variant.config)]
    except WherryError:
        return []  # an artifact: there is nothing to unpack
