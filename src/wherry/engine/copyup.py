"""Copy-up: an empty volume begins with what the image has at its place. Blocks."""

import os
from collections.abc import Iterable, Iterator, Sequence

from wherry.core.diff.apply import Manner, put
from wherry.core.diff.entries import Entry
from wherry.core.diff.target import Target
from wherry.core.diff.view import View
from wherry.core.faults import translating
from wherry.engine.record import MountPoint
from wherry.errors import InvalidArgument, NotFound


class Walked:
    """Files as a source of entries; see `put`."""

    def __init__(self, files: Iterator[tuple[Entry, Iterable[bytes]]]) -> None:
        self._files = files
        self._data: Iterable[bytes] = ()

    def __iter__(self) -> Iterator[Entry]:
        for entry, data in self._files:
            self._data = data
            yield entry

    def data(self) -> Iterator[bytes]:
        return iter(self._data)


def copy_up(layers: Sequence[str], point: MountPoint) -> None:
    """Copy the files at ``point.destination`` into ``point.source``, with the folder's own owner and mode, if that is
    empty. ResourceExhausted; PermissionDenied."""
    doing = f"copy what the image has at {point.destination} into volume {point.name}"
    with translating(doing):
        if not layers or os.listdir(point.source):
            return
        with View(layers) as view:
            try:
                found = view.find(os.fsencode(point.destination), follow=True)
            except (NotFound, InvalidArgument):
                return
            if found.is_folder:
                # The folder's own entry counts: its owner and mode are the image's word on who may write there.
                target = Target(point.source, own=os.geteuid() == 0)
                put(Walked(view.walk(found, b".")), target, Manner(), what=doing)
