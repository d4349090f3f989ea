"""TLS towards registries: the system's CAs, those of a registry's own folder, and client certificates. Blocks.

Source: https://docs.docker.com/engine/security/certificates/ (``certs.d/HOST:PORT/``: ``*.crt`` are CAs, ``*.cert``
with a ``*.key`` of the same name is what we show).
"""

import os
import ssl
from collections.abc import Sequence

from wherry.errors import FailedPrecondition


def context(folders: Sequence[str], authority: str, *, verify: bool) -> ssl.SSLContext:
    """For ``host[:port]``. FailedPrecondition: a file of its folder cannot be used."""
    made = ssl.create_default_context() if verify else _trusting()
    for folder in folders:
        _add(made, os.path.join(folder, authority))
    return made


def _trusting() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _add(made: ssl.SSLContext, folder: str) -> None:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise FailedPrecondition(f"cannot read the certificates in {folder}: {error.strerror}") from None
    for name in names:
        path = os.path.join(folder, name)
        try:
            if name.endswith(".crt"):
                made.load_verify_locations(cafile=path)
            elif name.endswith(".cert"):
                key = f"{name.removesuffix('.cert')}.key"
                if key not in names:
                    raise FailedPrecondition(
                        f"missing key {key} for client certificate {name} in {folder}"
                        f" (CA certificates must use the extension .crt)"
                    )
                made.load_cert_chain(path, os.path.join(folder, key))
        except (ssl.SSLError, OSError) as error:
            raise FailedPrecondition(f"cannot use the certificate {path}: {error.strerror or error}") from None
