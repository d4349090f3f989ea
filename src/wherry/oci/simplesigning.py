"""Signatures of images as cosign stores them: where they are, what is signed, and where the signature stands. Pure.

Source: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import InvalidArgument
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.document import decode
from wherry.oci.manifest import Manifest

MEDIA_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
"""The annotation of a layer that has the payload's signature, in base64."""
TYPE: Final = "cosign container image signature"
LARGEST_PAYLOAD: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the payload, by its descriptor, that it is of."""

    payload: Descriptor
    signature: bytes


def tag_of(digest: Digest) -> str:
    """The tag, in the image's repository, of the manifest that has the image's signatures."""
    return f"{digest.algorithm}-{digest.hex}.sig"


def signatures(manifest: Manifest) -> tuple[Signature, ...]:
    """Those that a manifest has; layers that are none, or too large, are left out."""
    found = []
    for layer in manifest.layers:
        text = layer.annotations.get(SIGNATURE, "")
        if layer.media_type != MEDIA_TYPE or not text or layer.size > LARGEST_PAYLOAD:
            continue
        try:
            found.append(Signature(layer, base64.b64decode(text, validate=True)))
        except (binascii.Error, ValueError):
            continue
    return tuple(found)


def payload(digest: Digest, reference: str) -> bytes:
    """What is signed when the image with that digest is; ``reference`` is its repository's name, for people."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": str(digest)},
        "type": TYPE,
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def signed_digest(data: bytes) -> Digest:
    """The digest of the image that a payload speaks of. InvalidArgument: it is no payload of this kind."""
    critical = _object(decode(data, "signature's payload").get("critical"))
    if critical.get("type") != TYPE:
        raise InvalidArgument(f"the signature's payload is not a {TYPE!r}")
    return Digest.parse(_object(critical.get("image")).get("docker-manifest-digest"))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument("the signature's payload lacks what it should have")
    return value
