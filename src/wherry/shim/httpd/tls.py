"""A server's certificate and key, as a context for its connections."""

from __future__ import annotations

import os
import ssl
import stat

from wherry.errors import FailedPrecondition

HTTP2 = "h2"
"""Its name where clients and servers agree on one."""
_MOST = 1 << 20
"""Bytes of a file."""


def server_context(certificate: str, key: str, *, http2: bool) -> ssl.SSLContext:
    """``certificate`` with its chain and ``key`` are files of PEM; TLS 1.2 and 1.3 are spoken,
    and HTTP/2 and 1.1 agreed on (RFC 7301), or the latter alone.

    FailedPrecondition: they are not there, or not what they are said to be, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([HTTP2, "http/1.1"] if http2 else ["http/1.1"])
    for path in (certificate, key):
        _check(path)
    try:
        context.load_cert_chain(certificate, key, password=_refused)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise FailedPrecondition(f"the certificate {certificate} with the key {key} can't be used: {why}") from None
    return context


def _check(path: str) -> None:
    """Not a FIFO that an image has there: opening it would take forever."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise FailedPrecondition(f"there is no certificate or key {path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
        raise FailedPrecondition(f"{path} is no certificate or key")


def _refused() -> str:
    raise ValueError("the key has a passphrase, which nobody can be asked for here")
