"""A module's other form: the CNCF's artifact out of an image, a ``FROM scratch`` image out of an artifact.

The module itself stays what it was, byte for byte, and with it its digest.
Source: https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/
"""

import os
from collections.abc import Callable
from typing import BinaryIO, Final, Literal

from wherry.core.content.store import ContentStore, Ingest, write_blob
from wherry.core.diff.bare import as_archive
from wherry.core.diff.compression import GzipWriter
from wherry.engine.images import Module
from wherry.oci import mediatypes
from wherry.oci.artifact import DEFAULT_NAME, TITLE, WASM
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, Digester
from wherry.oci.document import encode
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.manifest import Manifest

Form = Literal["artifact", "image"]
FORMS: Final[tuple[Form, ...]] = ("artifact", "image")
_CHUNK = 1 << 20
_COMPONENT: Final = b"\0asm\x0d\0\1\0"
Hold = Callable[[Digest], None]


def convert(form: Form, module: Module, content: ContentStore, hold: Hold) -> Descriptor:
    """Store the module as an image of that form; the descriptor of its manifest. ``hold`` is told each digest. Blocks.

    An artifact is always binary; an image has the file that it was.
    """
    if form == "artifact":
        with open(module.binary, "rb") as file:
            return _artifact(file, _title(module), content, hold)
    with open(module.source, "rb") as file:
        return _image(file, module.name.lstrip("/") or DEFAULT_NAME, module.config, content, hold)


def _title(module: Module) -> str:
    name = os.path.basename(module.name) or DEFAULT_NAME
    return name if module.binary == module.source else f"{name.removesuffix('.wat')}.wasm"


def _artifact(file: BinaryIO, title: str, content: ContentStore, hold: Hold) -> Descriptor:
    system = "wasip2" if file.read(len(_COMPONENT)) == _COMPONENT else "wasip1"
    file.seek(0)
    with content.ingest() as ingest:
        _copy(file, ingest.write)
        info = ingest.commit()
    hold(info.digest)
    layer = Descriptor(mediatypes.WASM_LAYER, info.digest, info.size, annotations={TITLE: title})
    document = {"architecture": "wasm", "os": system, "layerDigests": [str(info.digest)]}
    config = _store(mediatypes.WASM_CONFIG_V0, encode(document), content, hold)
    return _store(mediatypes.OCI_MANIFEST, Manifest(config, (layer,)).to_bytes(), content, hold)


def _image(file: BinaryIO, path: str, config: RunConfig, content: ContentStore, hold: Hold) -> Descriptor:
    plain = Digester()
    with content.ingest() as ingest:
        _pack(file, path, plain, ingest)
        info = ingest.commit()
    hold(info.digest)
    layer = Descriptor(mediatypes.OCI_LAYER_GZIP, info.digest, info.size)
    described = ImageConfig(WASM.architecture, WASM.os, config=config, diff_ids=(plain.digest(),))
    stored = _store(mediatypes.OCI_CONFIG, described.to_bytes(), content, hold)
    return _store(mediatypes.OCI_MANIFEST, Manifest(stored, (layer,)).to_bytes(), content, hold)


def _pack(file: BinaryIO, path: str, plain: Digester, ingest: Ingest) -> None:
    writer = GzipWriter(ingest.write)

    def write(data: bytes) -> None:
        plain.update(data)
        writer.write(data)

    _copy(as_archive(file, path, os.fstat(file.fileno()).st_size), write)
    writer.finish()


def _copy(source: "BinaryIO | as_archive", write: Callable[[bytes], None]) -> None:
    while data := source.read(_CHUNK):
        write(data)


def _store(media_type: str, data: bytes, content: ContentStore, hold: Hold) -> Descriptor:
    descriptor = Descriptor.of(media_type, data)
    hold(descriptor.digest)
    write_blob(content, data, expected=descriptor.digest)
    return descriptor
