"""Logs in memory, by path: what is written can be read while it grows."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from wherry.core.logs.log import LogEntry
from wherry.errors import InvalidArgument


class MemoryLog:
    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.open = False
        self._changed = asyncio.Condition()

    def taken(self, stream: str) -> int | None:
        return None

    def begin(self) -> None:
        return None

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        async with self._changed:
            self.entries.append(LogEntry(stream, time_ns, data))
            self._changed.notify_all()

    async def ready(self) -> None:
        return None

    async def read(
        self, *, since: int = 0, until: int = 0, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[Sequence[LogEntry]]:
        index = 0 if tail is None else max(len(self.entries) - tail, 0)
        while True:
            while index < len(self.entries):
                entry = self.entries[index]
                index += 1
                if entry.time_ns >= since and (not until or entry.time_ns <= until):
                    yield [entry]
            if not follow or not self.open:
                return
            async with self._changed:
                await self._changed.wait()

    async def aclose(self) -> None:
        async with self._changed:
            self.open = False
            self._changed.notify_all()


class MemoryLogs:
    def __init__(self) -> None:
        self.logs: dict[str, MemoryLog] = {}
        self.fault: Exception | None = None

    def check(self, driver: str, options: Mapping[str, str]) -> None:
        if driver not in ("json-file", "none"):
            raise InvalidArgument(f"logger: no log driver named '{driver}' is registered")

    async def open(
        self,
        driver: str,
        options: Mapping[str, str],
        path: str,
        *,
        strict: bool = False,
        ledger: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> MemoryLog:
        if self.fault is not None:
            raise self.fault
        log = self.logs.setdefault(path, MemoryLog())
        log.open = True
        return log
