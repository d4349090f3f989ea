"""The driver that keeps nothing."""

from collections.abc import AsyncIterator, Sequence

from wherry.core.logs.log import LogEntry
from wherry.errors import Unimplemented


class NoLog:
    """See the contract."""

    def taken(self, stream: str) -> int | None:
        return None

    def begin(self) -> None:
        return None

    async def write(self, stream: str, time_ns: int, data: bytes) -> None:
        return None

    async def ready(self) -> None:
        return None

    def read(
        self, *, since: int = 0, until: int = 0, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[Sequence[LogEntry]]:
        raise Unimplemented("configured logging driver does not support reading")

    async def aclose(self) -> None:
        return None
