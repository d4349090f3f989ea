"""Folders of ``RUN --mount=type=cache``: kept from build to build, shared between those that run at once as asked for.

Source: https://docs.docker.com/reference/dockerfile/#run---mounttypecache
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from wherry.build.cache import fingerprint
from wherry.core.faults import translating
from wherry.core.threads import blocking

_MAKING: Final = ".new"


class CacheMounts:
    """All of one engine. ``root`` is a folder for them alone, made when first needed."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def use(self, name: str, sharing: str, make: Callable[[str], None]) -> AsyncIterator[str]:
        """The host folder of cache ``name``. ``make`` makes it at a path when it is not there yet; it blocks.

        ``sharing`` is shared (any number at once), locked (one waits for the other) or private (another folder while
        one is in use). ResourceExhausted: no room.
        """
        lock = self._locks.setdefault(name, asyncio.Lock()) if sharing == "locked" else asyncio.Lock()
        async with lock:
            key = self._free(name) if sharing == "private" else fingerprint("cache mount", name)
            self._users[key] += 1
            try:
                yield await blocking(self._folder, key, make)
            finally:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key]

    def _free(self, name: str) -> str:
        number = 0
        while self._users.get(key := fingerprint("cache mount", name, *([number] if number else []))):
            number += 1
        return key

    def _folder(self, key: str, make: Callable[[str], None]) -> str:
        """Made beside its name first: a killed engine leaves no half of one."""
        path = os.path.join(self._root, key)
        if os.path.isdir(path):
            return path
        making = f"{path}{_MAKING}"
        with translating("make a folder for RUN --mount=type=cache"):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
            shutil.rmtree(making, ignore_errors=True)
            make(making)
            try:
                os.rename(making, path)
            except OSError:
                # Another build was faster.
                shutil.rmtree(making, ignore_errors=True)
                if not os.path.isdir(path):
                    raise
        return path

    def clear(self) -> int:
        """Remove the folders that no build uses; returns the bytes freed. Blocks."""
        freed = 0
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return 0
        for name in names:
            if not self._users.get(name.removesuffix(_MAKING)):
                path = os.path.join(self._root, name)
                freed += _size(path)
                shutil.rmtree(path, ignore_errors=True)
        return freed


def _size(path: str) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
