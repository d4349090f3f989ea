"""Log lines as systemd's journal wants them: it has times of its own, and takes a line's priority from its beginning.

Source: systemd.exec(5) on JOURNAL_STREAM, sd-daemon(3) on the prefixes.
"""

import logging
import os
from collections.abc import Mapping
from typing import Final

_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG: Final = 7
ERROR: Final = "<3>"
"""Before a line that is an error."""


def is_journal(environ: Mapping[str, str], fd: int = 2) -> bool:
    """Whether ``fd``, which is stderr, is the stream to the journal that systemd told of."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


class JournalFormatter(logging.Formatter):
    """``<6>wherryd: serves ...``, each line of a traceback with its own."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())
