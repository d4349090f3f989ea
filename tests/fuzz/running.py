"""One run of the fuzzed guest, and what is wrong with how it ended, if anything is."""

import os
import shutil
import signal
from pathlib import Path

from tests.conformance.guests import Guests, Result
from tests.fuzz.guest import DIALECTS, wat
from tests.fuzz.inputs import made

LIMIT = 32 << 20  # bytes of any file: fd_allocate may ask for the whole disk
PATIENCE = 5  # seconds: a guest may well accept on a socket that nobody calls
_ERRORS = ("fault of the host", "Traceback")


def run(guests: Guests, folder: Path, seed: int) -> Result:
    """The seed's calls in a new folder with a few files, whose neighbour ``outside`` must stay as it is."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "dir").mkdir(parents=True)
    (root / "file").write_text("file's text\n")
    (root / "dir/file").write_text("another's\n" * 100)
    os.symlink("dir/file", root / "link")
    os.symlink("loop", root / "loop")
    (folder / "outside").write_text("untouched")
    (folder / "stdin").write_bytes(made(seed))
    return guests.run(
        guests.wat(wat(seed % DIALECTS)),
        preopens=[("/", root, True)],
        stdin=folder / "stdin",
        file_limit=LIMIT,
        patience=PATIENCE,
        sockets=True,
    )


def fault(result: Result, folder: Path) -> str:
    """What must never be: a host's exception, a signal, no report, something outside that was touched. "" is none."""
    if result.code == -signal.SIGALRM:
        return ""
    if result.error or not 0 <= result.code <= 255:
        return f"ended with {result.code} {result.error} {result.message}"
    if any(word in result.stderr for word in _ERRORS):
        return result.stderr
    found = sorted(path.name for path in folder.iterdir())
    if found != ["outside", "root", "stdin"] or (folder / "outside").read_text() != "untouched":
        return f"outside of the root is changed: {found}"
    return ""
