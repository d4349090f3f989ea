"""What the server counts, and how Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from wherry.server.exposition import Exposition, render
from wherry.server.metrics import START_BUCKETS, Metrics
from wherry.server.router import Kind, Route

START = Route("POST", "/containers/{ref}/start", None)
PULL = Route("POST", "/images/create", None, Kind.STREAM)


def test_starts_that_fail_are_no_starts():
    metrics = Metrics()
    for status, seconds in ((204, START_BUCKETS[0]), (204, 100.0), (404, 0.1), (304, 0.1)):
        metrics.answered(START, "/containers/x/start", status, seconds)
    assert (metrics.starts.counts[0], metrics.starts.counts[-1], sum(metrics.starts.counts)) == (1, 1, 2)
    assert metrics.requests["POST", START.pattern, 204] == 2


def test_pulls_end_in_three_ways_and_imports_are_none():
    metrics = Metrics()
    metrics.answered(PULL, "/images/create?fromImage=x", 200, 1.0)
    metrics.answered(PULL, "/images/create?fromImage=x", 200, 1.0, failed=True)
    metrics.answered(PULL, "/images/create?fromImage=x", 0, 1.0)
    metrics.answered(PULL, "/images/create?fromSrc=-", 200, 1.0)
    assert {key: sum(found.counts) for key, found in metrics.works.items() if key[0] == "pull"} == {
        ("pull", "ok"): 1,
        ("pull", "failed"): 1,
        ("pull", "cancelled"): 1,
    }
    assert not metrics.latencies, "how long a stream lasts is up to its client"


def test_clients_cannot_invent_labels():
    metrics = Metrics()
    for number in range(1000):
        metrics.answered(None, f"/{number}", 404, 0.1)
    assert len(metrics.requests) == len(metrics.latencies) == 1


def test_buckets_hold_those_below_them():
    metrics = Metrics()
    for seconds in (0.0001, 0.0015, 99.0):
        metrics.answered(START, "", 204, seconds)
    text = render(Exposition(metrics, {"running": 2}, 7)).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    buckets = [one.value for one in samples if one.name == "wherry_container_start_duration_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert (len(buckets), buckets[0], buckets[-1]) == (len(START_BUCKETS) + 1, 1, 3)
    assert {one.name: one.value for one in samples}["wherry_wasm_fuel_consumed_total"] == 7
