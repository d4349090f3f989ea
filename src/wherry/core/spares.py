"""Folders that somebody had and somebody else will have, kept under names of their own meanwhile.

Where many files came and went, a filesystem takes long to make one: ext4 passes over what was removed within the last
minutes. Whether a folder can be another's is for its owner to say, before it is kept.
"""

import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final

_MOST: Final = 128


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


class Kept:
    """At most so many, where they lie. From any thread. All calls block, shortly; none fails: without a spare one is
    made, and what cannot be kept is removed by whoever wanted that. None is taken within ``rest`` seconds; ``remove``
    is for those that nobody has taken."""

    def __init__(self, most: int, rest: float = 0.0, remove: Callable[[str], None] = _remove) -> None:
        self._most = most
        self._rest = rest
        self._remove = remove
        self._kept: deque[tuple[float, str]] = deque()

    def trim(self, seconds: float) -> bool:
        """Remove those that have been there for longer than that; whether others are left. What ``remove`` raises."""
        until = time.monotonic() - seconds
        for spare in [spare for spare in list(self._kept) if spare[0] < until]:  # others take some meanwhile
            with contextlib.suppress(ValueError):  # somebody has taken it
                self._kept.remove(spare)
                self._remove(spare[1])
        return bool(self._kept)

    def keep(self, folder: str) -> bool:
        """Whether it is kept now."""
        if len(self._kept) >= self._most:
            return False
        self._kept.append((time.monotonic(), folder))
        return True

    def has_any(self) -> bool:
        """Whether there is one to `take`. Does not block."""
        try:
            return self._kept[0][0] + self._rest <= time.monotonic()
        except IndexError:
            return False

    def take(self, place: str) -> bool:
        """Whether a folder lies at ``place`` now that was somebody's. What was there before stays, unless it is
        empty."""
        try:
            spare = self._kept.popleft()
        except IndexError:
            return False
        if spare[0] + self._rest > time.monotonic():
            self._kept.appendleft(spare)
            return False
        try:
            os.rename(spare[1], place)
        except OSError:
            if os.path.isdir(spare[1]):  # somebody has one at that place
                self._kept.append(spare)
            return False
        return True


class Spares(Kept):
    """The same, below ``root``, which lies on their file system."""

    def __init__(self, root: str) -> None:
        super().__init__(_MOST)
        self._root = root
        self._numbers = count()

    def clear(self) -> None:
        """Remove what is kept, and what a killed engine kept."""
        self._kept.clear()
        shutil.rmtree(self._root, ignore_errors=True)
        with contextlib.suppress(OSError):  # then nothing is kept
            os.makedirs(self._root, 0o700, exist_ok=True)

    def name(self) -> str:
        """A path that nothing lies at, for what may be kept."""
        return os.path.join(self._root, str(next(self._numbers)))

    def keep(self, folder: str) -> bool:
        """Whether it is kept now, by another name unless it has one of ours."""
        if len(self._kept) >= self._most or os.path.dirname(folder) == self._root:
            return super().keep(folder)
        place = self.name()
        return self.move(folder, place) and super().keep(place)

    def move(self, folder: str, place: str) -> bool:
        """Put ``folder`` at ``place``, which is a `name`. Whether it could be."""
        try:
            try:
                os.rename(folder, place)
            except FileNotFoundError:
                os.makedirs(self._root, 0o700, exist_ok=True)
                os.rename(folder, place)
        except OSError:  # the folder is gone, or lies elsewhere
            return False
        return True
