"""What of wherry may block in the event loop, and the watch over the rest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from blockbuster import blockbuster_ctx

_MAY = (
    ("wherry/core/metadata/database.py", {"at_once"}),  # a commit that waits for nobody
    ("wherry/core/spares.py", {"move"}),  # a rename in memory
    ("wherry/core/tasks/bundle.py", {"retire"}),
    ("wherry/core/tasks/fifos.py", {"__init__", "note_start"}),  # what lies beside FIFOs is in memory
    ("wherry/core/logs/ledger.py", {"note", "resume"}),
    ("wherry/core/logs/files.py", {"append_now", "ready_now"}),  # to a file that is there, and in the kernel's memory
    ("wherry/engine/containers/creation.py", {"_make"}),  # in the loop only if all it needs is at hand
)


@contextmanager
def nothing_blocks(modules: Sequence[str]) -> Iterator[None]:
    """A blocking call in the event loop, made below one of ``modules``, fails the test."""
    with blockbuster_ctx(scanned_modules=list(modules)) as watch:
        for function in watch.functions.values():
            for path, names in _MAY:
                function.can_block_in(path, names)
        yield
