"""What Prometheus is told: how the API does, what waits at the broker, and what is left in Redis."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS, WorkerGauges
from masterflow.status.summary.life import LifeCounts

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
        ProcessCollector(registry=self.registry)
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


def queue_metrics(lengths: Mapping[str, int] | None) -> list[Metric]:
    """Return how many messages wait in each queue, or only that the broker is away."""
    is_up = GaugeMetricFamily("enrichment_broker_up", "1 if the broker answers.", float(lengths is not None))
    waiting = GaugeMetricFamily("enrichment_queue_messages", "Messages that wait.", labels=["queue"])
    for queue, length in (lengths or {}).items():
        waiting.add_metric([queue], length)
    return [is_up, waiting]


def life_metrics(counts: LifeCounts | None) -> list[Metric]:
    """Return how it stands with the flows that run; nothing where that cannot be told now."""
    if counts is None:
        return []
    flows = GaugeMetricFamily(
        "enrichment_flows_held",
        "Flows by what is known of the processes that hold them.",
        labels=["liveness"],
    )
    for liveness, count in (("alive", counts.alive), ("silent", counts.silent), ("lost", counts.lost)):
        flows.add_metric([liveness], count)
    return [
        flows,
        GaugeMetricFamily("enrichment_flows_overdue", "Flows that are past a deadline.", counts.overdue),
    ]


# What has not happened yet is shown as 0: a rate cannot see the step from nothing to one.
_FROM_ZERO: Final = {
    "": ("applied", "repeated", "skipped", "parked", "unconfirmed", "dead_dropped"),
    "forged:": ("message", "flag", "chunk", "run", "parked", "letter", "key", "sign", "notice"),
    "notices:": ("sent", "failed", "dead", "dropped"),
}


def redis_metrics(gauges: WorkerGauges | None, *, is_broker: bool) -> list[Metric]:
    """Return what workers and outboxes said of themselves, or only that Redis is away."""
    metrics: list[Metric] = [
        GaugeMetricFamily("enrichment_redis_up", "1 if Redis answers.", float(gauges is not None))
    ]
    if gauges is not None:
        if gauges.watch_age_s is not None:
            last = "Seconds since the watch over flows made its last round."
            metrics.append(GaugeMetricFamily("enrichment_watch_age_seconds", last, gauges.watch_age_s))
        metrics += [*_counter_metrics(gauges.counters), *_state_metrics(gauges), *_outbox_metrics(gauges)]
        if is_broker:
            taken = "Messages that workers have taken and not acknowledged."
            metrics.append(GaugeMetricFamily("enrichment_unacknowledged", taken, gauges.unacknowledged))
    return metrics


def _counter_metrics(counters: Mapping[str, float]) -> Iterator[Metric]:
    families = {
        "dead:": CounterMetricFamily(
            "enrichment_dead_letters", "Events refused for good.", labels=["reason"]
        ),
        "backfill:": CounterMetricFamily(
            "enrichment_backfill_flows", "Flows that a backfill looked at.", labels=["outcome"]
        ),
        "forged:": CounterMetricFamily(
            "enrichment_forged", "What proved nothing, and was ignored.", labels=["what"]
        ),
        "notices:": CounterMetricFamily(
            "enrichment_notices",
            "Notices that receivers took, tries in vain, and those given up.",
            labels=["outcome"],
        ),
        # The rest, so it stands last.
        "": CounterMetricFamily(
            "enrichment_events", "What the workers did with events and batches.", labels=["outcome"]
        ),
    }
    for prefix, names in _FROM_ZERO.items():
        for name in names:
            if f"{prefix}{name}" not in counters:
                families[prefix].add_metric([name], 0.0)
    for name, value in counters.items():
        if not name.startswith(tuple(f"{histogram}:" for histogram in _HISTOGRAMS)):
            prefix = next(prefix for prefix in families if name.startswith(prefix))
            families[prefix].add_metric([name.removeprefix(prefix)], value)
    yield from families.values()
    for name, help_text in _HISTOGRAMS.items():
        yield _histogram(name, help_text, counters)


def _state_metrics(gauges: WorkerGauges) -> Iterator[Metric]:
    beats = GaugeMetricFamily(
        "enrichment_heartbeat_age_seconds",
        "Seconds since a worker, or beat, showed its life.",
        labels=["name"],
    )
    for name, age_s in gauges.heartbeats.items():
        beats.add_metric([name], age_s)
    yield beats
    idle = GaugeMetricFamily(
        "enrichment_worker_idle_seconds",
        "Seconds since a worker took a message, or ended one that it held, by the queues it is to take from.",
        labels=["name", "queue"],
    )
    for name, consumption in gauges.consumptions.items():
        for queue in consumption.queues:
            idle.add_metric([name, queue], consumption.idle_s)
    yield idle
    yield GaugeMetricFamily("enrichment_parked", "Batches that wait for a flow's row.", gauges.parked)


def _outbox_metrics(gauges: WorkerGauges) -> Iterator[Metric]:
    unconfirmed = [backlog for backlog in gauges.backlogs if backlog.events]
    for name, help_text, value in (
        ("unconfirmed_outboxes", "Outboxes with events that no worker has confirmed.", len(unconfirmed)),
        ("unconfirmed_events", "Events in them.", sum(backlog.events for backlog in unconfirmed)),
        ("unconfirmed_bytes", "Bytes in them.", sum(backlog.size_bytes for backlog in unconfirmed)),
        (
            "unconfirmed_age_seconds",
            "Seconds that the oldest batch in them has waited.",
            max((backlog.oldest_age_s for backlog in unconfirmed), default=0.0),
        ),
        (
            "outbox_lost_events",
            "Events that outboxes of living processes could not keep.",
            sum(backlog.lost_events for backlog in gauges.backlogs),
        ),
        (
            "outbox_forged_confirmations",
            "Confirmations that proved nothing to outboxes of living processes.",
            sum(backlog.forged for backlog in gauges.backlogs),
        ),
    ):
        yield GaugeMetricFamily(f"enrichment_{name}", help_text, value)


def _histogram(name: str, help_text: str, counters: Mapping[str, float]) -> Metric:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound in HISTOGRAM_BOUNDS[name]:
        total += counters.get(f"{name}:le:{bound}", 0.0)
        buckets.append((str(float(bound)), total))
    buckets.append(("+Inf", max(total, counters.get(f"{name}:count", 0.0))))
    return HistogramMetricFamily(
        f"enrichment_{name}", help_text, buckets=buckets, sum_value=counters.get(f"{name}:sum", 0.0)
    )
