"""Whose are the bytes of the content store? What images share, and what only the build cache keeps. Pure.

Source: Docker Engine API v1.51, SystemDataUsage.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wherry.build.cache import Kept
from wherry.engine.times import rfc3339
from wherry.oci.descriptor import Descriptor

Json = dict[str, Any]
CACHE_ID = 25
"""Characters of a cache record's key that are its id: as many as BuildKit's have."""


def shared_sizes(layers: Mapping[str, Sequence[Descriptor]]) -> dict[str, int]:
    """Bytes of each image (by id) that other images have too."""
    owners = Counter(digest for own in layers.values() for digest in {layer.digest for layer in own})
    return {
        image: sum({layer.digest: layer.size for layer in own if owners[layer.digest] > 1}.values())
        for image, own in layers.items()
    }


def build_cache(kept: Iterable[Kept], images: Iterable[Sequence[Descriptor]]) -> list[Json]:
    """One entry for each cached layer, however many steps made it. ``Shared``: an image has it as well."""
    used_by_images = {layer.digest for own in images for layer in own}
    latest: dict[str, Kept] = {}
    for record in sorted(kept, key=lambda record: record.used):
        latest[str(record.layer.descriptor.digest)] = record
    return [
        {
            "ID": record.key[:CACHE_ID],
            "Parent": "",
            "Type": "regular",
            "Description": f"layer {digest}",
            "InUse": False,
            "Shared": record.layer.descriptor.digest in used_by_images,
            "Size": record.layer.descriptor.size,
            "CreatedAt": rfc3339(int(record.used * 1e9)),
            "LastUsedAt": rfc3339(int(record.used * 1e9)),
            "UsageCount": 1,
        }
        for digest, record in latest.items()
    ]
