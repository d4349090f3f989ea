"""Bare modules as images: which layers are WebAssembly and no archives, and the file and the entry that come of them.

The artifacts of the CNCF, wasm-to-oci and wasmCloud have a configuration that says little or nothing; runwasi's images
have an ordinary one. What a container needs of them is derived here. Pure.
Sources: https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/ ; runwasi's "OCI Artifacts" page.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import replace

from wherry.errors import InvalidArgument, Unimplemented
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.manifest import Manifest
from wherry.oci.platform import Platform

TITLE = "org.opencontainers.image.title"
DEFAULT_NAME = "module.wasm"
WASM = Platform("wasi", "wasm")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", re.ASCII)


def modules(manifest: Manifest) -> tuple[Descriptor, ...]:
    """The layers that are modules as they are."""
    return tuple(layer for layer in manifest.layers if layer.media_type in mediatypes.WASM_LAYERS)


def is_image(manifest: Manifest) -> bool:
    """Whether its configuration is that of an image, and not an artifact's."""
    return manifest.config.media_type in mediatypes.IMAGE_CONFIGS


def is_spin(manifest: Manifest) -> bool:
    """Whether it is an application of Spin."""
    return manifest.config.media_type == mediatypes.SPIN_CONFIG


def has_config(manifest: Manifest) -> bool:
    """Whether its configuration can be read as an image's: that of other artifacts may be anything."""
    return manifest.config.media_type in mediatypes.IMAGE_CONFIGS | mediatypes.WASM_CONFIGS


def read_config(manifest: Manifest, read: Callable[[Descriptor], bytes]) -> ImageConfig:
    """The configuration to run by; ``read`` gives a blob. InvalidArgument."""
    return completed(manifest, ImageConfig.parse(read(manifest.config)) if has_config(manifest) else None)


def completed(manifest: Manifest, config: ImageConfig | None) -> ImageConfig:
    """The configuration to run by: ``config`` is what was read, None if there is nothing to be read.

    An artifact gets platform, entry and diff_ids; an image of bare modules without an entry, an entry.
    """
    known = config or ImageConfig(architecture="", os="")
    bare = modules(manifest)
    if is_image(manifest):
        named = known.config.entrypoint or known.config.cmd
        return known if named or not bare else _entered(known, manifest)
    platform = known.platform if known.platform.is_wasm else WASM
    known = replace(known, os=platform.os, architecture=platform.architecture, diff_ids=())
    if len(bare) != 1 or is_spin(manifest):
        return known
    return _entered(replace(known, diff_ids=(bare[0].digest,)), manifest)


def _entered(config: ImageConfig, manifest: Manifest) -> ImageConfig:
    entry = "/" + places(manifest, config)[modules(manifest)[0].digest]
    return replace(config, config=replace(config.config, entrypoint=(entry,)))


def places(manifest: Manifest, config: ImageConfig) -> dict[str, str]:
    """Where each module, by its digest, lies in the root: a relative path. A lone one is what the entry names."""
    entry = _entry(config.config)
    found: dict[str, str] = {}
    for number, layer in enumerate(modules(manifest)):
        default = DEFAULT_NAME if not number else f"module-{number}.wasm"
        title = layer.annotations.get(TITLE, "")
        found.setdefault(layer.digest, (entry if not number else "") or (title if _PLAIN.fullmatch(title) else default))
    return found


def _entry(config: RunConfig) -> str:
    words = (*(config.entrypoint or ()), *(config.cmd or ()))
    path = posixpath.normpath(posixpath.join("/", config.working_dir, words[0].partition("#")[0])) if words else ""
    name = path.lstrip("/")
    return name if name and len(name) < 1024 and "\0" not in name and not path.endswith("/") else ""


def check_runnable(manifest: Manifest) -> None:
    """Unimplemented, InvalidArgument: a container cannot be made from it, and why."""
    if is_spin(manifest):
        raise Unimplemented("it is a Spin application, whose triggers are not run yet: it can be saved and pushed")
    if is_image(manifest):
        return
    bare = modules(manifest)
    if len(bare) != 1:
        kind = manifest.artifact_type or manifest.config.media_type
        what = "no WebAssembly module" if not bare else f"{len(bare)} WebAssembly modules"
        raise InvalidArgument(f"it is an artifact ({kind[:100]}) with {what}, not an image: it cannot be run")
