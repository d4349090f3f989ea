"""What FROM and ``--from`` begin with: an image of the store, or nothing."""

import re
from dataclasses import dataclass

from wherry.build.cache import Layer, fingerprint
from wherry.build.events import Fetching
from wherry.build.graph import SCRATCH
from wherry.build.session import Session
from wherry.build.state import State
from wherry.core.content.store import ContentStore
from wherry.core.images.store import ImageStore
from wherry.core.threads import blocking
from wherry.errors import DataLoss, InvalidArgument, NotFound
from wherry.oci import mediatypes
from wherry.oci.artifact import WASM
from wherry.oci.descriptor import Descriptor
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest, parse
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{6,64}")


@dataclass(frozen=True, slots=True)
class _Base:
    manifest: Manifest
    config: ImageConfig


async def base_state(session: Session, name: str, platform: str) -> State:
    """The stage as FROM leaves it. ``platform`` is FROM's own, else the request's, else the image's.

    NotFound: no such image, or it has nothing for the platform. InvalidArgument: it is no base image.
    """
    text = platform or session.request.platform
    wanted = Platform.parse(text, session.services.default_platform).normalized() if text else None
    if name == SCRATCH:
        return State(wanted, fingerprint("from scratch"))
    base = await _fetched(session, name, wanted)
    diff_ids = base.config.diff_ids
    if len(diff_ids) != len(base.manifest.layers):
        raise DataLoss(f"image {name} has {len(base.manifest.layers)} layers but {len(diff_ids)} diff_ids")
    layers = tuple(Layer(blob, diff_id) for blob, diff_id in zip(base.manifest.layers, diff_ids, strict=True))
    return State(
        platform=wanted or base.config.platform.normalized(),
        key=fingerprint("from", *diff_ids),
        config=base.config.config,
        author=base.config.author,
        layers=layers,
        history=base.config.history,
    )


async def _fetched(session: Session, name: str, wanted: Platform | None) -> _Base:
    """The image, from its registry where it is not here or is to be looked for anew."""
    fetcher = session.services.fetcher
    by_id = bool(_DIGEST.fullmatch(name))
    if fetcher is None or (by_id and not session.request.pull):
        return await blocking(_load, session, name, wanted)
    if not session.request.pull:
        try:
            return await blocking(_load, session, name, wanted)
        except NotFound:
            pass  # not here, or not for that platform
    if not by_id:
        await fetcher.fetch(Reference.parse(name), wanted, lambda message: session.progress(Fetching(message)))
    return await blocking(_load, session, name, wanted)


def _load(session: Session, name: str, wanted: Platform | None) -> _Base:
    services = session.services
    target = _find(services.images, name)
    # Held before it is looked at: the collector may be under way.
    services.leases.add(session.lease, "content", str(target.digest))
    manifest, descriptor = _manifest(services.content, name, target, wanted, services.default_platform)
    for blob in (descriptor, *manifest.children):
        services.leases.add(session.lease, "content", str(blob.digest))
    if manifest.config.media_type not in mediatypes.IMAGE_CONFIGS:
        raise InvalidArgument(
            f"image {name} is a Wasm artifact ({manifest.config.media_type}): nothing can be built on it"
        )
    config = ImageConfig.parse(services.content.read(manifest.config))
    if wanted is not None and not wanted.matches(config.platform):
        raise NotFound(f"image {name} is for {config.platform}, not for {wanted}")
    return _Base(manifest, config)


def _find(images: ImageStore, name: str) -> Descriptor:
    """The image by name, or by the hex digits of its digest, or their unique beginning."""
    if _DIGEST.fullmatch(name):
        known = {image.target.digest: image.target for image in images.walk()}
        found = [target for digest, target in known.items() if digest.hex.startswith(name.removeprefix("sha256:"))]
        if len(found) == 1:
            return found[0]
    reference = Reference.parse(name)
    try:
        return images.get(str(reference)).target
    except NotFound:
        raise NotFound(f"No such image: {reference.familiar()}: build it, or load it with docker load, first") from None


def _manifest(
    content: ContentStore, name: str, target: Descriptor, wanted: Platform | None, host: Platform
) -> tuple[Manifest, Descriptor]:
    found = parse(content.read(target), target.media_type)
    if not isinstance(found, Index):
        return found, target
    chosen = found.choose(wanted) if wanted else found.choose(WASM) or found.choose(host)
    if chosen is None and wanted is None:
        chosen = next(iter(found.manifests), None)
    if chosen is None:
        known = ", ".join(str(entry.platform) for entry in found.manifests if entry.platform)
        raise NotFound(f"image {name} has nothing for {wanted or host} (it has: {known})")
    inner = parse(content.read(chosen), chosen.media_type)
    if isinstance(inner, Index):
        raise InvalidArgument(f"image {name} has an index within its index")
    return inner, chosen
