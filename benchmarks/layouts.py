"""Images that a run is about: an OCI layout of many megabytes, an archive of small files, a module of a given size."""

import gzip
import io
import os
import random
import tarfile
from collections.abc import Iterator

from wherry.oci import layout, mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest

LAYERS = 8
SMALL_FILES = 20_000
_FILES, _FILE = 500, 100_000


def big_layout(folder: str) -> int:
    """An OCI layout with one image, named ``big``; the bytes of its layers. Half of each file is noise, half is not."""
    noise = random.Random(1)
    layers, diff_ids = [], []
    for number in range(LAYERS):
        plain = _archive((f"layer{number}/{file % 50}/{file}", _FILE, noise) for file in range(_FILES))
        packed = gzip.compress(plain, 4, mtime=0)
        layers.append(_put(folder, mediatypes.OCI_LAYER_GZIP, packed))
        diff_ids.append(Digest.of(plain))
    config = ImageConfig("amd64", "linux", diff_ids=tuple(diff_ids)).to_bytes()
    manifest = Manifest(_put(folder, mediatypes.OCI_CONFIG, config), tuple(layers)).to_bytes()
    _put(folder, mediatypes.OCI_MANIFEST, manifest)
    entry = Descriptor.of(mediatypes.OCI_MANIFEST, manifest, annotations={layout.REF_NAME: "big"})
    for name, data in ((layout.INDEX_FILE, Index((entry,)).to_bytes()), (layout.LAYOUT_FILE, layout.layout_document())):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    return sum(layer.size for layer in layers)


def _put(folder: str, media_type: str, data: bytes) -> Descriptor:
    blob = Descriptor.of(media_type, data)
    path = os.path.join(folder, layout.blob_path(blob.digest))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return blob


def _archive(files: Iterator[tuple[str, int, random.Random]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, size, noise in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = size, 0o644
            archive.addfile(entry, io.BytesIO(noise.randbytes(size // 2) + bytes(size - size // 2)))
    return out.getvalue()


def small_files(path: str) -> str:
    """An archive of as many files of 1,000 bytes, folder by folder as tar writes them."""
    noise = random.Random(2)
    with open(path, "wb") as file:
        file.write(_archive((f"d{number // 100}/f{number}", 1000, noise) for number in range(SMALL_FILES)))
    return path


def padded(module: bytes, size: int) -> bytes:
    """The module with a custom section of noise, so that it has about ``size`` bytes."""
    name = b"\x05noise"
    noise = name + random.Random(3).randbytes(size - len(module))
    return module + b"\0" + _leb(len(noise)) + noise


def _leb(number: int) -> bytes:
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])
