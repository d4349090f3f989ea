"""Whose are the bytes on the disk? What images take and share, and what only the build cache keeps. Pure.

Source: Docker Engine API v1.51, SystemDataUsage.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.build.cache import Kept
from wherry.engine.times import rfc3339
from wherry.oci.descriptor import Descriptor

Json = dict[str, Any]
CACHE_ID = 25
"""Characters of a cache record's key that are its id: as many as BuildKit's have."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that an image takes, and how many of them other images have too."""

    size: int
    shared: int


def rooms(pieces: Mapping[str, Mapping[str, int]]) -> dict[str, Room]:
    """By image, of what each consists of: the bytes of its blobs and unpacked layers, by their keys."""
    owners = Counter(key for own in pieces.values() for key in own)
    return {
        image: Room(sum(own.values()), sum(size for key, size in own.items() if owners[key] > 1))
        for image, own in pieces.items()
    }


def union(pieces: Mapping[str, Mapping[str, int]]) -> int:
    """Bytes of all images together, what they share counted once."""
    return sum({key: size for own in pieces.values() for key, size in own.items()}.values())


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
