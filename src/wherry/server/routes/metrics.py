"""``/metrics`` for Prometheus: wherry's own, docker's engine has one at an address apart."""

import asyncio
import importlib
from collections import Counter
from collections.abc import Sequence

from wherry.engine.containers.containers import Containers
from wherry.engine.states import STATUSES
from wherry.server.call import HEADERS, ApiRoute, Call
from wherry.server.metrics import Metrics
from wherry.server.response import PlainResponse, Response
from wherry.server.router import Route


class MetricsRoutes:
    """The handler of ``/metrics``."""

    def __init__(self, containers: Containers, metrics: Metrics) -> None:
        self._containers = containers
        self._metrics = metrics

    def table(self) -> Sequence[ApiRoute]:
        return (Route("GET", "/metrics", self.metrics),)

    async def metrics(self, call: Call) -> Response:
        # An engine that nobody scrapes does without what this loads.
        await asyncio.to_thread(importlib.import_module, "wherry.server.exposition")
        from wherry.server.exposition import CONTENT_TYPE, Exposition, render

        found = Counter(live.record.state.status for live in self._containers.registry)
        states: dict[str, int] = {state: found[state] for state in STATUSES}
        text = render(Exposition(self._metrics, states, self._containers.tell.fuel))
        return PlainResponse(200, HEADERS, text, CONTENT_TYPE)
