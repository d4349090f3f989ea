"""What the server counts of its requests: plain numbers, in the event loop's thread. How they are shown: exposition.py.

A request costs a few dictionary look-ups; nothing is loaded that only a scrape needs.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wherry.server.router import Kind, Route

API_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds in seconds."""
START_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
WORK_BUCKETS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_START: Final = ("POST", "/containers/{ref}/start")
_WORKS: Final[Mapping[tuple[str, str], str]] = {("POST", "/build"): "build", ("POST", "/images/create"): "pull"}


class Histogram:
    """How many were at most as long as each bound; ``counts`` has one more for those that were longer."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Metrics:
    """``requests`` by method, route and status, ``latencies`` by method, route and class of status, ``works`` by what
    it is and how it ended. Requests without a route have no labels that a client could invent."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.latencies: defaultdict[tuple[str, str, str], Histogram] = defaultdict(lambda: Histogram(API_BUCKETS))
        self.starts = Histogram(START_BUCKETS)
        self.works: dict[tuple[str, str], Histogram] = {
            (kind, result): Histogram(WORK_BUCKETS)
            for kind in ("build", "pull")
            for result in ("ok", "failed", "cancelled")
        }

    def answered(
        self, route: Route[Any] | None, query: str, status: int, seconds: float, *, failed: bool = False
    ) -> None:
        """A request came to its end; ``status`` 0 is a client that went away before, ``failed`` an error that the
        answer's body told."""
        method, pattern = (route.method, route.pattern) if route else ("", "")
        self.requests[method, pattern, status] += 1
        if route is None or route.kind is not Kind.STREAM:  # how long a stream lasts is up to its client
            self.latencies[method, pattern, f"{status // 100}xx"].observe(seconds)
        if (method, pattern) == _START and status == 204:
            self.starts.observe(seconds)
        kind = _WORKS.get((method, pattern))
        if kind == "build" or (kind == "pull" and "fromImage=" in query):
            result = "cancelled" if not status else "failed" if failed or status >= 400 else "ok"
            self.works[kind, result].observe(seconds)
