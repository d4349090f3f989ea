"""Writing files so that a crash leaves the old or the new one, whole. Shared by the stores that live on disk."""

import contextlib
import os

from wherry.core.faults import translating


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StagedFile:
    """A file's next content, on disk beside it; `publish` puts it in place, `drop` forgets it."""

    def __init__(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Not ``durable``: a power cut may take it, so it is for what can be made again.

        ResourceExhausted when the disk is full; nothing is left then.
        """
        self._path = path
        self._durable = durable
        self._next = path + ".next"
        with translating(f"write {path}"):
            handle = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                write_all(handle, data)
                if durable:
                    os.fsync(handle)
            except OSError:
                os.unlink(self._next)
                raise
            finally:
                os.close(handle)

    def publish(self) -> None:
        with translating(f"write {self._path}"):
            os.rename(self._next, self._path)
            if self._durable:
                sync_folder(os.path.dirname(self._path))

    def drop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._next)


def replace_file(path: str, data: bytes) -> None:
    """Write ``data`` as the whole of ``path``: temporary file, fsync, rename, fsync of the folder."""
    StagedFile(path, data).publish()


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of it to an open file. OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
