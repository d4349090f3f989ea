"""Folders that somebody had and somebody else will have, kept under names of their own meanwhile.

Where many files came and went, a filesystem takes long to make one: ext4 passes over what was removed within the last
minutes. Whether a folder can be another's is for its owner to say, before it is kept.
"""

import contextlib
import os
import shutil
import time
from collections import deque
from itertools import count
from typing import Final

_MOST: Final = 128


class Spares:
    """At most 128, below ``root``, which lies on their file system. From any thread. All calls block, shortly; none
    fails: without a spare one is made, and what cannot be kept is removed by whoever wanted that."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._numbers = count()
        self._kept: deque[tuple[float, str]] = deque()

    def clear(self) -> None:
        """Remove what is kept, and what a killed engine kept."""
        self._kept.clear()
        shutil.rmtree(self._root, ignore_errors=True)
        with contextlib.suppress(OSError):  # then nothing is kept
            os.makedirs(self._root, 0o700, exist_ok=True)

    def trim(self, seconds: float) -> bool:
        """Remove those that have been there for longer than that; whether others are left."""
        until = time.monotonic() - seconds
        for spare in [spare for spare in list(self._kept) if spare[0] < until]:  # others take some meanwhile
            with contextlib.suppress(ValueError):  # somebody has taken it
                self._kept.remove(spare)
                shutil.rmtree(spare[1], ignore_errors=True)
        return bool(self._kept)

    def name(self) -> str:
        """A path that nothing lies at, for what may be kept."""
        return os.path.join(self._root, str(next(self._numbers)))

    def keep(self, folder: str) -> bool:
        """Whether it is kept now."""
        if len(self._kept) >= _MOST:
            return False
        place = folder if os.path.dirname(folder) == self._root else self.name()
        if place != folder and not self.move(folder, place):
            return False
        self._kept.append((time.monotonic(), place))
        return True

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

    def has_any(self) -> bool:
        """Whether there is one to `take`. Does not block."""
        return bool(self._kept)

    def take(self, place: str) -> bool:
        """Whether a folder lies at ``place`` now that was somebody's. What was there before stays, unless it is
        empty."""
        try:
            spare = self._kept.popleft()
        except IndexError:
            return False
        try:
            os.rename(spare[1], place)
        except OSError:  # somebody has one there
            self._kept.append(spare)
            return False
        return True
