"""The finished stage as an image: configuration and manifest in the content store, names in the image store. Blocks.

Names are written last: a build that is killed leaves no image, only blobs for the collector.
"""

from collections.abc import Sequence
from dataclasses import replace

from wherry.build.request import BuildResult, BuildServices
from wherry.build.state import State
from wherry.core.content.store import write_blob
from wherry.core.images.store import Image
from wherry.errors import NotFound
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.reference import Reference


def store_image(services: BuildServices, lease: str, state: State, config: ImageConfig) -> BuildResult:
    """Store the image, without a name. ResourceExhausted: the disk is full."""
    document = config.to_bytes()
    config_blob = Descriptor.of(mediatypes.OCI_CONFIG, document)
    manifest = Manifest(config_blob, tuple(layer.descriptor for layer in state.layers)).to_bytes()
    target = Descriptor.of(mediatypes.OCI_MANIFEST, manifest)
    _store(services, lease, config_blob, document)
    _store(services, lease, target, manifest)
    return BuildResult(config_blob.digest, target, config, ())


def store_index(services: BuildServices, lease: str, made: Sequence[BuildResult]) -> BuildResult:
    """Store an index of images for several platforms; its first one's configuration stands for all."""
    entries = tuple(replace(result.target, platform=result.config.platform) for result in made)
    data = Index(entries).to_bytes()
    target = Descriptor.of(mediatypes.OCI_INDEX, data)
    _store(services, lease, target, data)
    return BuildResult(target.digest, target, made[0].config, ())


def _store(services: BuildServices, lease: str, blob: Descriptor, data: bytes) -> None:
    services.leases.add(lease, "content", str(blob.digest))
    write_blob(services.content, data, expected=blob.digest)


def name_image(services: BuildServices, target: Descriptor, tags: Sequence[Reference]) -> None:
    """Let the names be the image's; without any it stays, untagged. No name has changed when this fails."""
    for name in tuple(str(tag) for tag in tags) or (f"<none>@{target.digest}",):
        _name(services, name, target)


def _name(services: BuildServices, name: str, target: Descriptor) -> None:
    """Let ``name`` be the image's. The image that loses its only name stays, untagged, as docker has it."""
    now = services.clock()
    created = now
    try:
        old = services.images.get(name)
    except NotFound:
        pass
    else:
        if old.target.digest == target.digest:
            created = old.created
        elif sum(image.target.digest == old.target.digest for image in services.images.walk()) == 1:
            services.images.put(Image(f"<none>@{old.target.digest}", old.target, old.created, now, old.labels))
    services.images.put(Image(name, target, created, now))
    if not name.startswith("<none>"):
        try:
            services.images.delete(f"<none>@{target.digest}")
        except NotFound:
            pass
