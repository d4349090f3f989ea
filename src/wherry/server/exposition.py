"""The figures of metrics.py and of the engine as Prometheus reads them. Loaded at the first scrape.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

import wherry
from wherry.server.metrics import Histogram, Metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """``containers`` are counts by state, ``fuel`` units: what they are at this moment."""

    def __init__(self, metrics: Metrics, containers: Mapping[str, int], fuel: int) -> None:
        self._metrics = metrics
        self._containers = containers
        self._fuel = fuel

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector."""
        yield from self._engine()
        yield from self._requests()
        for kind, words in (("build", "Builds"), ("pull", "Pulls")):
            family = HistogramMetricFamily(
                f"wherry_{kind}_duration_seconds", f"{words} and how long they took.", labels=["result"]
            )
            for (other, result), histogram in self._metrics.works.items():
                if other == kind:
                    _add(family, [result], histogram)
            yield family

    def _engine(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("wherry_build_info", "1, with the engine's version.", labels=["version"])
        info.add_metric([wherry.__version__], 1)
        yield info
        states = GaugeMetricFamily("wherry_containers", "Containers there are, by state.", labels=["state"])
        for state, count in self._containers.items():
            states.add_metric([state], count)
        yield states
        fuel = CounterMetricFamily("wherry_wasm_fuel_consumed", "Fuel that metered guests used which have ended.")
        fuel.add_metric([], self._fuel)
        yield fuel
        starts = HistogramMetricFamily("wherry_container_start_duration_seconds", "Starts that clients asked for.")
        _add(starts, [], self._metrics.starts)
        yield starts

    def _requests(self) -> Iterator[Metric]:
        labels = ["method", "route"]
        counts = CounterMetricFamily("wherry_api_requests", "Requests that ended.", labels=[*labels, "code"])
        for (method, route, status), count in self._metrics.requests.items():
            counts.add_metric([method, route, str(status)], count)
        yield counts
        latencies = HistogramMetricFamily(
            "wherry_api_request_duration_seconds", "Requests but streams.", labels=[*labels, "code"]
        )
        for (method, route, kind), histogram in self._metrics.latencies.items():
            _add(latencies, [method, route, kind], histogram)
        yield latencies


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    """Prometheus wants each bucket to hold those below it, too."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip([*map(str, histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)


def render(exposition: Exposition) -> bytes:
    """The text, with the engine's own memory, CPU time and descriptors."""
    registry = CollectorRegistry()
    registry.register(exposition)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
