"""A container's own folders: one for its log, which lasts as long as it does, and one for the FIFOs of its run.

Most containers are like others, and most last a moment: so what one had is the next one's. Logs are not.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Final

from wherry.core.logs.files import make_log
from wherry.core.spares import Spares
from wherry.core.tasks.fifos import FifoFolders, make_fifos
from wherry.core.tasks.tasks import TaskIO
from wherry.engine.containers.live import Live
from wherry.engine.record import Record
from wherry.engine.services import EngineConfig
from wherry.errors import Conflict, NotFound

_MODE: Final = 0o710
_EMPTY: Final = "log"
"""The next one's log, before it is anybody's: a file of its own, for somebody may be reading the last one's still."""


class Folders:
    """Those of an engine's containers. All calls block, shortly, but for `retire`."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._logs = Spares(os.path.join(config.root, "spares"))
        self._runs = Spares(os.path.join(config.state, "spares"))
        self._fifos = FifoFolders(self._runs)

    def has_spare(self, record: Record) -> bool:
        """Whether `lay` makes no folder on a disk: FIFOs lie in memory. Does not block."""
        return not _is_kept(record) or self._logs.has_any()

    def lay(self, record: Record) -> TaskIO:
        """The FIFOs of a run to come, and an empty log if another had one. ResourceExhausted, InvalidArgument: they
        cannot be made."""
        place = container_folder(self._config.root, record.id)
        if _is_kept(record) and self._logs.take(place):
            with contextlib.suppress(OSError):  # then it is made by the first line
                os.rename(os.path.join(place, _EMPTY), os.path.join(place, log_name(record.id)))
        folder = io_folder(self._config.state, record.id)
        return self._fifos.make(folder, stdin=record.config["OpenStdin"], terminal=record.tty)

    def retire(self, io: TaskIO) -> Callable[[], None]:
        """The next run may have FIFOs of the same names now. What is returned tidies up, and blocks."""
        return self._fifos.retire(io)

    def remove(self, container_id: str) -> None:
        """All of a container's, as far as there are any. OSError."""
        folder = container_folder(self._config.root, container_id)
        if not (_renewed(folder, log_name(container_id)) and self._logs.keep(folder)):
            _remove(folder)
        _remove(io_folder(self._config.state, container_id))

    def ids(self) -> set[str]:
        """The containers that have files, with records or without, and builds' steps."""
        found: set[str] = set()
        for folder in (container_folder(self._config.root, ""), io_folder(self._config.state, "")):
            with contextlib.suppress(FileNotFoundError):
                found.update(os.listdir(folder))
        return found

    def trim(self, seconds: float) -> bool:
        """Remove what has been kept for longer than that; whether anything is left."""
        left = [spares.trim(seconds) for spares in (self._logs, self._runs)]
        return any(left)

    def clear(self) -> None:
        """Remove what is kept for containers to come, by whichever engine."""
        self._logs.clear()
        self._runs.clear()


def _is_kept(record: Record) -> bool:
    """Whether the folder of its log is one that is used again."""
    return bool(record.host_config["LogConfig"]["Type"] == "json-file")


async def exec_fifos(state: str, live: Live, exec_id: str, *, stdin: bool = False, terminal: bool = False) -> TaskIO:
    """Those of one more process of a container that runs. They lie in its own folder, and go with it. Conflict: it is
    gone already. ResourceExhausted, InvalidArgument."""
    folder = os.path.join(io_folder(state, live.record.id), exec_id[:12])
    try:
        return await asyncio.to_thread(make_fifos, folder, stdin=stdin, terminal=terminal, parents=False)
    except NotFound:
        raise Conflict(f"container {live.record.id} is not running") from None


def remove_folders(config: EngineConfig, name: str) -> None:
    """A build's step's own files, as far as there are any; nothing of them is kept. Blocks. OSError."""
    for folder in (container_folder(config.root, name), io_folder(config.state, name)):
        _remove(folder)


def container_folder(root: str, container_id: str) -> str:
    """Where a container's own files lie, its log among them."""
    return os.path.join(root, "containers", container_id)


def log_name(container_id: str) -> str:
    """The file of a log by json-file, in its container's folder."""
    return f"{container_id}-json.log"


def io_folder(state: str, container_id: str) -> str:
    """Where the FIFOs of a container lie."""
    return os.path.join(state, "io", container_id)


def _renewed(folder: str, log: str) -> bool:
    """Whether it has had no more in it than its log, and has an empty one in its place."""
    try:
        names = os.listdir(folder)
        if names not in ([log], []) or os.stat(folder).st_mode & 0o7777 != _MODE:
            return False
        if names:
            os.unlink(os.path.join(folder, log))
        os.close(make_log(os.path.join(folder, _EMPTY)))
    except OSError:
        return False
    return True


def _remove(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
