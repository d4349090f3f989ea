"""TLS as a client speaks it, without I/O: bytes of the network in and out, bytes of HTTP out and in. And whose
signature under a server's certificate counts.

By `_ssl`, what `ssl` is made of: that takes 11 ms and 1.6 MB more, in every process that may ask others. Loaded while
the host's files are in reach: nothing executable is mapped once the sandbox is shut.
"""

from __future__ import annotations

import _ssl
import os
import stat

from wherry.suppress import suppress
from wherry.wasm.component.values import Failed

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

_PROTOCOL_TLS_CLIENT = 16
_TLS_1_2 = 0x0303
_NO_RENEGOTIATION, _NO_COMPRESSION, _IGNORE_UNEXPECTED_EOF = 1 << 30, 1 << 17, 1 << 7  # openssl/ssl.h
_ALPN = b"\x08http/1.1"
_MOST_BARREN = 256 << 10
"""Bytes that a server may send with nothing of HTTP in them: a long chain of certificates, and tickets, but not an
endless handshake."""
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7
    "/etc/ssl/cert.pem",  # Alpine without the package
)
_MOST_BUNDLE = 8 << 20
"""Bytes."""
_FILE = b"SSL_CERT_FILE="
_PROTOCOL_ERROR = "TLS-protocol-error", None
# https://www.iana.org/assignments/tls-parameters (TLS Alerts)
_ALERTS = {
    "UNEXPECTED_MESSAGE": 10, "BAD_RECORD_MAC": 20, "DECRYPTION_FAILED": 21, "RECORD_OVERFLOW": 22,
    "DECOMPRESSION_FAILURE": 30, "HANDSHAKE_FAILURE": 40, "NO_CERTIFICATE": 41, "BAD_CERTIFICATE": 42,
    "UNSUPPORTED_CERTIFICATE": 43, "CERTIFICATE_REVOKED": 44, "CERTIFICATE_EXPIRED": 45, "CERTIFICATE_UNKNOWN": 46,
    "ILLEGAL_PARAMETER": 47, "UNKNOWN_CA": 48, "ACCESS_DENIED": 49, "DECODE_ERROR": 50, "DECRYPT_ERROR": 51,
    "EXPORT_RESTRICTION": 60, "PROTOCOL_VERSION": 70, "INSUFFICIENT_SECURITY": 71, "INTERNAL_ERROR": 80,
    "INAPPROPRIATE_FALLBACK": 86, "USER_CANCELLED": 90, "NO_RENEGOTIATION": 100, "MISSING_EXTENSION": 109,
    "UNSUPPORTED_EXTENSION": 110, "CERTIFICATE_UNOBTAINABLE": 111, "UNRECOGNIZED_NAME": 112,
    "BAD_CERTIFICATE_STATUS_RESPONSE": 113, "BAD_CERTIFICATE_HASH_VALUE": 114, "UNKNOWN_PSK_IDENTITY": 115,
    "CERTIFICATE_REQUIRED": 116, "NO_APPLICATION_PROTOCOL": 120,
}  # fmt: skip


class Trust:
    """Whom a container believes that a server is who it says: the file that its variable SSL_CERT_FILE names, else the
    first of `BUNDLES` in its root, else the ``host``'s, a descriptor or -1: nobody then."""

    def __init__(self, host: int = -1) -> None:
        self._host = host
        self._context: Any = None

    def context(self, environ: tuple[bytes, ...]) -> Any:
        """For connections of a guest with these variables. Failed: configuration-error."""
        if self._context is None:
            self._context = self._new_context(environ)
        return self._context

    def _new_context(self, environ: tuple[bytes, ...]) -> Any:
        # Of this kind it checks certificates and their names.
        context: Any = _ssl._SSLContext(_PROTOCOL_TLS_CLIENT)  # noqa: SLF001 - see above
        context.minimum_version = _TLS_1_2
        # Python has OpenSSL take a connection that anybody cut for one that was ended.
        context.options = (context.options | _NO_RENEGOTIATION | _NO_COMPRESSION) & ~_IGNORE_UNEXPECTED_EOF
        context._set_alpn_protocols(_ALPN)  # noqa: SLF001 - see above
        name, bundle = self._bundle(environ)
        if name:
            try:
                # PEM as text has to be ASCII; between its blocks bundles have names in other letters.
                context.load_verify_locations(None, None, bundle.decode("ascii", "replace").replace("\ufffd", "?"))
            except (_ssl.SSLError, ValueError) as error:
                why = str(error).partition(" (_ssl.c")[0]
                raise _unusable(f"{name} can't be used: {why}") from None
        return context

    def _bundle(self, environ: tuple[bytes, ...]) -> tuple[str, bytes]:
        """Its name for messages, and what is in it."""
        named = next((os.fsdecode(word[len(_FILE) :]) for word in environ if word.startswith(_FILE)), "")
        if named:
            try:
                return f"SSL_CERT_FILE={named}", _read(named)
            except OSError as error:
                raise _unusable(f"SSL_CERT_FILE={named}: {error.strerror or error}") from None
        for path in BUNDLES:
            with suppress(OSError):
                return path, _read(path)
        return ("the host's CA bundle", _contents(self._host)) if self._host >= 0 else ("", b"")


def open_hosts_bundle() -> int:
    """A descriptor of the host's file, to be read when the first request by https is made; -1 if it has none."""
    for path in BUNDLES:
        with suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return -1


def _read(path: str) -> bytes:
    """OSError: it is no file of a size that makes sense, or may not be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return _contents(fd)
    finally:
        os.close(fd)


def _contents(fd: int) -> bytes:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BUNDLE:
        raise OSError("no file of certificates")
    return os.pread(fd, _MOST_BUNDLE, 0)


class Tls:
    """One connection to a server called ``name``. Each method may raise Failed, an error-code: it is of no use then,
    but for what is `outgoing`, which tells the other end."""

    def __init__(self, context: Any, name: str) -> None:
        """Failed: that is no name."""
        self._incoming, self._outgoing = _ssl.MemoryBIO(), _ssl.MemoryBIO()
        self._name = name
        self._barren = 0
        self._is_cut = False
        try:
            wrap = context._wrap_bio  # noqa: SLF001 - see above
            self._machine = wrap(self._incoming, self._outgoing, False, name.rstrip("."))
        except (ValueError, _ssl.SSLError):
            raise Failed(("HTTP-request-URI-invalid", None)) from None

    def feed(self, data: bytes) -> None:
        """What came from the network; b"": nothing will any more."""
        if not data:
            self._incoming.write_eof()
            return
        self._barren += len(data)
        if self._barren > _MOST_BARREN:
            raise Failed(_PROTOCOL_ERROR)
        self._incoming.write(data)

    def outgoing(self) -> bytes:
        """What is to go to the network now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def agree(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._machine.do_handshake()
        except _ssl.SSLWantReadError:
            return False
        except _ssl.SSLError as error:
            raise self._failure(error) from None
        return True

    def read(self, most: int) -> bytes | None:
        """What was said, b"" at the end; None: more must come first. EOFError: it ended without a goodbye, and so
        may have been cut by anybody."""
        if self._is_cut:
            raise EOFError
        try:
            data: bytes = self._machine.read(most)
        except _ssl.SSLWantReadError:
            return None
        except _ssl.SSLError as error:
            if not isinstance(error, _ssl.SSLEOFError) and error.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise self._failure(error) from None
            self._is_cut = True  # OpenSSL says so once, and calls it an end then
            raise EOFError from None
        self._barren = 0
        return data

    def write(self, data: bytes) -> int:
        """How much of it was taken."""
        try:
            taken: int = self._machine.write(data)
        except _ssl.SSLError as error:
            raise self._failure(error) from None
        return taken

    def say_goodbye(self) -> None:
        """All was said."""
        with suppress(_ssl.SSLError):  # nobody hears it, or it was said
            self._machine.shutdown()

    def _failure(self, error: Any) -> Failed:
        reason = error.reason or ""
        if isinstance(error, _ssl.SSLCertVerificationError):
            note(f"the certificate of {self._name} is refused: {error.verify_message}")
            return Failed(("TLS-certificate-error", None))
        version, _, words = reason.partition("_")
        words = words.removeprefix("ALERT_")
        if version in ("SSLV3", "TLSV1", "TLSV13") and words in _ALERTS:
            return Failed(("TLS-alert-received", (_ALERTS[words], words.lower().replace("_", " "))))
        return Failed(_PROTOCOL_ERROR)


def _unusable(why: str) -> Failed:
    note(why)
    return Failed(("configuration-error", None))


def note(text: str) -> None:
    """To the container's stderr: the error-codes have no words."""
    with suppress(OSError):
        os.write(2, f"wherry: https: {text}\n".encode(errors="replace"))
