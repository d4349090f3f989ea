"""Parts of volumes, held open while a task is being made of them.

What is in a volume is its containers' doing. If only a path named the part that another container mounts
(`volume-subpath`), they could put a link to the host's files in its place between our look and the mount; an open
descriptor cannot be led astray, and the runtime is given that one.
"""

import os
from dataclasses import replace

from wherry.engine.record import MountPoint, Record
from wherry.errors import InvalidArgument
from wherry.linux import openat


class Pins:
    """`hold` once, `release` when the runtime has mounted everything; releasing twice is no error."""

    def __init__(self) -> None:
        self._handles: list[int] = []

    def hold(self, record: Record) -> Record:
        """The record with the sources that its task is to be given. InvalidArgument: a part is not there."""
        if not any(point.subpath for point in record.mounts):
            return record
        return replace(record, mounts=tuple(self._pinned(point) for point in record.mounts))

    def _pinned(self, point: MountPoint) -> MountPoint:
        if not point.subpath:
            return point
        whole = point.source.removesuffix("/" + point.subpath)
        try:
            folder = os.open(whole, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                beneath = openat.RESOLVE_BENEATH | openat.RESOLVE_NO_MAGICLINKS
                handle = openat.openat2(point.subpath, os.O_PATH, dir_fd=folder, resolve=beneath)
            finally:
                os.close(folder)
        except OSError as error:
            raise InvalidArgument(
                f"cannot access path {point.subpath[:200]} in volume {point.name}: {(error.strerror or '').lower()}"
            ) from None
        self._handles.append(handle)
        return replace(point, source=f"/proc/{os.getpid()}/fd/{handle}")

    def release(self) -> None:
        """Let go of them."""
        while self._handles:
            os.close(self._handles.pop())
