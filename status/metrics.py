"""What Prometheus is told: how the API does, and what the workers left in Redis."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from repository.worker_gauges import HISTOGRAM_BOUNDS, WorkerGauges

_SECONDS: Final = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

_HISTOGRAMS: Final = {
    "merge_seconds": "Seconds that merging a batch took.",
    "batch_size": "Events of a batch.",
    "lag_seconds": "Seconds from an event to its commit.",
}


class RequestMetrics:
    """What this process answered, and how fast."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "enrichment_status_requests",
            "Requests answered.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "enrichment_status_request_seconds",
            "Seconds until a request was answered, event streams until they were opened.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def observe(self, route: str, status: int, *, seconds: float) -> None:
        """Count one request, by the route's pattern and not by its ids."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, *others: Metric) -> bytes:
        """Return all there is in Prometheus's own format."""
        rest = CollectorRegistry()
        rest.register(_Ready(others))
        return generate_latest(self.registry) + generate_latest(rest)


class _Ready(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def stream_metrics(open_streams: int, poll_s: float) -> list[Metric]:
    """Return what the change feed says of itself."""
    return [
        GaugeMetricFamily("enrichment_status_open_streams", "Event streams that are open.", open_streams),
        GaugeMetricFamily(
            "enrichment_status_poll_seconds", "Seconds the last poll for changes took.", poll_s
        ),
    ]


def redis_metrics(gauges: WorkerGauges | None) -> list[Metric]:
    """Return what the workers said of themselves, or only that Redis is away."""
    is_up = GaugeMetricFamily("enrichment_redis_up", "1 if Redis answers.", float(gauges is not None))
    return [is_up] if gauges is None else [is_up, *_worker_metrics(gauges)]


# What has not happened yet is shown as 0: a rate cannot see the step from nothing to one.
_OUTCOMES: Final = ("applied", "repeated", "skipped", "parked", "unconfirmed", "dead_dropped")


def _worker_metrics(gauges: WorkerGauges) -> Iterator[Metric]:
    counts, dead = _plain_counts(gauges.counters)
    events = CounterMetricFamily(
        "enrichment_events", "What the workers did with events and batches.", labels=["outcome"]
    )
    for name, value in (dict.fromkeys(_OUTCOMES, 0.0) | counts).items():
        events.add_metric([name], value)
    refused = CounterMetricFamily("enrichment_dead_letters", "Events refused for good.", labels=["reason"])
    for name, value in dead.items():
        refused.add_metric([name], value)
    yield from (events, refused)
    for name, help_text in _HISTOGRAMS.items():
        yield _histogram(name, help_text, gauges.counters)
    lengths = GaugeMetricFamily("enrichment_queue_messages", "Messages that wait.", labels=["queue"])
    for queue, length in gauges.queues.items():
        lengths.add_metric([queue], length)
    beats = GaugeMetricFamily(
        "enrichment_heartbeat_age_seconds",
        "Seconds since a worker, or beat, showed its life.",
        labels=["name"],
    )
    for name, age_s in gauges.heartbeats.items():
        beats.add_metric([name], age_s)
    yield from (lengths, beats)
    yield GaugeMetricFamily("enrichment_unacknowledged", "Messages in workers' hands.", gauges.unacknowledged)
    yield GaugeMetricFamily("enrichment_parked", "Batches that wait for a flow's row.", gauges.parked)
    yield GaugeMetricFamily(
        "enrichment_unconfirmed_senders",
        "Outboxes that have not fetched their confirmations.",
        gauges.senders_with_confirmations,
    )


def _plain_counts(counters: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the counters that are no histogram's: by name, and the dead ones by reason."""
    dead = {name.removeprefix("dead:"): value for name, value in counters.items() if name.startswith("dead:")}
    plain = {
        name: value
        for name, value in counters.items()
        if not name.startswith(("dead:", *(f"{histogram}:" for histogram in _HISTOGRAMS)))
    }
    return plain, dead


def _histogram(name: str, help_text: str, counters: dict[str, float]) -> Metric:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound in HISTOGRAM_BOUNDS[name]:
        total += counters.get(f"{name}:le:{bound}", 0.0)
        buckets.append((str(float(bound)), total))
    buckets.append(("+Inf", max(total, counters.get(f"{name}:count", 0.0))))
    return HistogramMetricFamily(
        f"enrichment_{name}", help_text, buckets=buckets, sum_value=counters.get(f"{name}:sum", 0.0)
    )
