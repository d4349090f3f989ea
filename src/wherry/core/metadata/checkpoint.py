"""When a write-ahead log is brought into its database, and by whom: a thread of its own, now and then.

SQLite itself would do so in the middle of somebody's commit, who then waits for the disk.
"""

import threading
from collections.abc import Callable
from typing import Final

_EVERY: Final = 400
"""Commits, and rows that they changed: each is a few pages of the log; SQLite by itself would let come 1,000."""
KEPT: Final = 8 << 20
"""Bytes that the log's file keeps when it begins anew: 400 ordinary commits take less, and need not make it longer."""
_LARGEST: Final = 32 << 20


class Checkpoints:
    """``run`` does one; it blocks. One at a time.

    Life: made -> `committed`, by whoever committed and holds the lock for that -> `close`.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._commits = 0
        self._changes = 0
        self._thread: threading.Thread | None = None

    def committed(self, changes: int, size: int) -> None:
        """Something was committed; ``changes`` is how many rows were changed since the database was opened, ``size``
        how many bytes the log has: some rows are large."""
        self._commits += 1
        if self._commits + changes - self._changes < _EVERY and size < _LARGEST:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._commits, self._changes = 0, changes
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the one under way. To be called without the lock."""
        if self._thread is not None:
            self._thread.join()
