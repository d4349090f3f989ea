"""The volume store's contract: named folders that containers share and that outlive them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wherry.core.snapshots.snapshotter import Usage


@dataclass(frozen=True, slots=True)
class Volume:
    """``created`` in seconds since the epoch; ``options`` are the driver's own. ``provisional``: it is there for
    something that is being made or removed, and may go with it; after a crash somebody has to decide."""

    name: str
    created: float
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    provisional: bool = False


class VolumeStore(Protocol):
    """Volumes by name. All calls block; thread-safe.

    Life: `create` -> its `folder` is mounted by containers, as often as they like -> `remove`. Who uses a volume is
    the upper floor's knowledge, and so is whether it may go. A process killed at any point leaves a volume with its
    files, or none; a folder of files that no record names any more (after a power cut, say) is a volume again when
    the store is next opened: nothing here ever removes data that nobody asked to remove.
    """

    @property
    def driver(self) -> str:
        """The driver's name as clients see it: ``local``."""

    def create(self, volume: Volume) -> None:
        """An empty one. AlreadyExists; InvalidArgument: the name, or an option; ResourceExhausted."""

    def get(self, name: str) -> Volume:
        """NotFound: ``get NAME: no such volume``."""

    def walk(self) -> Iterator[Volume]:
        """Every volume, by name."""

    def folder(self, name: str) -> str:
        """The host folder whose content the volume is, there when the call returns. NotFound; FailedPrecondition: an
        option names a folder that is not there."""

    def mark(self, names: Iterable[str], *, provisional: bool) -> None:
        """Change that of several at once; unknown names are passed over."""

    def mountpoint(self, name: str) -> str:
        """Where clients are told that it lies; nothing is looked up or made."""

    def remove(self, name: str) -> None:
        """With all that is in it. NotFound."""

    def usage(self, name: str) -> Usage:
        """Disk used by its files. NotFound."""
