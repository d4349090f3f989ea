"""``index.json`` of the content store's layout: which images lie in it, by name, for programs other than wherry."""

import os
from collections.abc import Iterable
from dataclasses import replace

from wherry.core.content.files import StagedFile
from wherry.errors import InvalidArgument
from wherry.oci import layout
from wherry.oci.descriptor import Descriptor
from wherry.oci.manifest import Index
from wherry.oci.reference import Reference

_FULL_NAME = "io.containerd.image.name"
"""The annotation by which containerd and docker tell an image's canonical name."""


def stage_index(root: str, images: Iterable[tuple[str, Descriptor]]) -> StagedFile:
    """The next ``index.json`` of the layout at ``root``, to be published once the names are committed.

    A power cut may take it: whoever keeps the names writes it anew when the engine starts. An image is found by the
    short name that docker shows (``oci:ROOT:hello:latest``); untagged ones have none.
    """
    entries = tuple(_entry(name, target) for name, target in images)
    return StagedFile(os.path.join(root, layout.INDEX_FILE), Index(entries).to_bytes(), durable=False)


def _entry(name: str, target: Descriptor) -> Descriptor:
    try:
        reference = Reference.parse_bare(name)
    except InvalidArgument:
        return target
    names = {_FULL_NAME: str(reference), layout.REF_NAME: reference.familiar()}
    return replace(target, annotations={**target.annotations, **names})
