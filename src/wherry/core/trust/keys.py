"""Public keys: ECDSA on P-256 with SHA-256, as cosign makes them, and Ed25519. Everything else is refused by name.

The library is loaded when the first key is: most engines never have one.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and its fingerprint: SHA-256 of its SubjectPublicKeyInfo, in hex."""

    fingerprint: str
    key: "EllipticCurvePublicKey | Ed25519PublicKey"

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is this key's, of ``data``."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, data)
            else:
                self.key.verify(signature, data, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def parse_key(text: str, what: str) -> PublicKey:
    """A key in PEM, ``-----BEGIN PUBLIC KEY-----``. InvalidArgument names ``what``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidArgument(f"{what} is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    curve = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    if not curve and not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidArgument(f"{what} is neither an ECDSA key on P-256 nor an Ed25519 key")
    assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return PublicKey(hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest(), key)
