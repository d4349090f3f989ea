"""Images in the words of the Engine API. Pure.

Source: Docker Engine API v1.51, ImageSummary, ImageInspect, HistoryResponseItem.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from wherry.engine.image_catalog import Entry, Variant
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.reference import Reference

Json = dict[str, Any]
_NEVER = "0001-01-01T00:00:00Z"


def summary(entry: Entry, variant: Variant, containers: int) -> Json:
    """One line of `docker images`. ``containers`` is the number of those made from it, -1 when nobody counted."""
    return {
        "Id": entry.id,
        "ParentId": "",
        "RepoTags": tags(entry),
        "RepoDigests": digests(entry),
        "Created": int(created_seconds(variant.config, entry)),
        "Size": variant.size,
        "SharedSize": -1,
        "Labels": dict(variant.config.config.labels),
        "Containers": containers,
    }


def manifests(variants: Iterable[Variant]) -> list[Json]:
    """``Manifests`` of an image: one for each platform that is here, as `docker images --tree` shows them."""
    return [
        {
            "ID": str(variant.descriptor.digest),
            "Descriptor": variant.descriptor.to_json(),
            "Available": True,
            "Size": {"Content": variant.size, "Total": variant.size},
            "Kind": "image",
            "ImageData": {"Platform": variant.platform.to_json(), "Containers": [], "Size": {"Unpacked": 0}},
        }
        for variant in variants
    ]


def inspection(entry: Entry, variant: Variant, driver: str) -> Json:
    """What `docker image inspect` shows; ``driver`` is the snapshotter's name."""
    config = variant.config
    return {
        "Id": entry.id,
        "RepoTags": tags(entry),
        "RepoDigests": digests(entry),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": rfc3339(created_seconds(config, entry)),
        "DockerVersion": "",
        "Author": config.author,
        "Config": run_config(config.config),
        "Architecture": variant.platform.architecture,
        **({"Variant": variant.platform.variant} if variant.platform.variant else {}),
        "Os": variant.platform.os,
        "Size": variant.size,
        "GraphDriver": {"Name": driver, "Data": {}},
        "RootFS": {"Type": "layers", "Layers": [str(digest) for digest in config.diff_ids]},
        "Metadata": {"LastTagTime": rfc3339(entry.updated) if entry.names else _NEVER},
        "Descriptor": entry.target.to_json(),
    }


def run_config(config: RunConfig) -> Json:
    """The image's ``Config``, with the keys that clients expect to find even where there is nothing in them."""
    empty: Json = {
        "User": "",
        "ExposedPorts": None,
        "Env": None,
        "Entrypoint": None,
        "Cmd": None,
        "Volumes": None,
        "WorkingDir": "",
        "OnBuild": None,
        "Labels": None,
    }
    return empty | config.to_json()


def history(entry: Entry, variant: Variant) -> list[Json]:
    """The steps of `docker history`, newest first; sizes are those of the layers as they are stored."""
    steps: list[Json] = []
    layers = iter(variant.manifest.layers)
    created = created_seconds(variant.config, entry)
    for step in variant.config.history:
        layer = None if step.empty_layer else next(layers, None)
        steps.append(
            {
                "Id": "<missing>",
                "Created": int(seconds_of(step.created) or created),
                "CreatedBy": step.created_by,
                "Tags": None,
                "Size": layer.size if layer is not None else 0,
                "Comment": step.comment,
            }
        )
    if not steps:
        size = sum(layer.size for layer in variant.manifest.layers)
        steps = [{"Id": "", "Created": int(created), "CreatedBy": "", "Tags": None, "Size": size, "Comment": ""}]
    steps[-1].update(Id=entry.id, Tags=tags(entry) or None)
    return steps[::-1]


def tags(entry: Entry) -> list[str]:
    """Its names with a tag, as people type them."""
    references = [Reference.parse_bare(name) for name in entry.names]
    return [reference.familiar() for reference in references if reference.tag and not reference.digest]


def digests(entry: Entry) -> list[str]:
    """``repository@digest`` of each repository it has a name in."""
    names = dict.fromkeys(Reference.parse_bare(name).familiar_name for name in entry.names)
    return [f"{name}@{entry.target.digest}" for name in names]


def created_seconds(config: ImageConfig, entry: Entry) -> float:
    """When the image was made by its own word, else when it came here; seconds since the epoch."""
    return seconds_of(config.created) or entry.created


def seconds_of(text: str) -> float:
    """RFC 3339 as seconds since the epoch; 0 for what is no time: images come from anywhere.

    The epoch itself is what reproducible images say instead of a time, so it is none either.
    """
    try:
        return max(datetime.fromisoformat(text).timestamp(), 0.0) if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
