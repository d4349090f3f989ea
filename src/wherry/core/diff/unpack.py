"""From an image's layers to a committed snapshot, one for each chain of layers: what two images share is there once.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#layer-chainid
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, TypedDict, Unpack, cast

from wherry.core.content.store import ContentStore
from wherry.core.diff.apply import apply
from wherry.core.diff.bare import as_archive
from wherry.core.diff.limits import LIMITS, Limits
from wherry.core.diff.target import Target
from wherry.core.leases.store import ResourceKind
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import AlreadyExists, InvalidArgument, NotFound
from wherry.oci import artifact, mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Manifest

_CHUNK = 256 << 10

Hold = Callable[[ResourceKind, str], None]


class How(TypedDict, total=False):
    """``own`` keeps owners and makes devices (by default, when root). ``hold`` keeps snapshots from the collector until
    an image or a container does. ``unique`` names what is on its way."""

    own: bool | None
    hold: Hold | None
    limits: Limits
    unique: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Step:
    """One layer to unpack on ``parent``, which makes ``chain``. ``file`` is where a layer that is a bare module goes;
    "" for an archive."""

    layer: Descriptor
    diff_id: Digest
    parent: str
    chain: str
    file: str = ""


def _chained(parent: str, text: str) -> str:
    """The ChainID of a layer on top of ``parent``: what it is together with all below it."""
    return Digest.of(f"{parent} {text}".encode()) if parent else text


def steps(manifest: Manifest, config: ImageConfig) -> list[Step]:
    """What is to be unpacked, lowest first; ``config`` as `artifact.completed` has it.

    InvalidArgument, Unimplemented: it cannot be.
    """
    artifact.check_runnable(manifest)
    layers = manifest.layers if artifact.is_image(manifest) else artifact.modules(manifest)
    if len(layers) != len(config.diff_ids):
        raise InvalidArgument(
            f"the image has {len(layers)} layers, but its config names {len(config.diff_ids)} diff_ids"
        )
    places = artifact.places(manifest, config)
    found: list[Step] = []
    parent = ""
    for layer, diff_id in zip(layers, config.diff_ids, strict=True):
        file = places.get(layer.digest, "") if layer.media_type in mediatypes.WASM_LAYERS else ""
        # A module is a file in one place here and in another there: both are part of what the snapshot is.
        chain = str(Digest.of(f"{parent} module {diff_id} {file}".encode()) if file else _chained(parent, diff_id))
        found.append(Step(layer, diff_id, parent, chain, file))
        parent = chain
    return found


def target_of(snapshots: Snapshotter, key: str, *, own: bool) -> Target:
    """Where to apply a layer so that it lands in active snapshot ``key``; ``own``: owners and devices, as root."""
    upper, *lowers = snapshots.layers(key)
    words = [word for mount in snapshots.mounts(key) for word in mount.options]
    opaque = "user.overlay.opaque" if "userxattr" in words else "trusted.overlay.opaque"
    return Target(upper, tuple(lowers), opaque, own)


def unpack(
    manifest: Manifest,
    config: ImageConfig,
    content: ContentStore,
    snapshots: Snapshotter,
    **how: Unpack[How],
) -> str:
    """Unpack what is not unpacked yet; returns the key of the committed snapshot, "" for an image without layers.

    Any number may do it at once; it leaves whole layers or nothing.
    InvalidArgument: a layer is corrupt, hostile or not what the config says; DataLoss: a blob is; NotFound: a blob is
    missing; ResourceExhausted: the disk is full.
    """
    found = steps(manifest, config)
    for step in found:
        unpack_step(step, content, snapshots, **how)
    return found[-1].chain if found else ""


def unpack_step(
    step: Step,
    content: ContentStore,
    snapshots: Snapshotter,
    *,
    own: bool | None = None,
    hold: Hold | None = None,
    limits: Limits = LIMITS,
    unique: Callable[[], str] = lambda: secrets.token_hex(8),
) -> bool:
    """`unpack` of one layer, whose parent is unpacked. False: it was there already."""
    if hold is not None:
        hold("snapshot", step.chain)
    if is_unpacked(snapshots, step):
        return False
    own = os.geteuid() == 0 if own is None else own
    _unpack_layer(step, content, snapshots, f"extract-{unique()} {step.chain}", own=own, limits=limits)
    return True


@contextmanager
def beside(
    step: Step,
    content: ContentStore,
    snapshots: Snapshotter,
    *,
    limits: Limits = LIMITS,
    unique: Callable[[], str] = lambda: secrets.token_hex(8),
) -> Iterator[str]:
    """The layer unpacked once more, into an active snapshot whose key is given; it goes at the end, unless it has taken
    the other's place. Raises what `unpack` does."""
    active = f"check-{unique()} {step.chain}"
    snapshots.prepare(active, step.parent)
    try:
        _fill(step, content, snapshots, active, own=os.geteuid() == 0, limits=limits)
        yield active
    finally:
        with suppress(NotFound):
            snapshots.remove(active)


def is_unpacked(snapshots: Snapshotter, step: Step) -> bool:
    """Whether its snapshot is there."""
    try:
        return snapshots.stat(step.chain).kind == "committed"
    except NotFound:
        return False


def _unpack_layer(
    step: Step, content: ContentStore, snapshots: Snapshotter, active: str, *, own: bool, limits: Limits
) -> None:
    snapshots.prepare(active, step.parent)
    try:
        _fill(step, content, snapshots, active, own=own, limits=limits)
        snapshots.commit(step.chain, active)
    except AlreadyExists:  # somebody else was faster
        snapshots.remove(active)
    except BaseException:  # whatever it was, also an interrupt: half a layer must not stay
        snapshots.remove(active)
        raise


def _fill(step: Step, content: ContentStore, snapshots: Snapshotter, active: str, *, own: bool, limits: Limits) -> None:
    found = _apply(step, content, target_of(snapshots, active, own=own), limits)
    if found != step.diff_id:
        raise InvalidArgument(
            f"layer {step.layer.digest} unpacks to {found}, but the image's config says {step.diff_id}"
        )


def _apply(step: Step, content: ContentStore, target: Target, limits: Limits) -> Digest:
    """Unpack the layer's blob; its diff_id."""
    layer = step.layer
    with content.open(layer.digest) as blob:
        stream = cast("BinaryIO", as_archive(blob, step.file, layer.size)) if step.file else blob
        try:
            applied = apply(stream, target, what=f"layer {layer.digest}", packed=layer.size, limits=limits)
        except InvalidArgument:
            while blob.read(_CHUNK):  # a blob that rotted is the store's fault: its reader says so at the end
                pass
            raise
        while blob.read(_CHUNK):
            pass
    return layer.digest if step.file else applied.diff_id
