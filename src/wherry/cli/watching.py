"""Watching a file for changes: what of it tells one from the next, looked at a few times a second."""

import os
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

from wherry.errors import WherryError

LOOK_EVERY = 0.02
"""Seconds between two looks: a stat each, some microseconds."""
SETTLED = 0.1
"""Seconds without a further change after which a file that makes no sense is taken for broken, not for half written."""


class Identity(NamedTuple):
    """What changes with a file's contents, however it is written: in place, or renamed over."""

    device: int
    inode: int
    size: int
    modified: int


def identity(path: str) -> Identity | None:
    """None while there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def watch(
    path: str,
    seen: Identity | None,
    stopped: threading.Event,
    changed: Callable[[], None],
    broken: Callable[[WherryError], None],
) -> None:
    """Call ``changed`` at each change of the file since it was ``seen``, until ``stopped``. What it raises goes to
    ``broken`` once the file has settled, and to nobody if it has changed again by then: it was half written."""
    while not stopped.wait(LOOK_EVERY):
        now = identity(path)
        if now is None or now == seen:
            continue
        seen = now
        try:
            changed()
        except WherryError as error:
            if not stopped.wait(SETTLED) and identity(path) == seen:
                broken(error)


def keeps_on(error: WherryError) -> None:
    """Tell what is wrong with the new contents of a file."""
    print(f"wherry: {error}; the version before goes on", file=sys.stderr, flush=True)
