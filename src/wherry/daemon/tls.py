"""TLS of the engine's TCP sockets: which files, as dockerd's flags name them, and what they make. No socket here."""

import argparse
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from wherry.errors import FailedPrecondition, InvalidArgument

_FILES = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}
DEFAULTS: Mapping[str, object] = {"tls": False, "tlsverify": False, **dict.fromkeys(_FILES)}
"""What the flags come to that are given nowhere."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Paths of PEM files. ``authority`` is the CA of clients' certificates; "" when none is asked for."""

    certificate: str
    key: str
    authority: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """dockerd's flags."""
    parser.add_argument("--tls", action="store_true", help="TLS at tcp:// addresses; implied by --tlsverify")
    parser.add_argument("--tlsverify", action="store_true", help="TLS, and clients must show a certificate of our CA")
    parser.add_argument("--tlscacert", metavar="FILE", help="the CA of clients' certificates")
    parser.add_argument("--tlscert", metavar="FILE", help="the engine's certificate")
    parser.add_argument("--tlskey", metavar="FILE", help="its key")


def tls_config(told: argparse.Namespace, environ: Mapping[str, str]) -> TlsConfig | None:
    """What the flags come to; files that none names are in $DOCKER_CERT_PATH, else ~/.docker. InvalidArgument."""
    if not (told.tls or told.tlsverify):
        if named := [flag for flag in _FILES if getattr(told, flag)]:
            raise InvalidArgument(f"--{named[0]} is for TLS: give --tlsverify, or --tls, too")
        return None
    folder = environ.get("DOCKER_CERT_PATH") or os.path.join(environ.get("HOME") or "/", ".docker")
    ca, certificate, key = (
        os.path.abspath(getattr(told, flag) or os.path.join(folder, name)) for flag, name in _FILES.items()
    )
    return TlsConfig(certificate, key, ca if told.tlsverify else "")


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """TLS 1.2 or later. FailedPrecondition: a file is not there, or not what it should be. Blocks."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a passphrase, OpenSSL would ask the terminal for one.
        made.load_cert_chain(config.certificate, config.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise FailedPrecondition(
            f"cannot use the certificate {config.certificate} with the key {config.key}: {_reason(error)}"
        ) from error
    if config.authority:
        made.verify_mode = ssl.CERT_REQUIRED
        try:
            made.load_verify_locations(config.authority)
        except OSError as error:
            raise FailedPrecondition(f"cannot use the CA {config.authority}: {_reason(error)}") from error
    return made


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or 'it is no PEM file'}".lower().replace("_", " ")
    return (getattr(error, "strerror", "") or str(error)).lower()
