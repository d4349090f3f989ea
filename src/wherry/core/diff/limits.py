"""How much an archive may become, and the count of what became of it."""

from dataclasses import dataclass

from wherry.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may become: at most ``size`` bytes, and beyond ``free`` of them at most ``ratio`` times what it
    takes packed; at most ``entries`` files, folders and links. Holes of sparse files count for ``size``."""

    size: int = 64 << 30
    free: int = 1 << 30
    ratio: int = 200
    entries: int = 500_000

    def largest(self, packed: int) -> int:
        """Bytes that ``packed`` ones may become."""
        return min(self.size, max(self.free, packed * self.ratio))


LIMITS = Limits()


class Bounds:
    """How much came so far."""

    def __init__(self, limits: Limits, what: str) -> None:
        self._limits = limits
        self._what = what
        self.entries = self._size = 0

    def take(self, entries: int, size: int) -> None:
        """InvalidArgument at the first that is too much."""
        self.entries += entries
        self._size += size
        what, limits = self._what, self._limits
        if self.entries > limits.entries:
            raise InvalidArgument(f"{what} has more than {limits.entries} entries (wherryd --max-layer-entries)")
        if self._size > limits.size:
            raise InvalidArgument(
                f"{what} has files of more than {limits.size} bytes, holes included (wherryd --max-layer-size)"
            )
