"""Copy-up: an empty volume begins with what the image has at its place. Blocks."""

import os
from collections.abc import Iterable, Iterator, Sequence

from wherry.core.diff.apply import Manner, put
from wherry.core.diff.entries import Entry
from wherry.core.diff.target import Target
from wherry.core.diff.view import Found, View
from wherry.core.faults import translating
from wherry.core.snapshots import trees
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


def copy_up(layers: Sequence[str], point: MountPoint, *, alone: bool) -> None:
    """Copy the files at ``point.destination`` into ``point.source``, with the folder's own owner and mode, if that is
    empty. ``alone``: nobody else has mounted it, so that the copy can be made beside it and put in its place whole;
    else an engine that is killed meanwhile leaves a part of it. ResourceExhausted; PermissionDenied."""
    doing = f"copy what the image has at {point.destination} into volume {point.name}"
    with translating(doing):
        if not layers or os.listdir(point.source):
            return
        with View(layers) as view:
            try:
                found = view.find(os.fsencode(point.destination), follow=True)
            except (NotFound, InvalidArgument):
                return
            if found.is_folder and alone:
                _copy_beside(view, found, point.source, doing)
            elif found.is_folder:
                _copy(view, found, point.source, doing)


def _copy_beside(view: View, found: Found, folder: str, doing: str) -> None:
    beside = os.path.join(os.path.dirname(folder), "_filling")
    trees.remove_tree(beside)
    os.mkdir(beside, 0o755)
    _copy(view, found, beside, doing)
    os.rename(beside, folder)  # which is empty, so that it can be replaced at once


def _copy(view: View, found: Found, folder: str, doing: str) -> None:
    # The folder's own entry counts: its owner and mode are the image's word on who may write there.
    put(Walked(view.walk(found, b".")), Target(folder, own=os.geteuid() == 0), Manner(), what=doing)
