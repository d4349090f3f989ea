"""What speaks TLS for a server: with all its clients, in a process of its own. See relay.py and translator.py. Loaded
only by servers that have a certificate.
"""

from __future__ import annotations

from wherry.shim.httpd import tls
from wherry.shim.httpd.translator import Translator

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    import ssl

    from wherry.shim.httpd.settings import Settings


class Terminator:
    """Made while the host's files are in reach, opened in the container's rootfs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None

    def open(self, *, http2: bool) -> None:
        """Read the certificate and its key; ``http2``: clients may ask for it. FailedPrecondition: there is none, or it
        is none."""
        self._context = tls.server_context(self._settings.certificate, self._settings.key, http2=http2)

    def run(self, line: int) -> None:
        """Speak, until the server has no more clients for it: relay.py has the other end of ``line``."""
        assert self._context is not None
        Translator(line, self._context).run()
