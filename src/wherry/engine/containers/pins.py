"""Parts of volumes (`volume-subpath`), watched while a task is being made of them. Blocks.

What is in a volume is its containers' doing: between our look at the part and the runtime's mount they could put a link
to the host's files in its place. So the part is opened first, within the volume, and kept open; when the task is made,
and before it is started, what it has mounted must be just that.
"""

import os
from dataclasses import dataclass, replace
from typing import Final

from wherry.engine.record import MountPoint, Record
from wherry.errors import InvalidArgument, PermissionDenied
from wherry.linux import openat

_WITHIN: Final = openat.RESOLVE_BENEATH | openat.RESOLVE_NO_MAGICLINKS


@dataclass(frozen=True, slots=True)
class _Pin:
    point: MountPoint
    handle: int


class Pins:
    """`hold` -> the task is made -> `verify` -> `release`, which may be called at any time, and again."""

    def __init__(self) -> None:
        self._pins: list[_Pin] = []

    def __bool__(self) -> bool:
        return bool(self._pins)

    def hold(self, record: Record, *, here: bool = False) -> Record:
        """The record with the sources that its task is to be given; ``here``: that this process alone is to use, until
        `release`, and that nobody can replace. InvalidArgument: a part is not there."""
        if not any(point.subpath for point in record.mounts):
            return record
        return replace(record, mounts=tuple(self._held(point, here) for point in record.mounts))

    def _held(self, point: MountPoint, here: bool) -> MountPoint:
        if not point.subpath:
            return point
        try:
            folder = os.open(point.whole, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                handle = openat.openat2(point.subpath, os.O_PATH, dir_fd=folder, resolve=_WITHIN)
            finally:
                os.close(folder)
        except OSError as error:
            raise InvalidArgument(
                f"cannot access path {point.subpath[:200]} in volume {point.name}: {(error.strerror or '').lower()}"
            ) from None
        self._pins.append(_Pin(point, handle))
        way = f"/proc/self/fd/{handle}"
        return replace(point, source=way if here else os.readlink(way))

    def verify(self, pid: int) -> None:
        """PermissionDenied: a part was replaced while the task was being made, or that cannot be told."""
        for pin in self._pins:
            if not _is_mounted(pin, pid):
                raise PermissionDenied(
                    f"path {pin.point.subpath[:200]} in volume {pin.point.name} was replaced while it was being mounted"
                )

    def release(self) -> None:
        """Let go of them."""
        while self._pins:
            os.close(self._pins.pop().handle)


def _is_mounted(pin: _Pin, pid: int) -> bool:
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            inside = pin.point.destination.lstrip("/")
            handle = openat.openat2(inside, os.O_PATH, dir_fd=root, resolve=openat.RESOLVE_IN_ROOT)
        finally:
            os.close(root)
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(handle), os.fstat(pin.handle))
    finally:
        os.close(handle)
