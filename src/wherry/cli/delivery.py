"""What the engine sends, into a file or to stdout."""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping

from wherry.cli.app import App
from wherry.errors import FailedPrecondition


def deliver(app: App, path: str, query: Mapping[str, object] | None, output: str | None, what: str) -> None:
    """Write the answer of a GET to file ``output``, or to stdout if there is none. FailedPrecondition: stdout is a
    terminal; ``what`` says what would have been done to it."""
    if not output and sys.stdout.isatty():
        raise FailedPrecondition(f"cowardly refusing to {what} to a terminal: use -o FILE, or redirect")
    response = app.client.open("GET", path, query)
    try:
        if output:
            _write(output, response)
        else:
            for piece in response:
                sys.stdout.buffer.write(piece)
    finally:
        response.close()


def _write(output: str, pieces: Iterable[bytes]) -> None:
    """Beside its place, and renamed when it is whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(output)}.", dir=os.path.dirname(output) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, output)
    except BaseException:  # also Ctrl-C: half a file must not stay
        os.unlink(temporary)
        raise
