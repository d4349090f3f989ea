"""What a command gets besides its arguments: the environment, the engine's client, the streams' nature, the clock."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.client.api import Client
from wherry.client.locate import Place, connect, locate


@dataclass(slots=True)
class App:
    """One invocation of ``wherry``. ``environ`` is the process's own, read nowhere else; ``host`` is ``--host``."""

    environ: Mapping[str, str]
    uid: int
    host: str | None = None
    _client: Client | None = field(default=None, repr=False)

    @property
    def place(self) -> Place:
        """The engine that is meant. InvalidArgument: its address is none."""
        return locate(self.environ, self.uid, self.host)

    @property
    def client(self) -> Client:
        """The engine's client, made once; it connects, and starts the engine where it may, at the first request."""
        if self._client is None:
            place = self.place
            self._client = Client(place.address, lambda _: connect(place, self.environ, self.uid, note))
        return self._client

    def another(self) -> "App":
        """The same for another thread: a client's connections are one thread's. Close it."""
        return App(self.environ, self.uid, self.host)

    def close(self) -> None:
        """Idempotent."""
        if self._client:
            self._client.close()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    @property
    def debug(self) -> bool:
        """Whether a fault of ours shows its traceback."""
        return self.environ.get("WHERRY_DEBUG", "") not in ("", "0")


def note(text: str) -> None:
    """One line for a person on stderr, and only for a person: a script's stderr stays the container's."""
    if sys.stderr.isatty():
        print(f"wherry: {text}", file=sys.stderr)
