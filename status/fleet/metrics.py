"""What Prometheus is told of all flows: how many stand how, and what the last hour was like.

What is told of an hour are gauges that go up and down with it, the same numbers as `?window=hour` of the API.
Types, phases and statuses that are not ours are `other`, as are models beyond the 20 that cost most.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from masterflow.domain.fleet.durations import count_up_to
from masterflow.domain.fleet.sums import Key
from masterflow.domain.flow_types.catalog import SPECIFICATIONS, specification
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.domain.usage.amounts import NANO_PER_USD
from masterflow.status.fleet.book import FleetBook
from masterflow.status.fleet.overview import AGES_S, MOST_LISTED, sums_of

OTHER: Final = "other"

#: Bounds of phases as powers of two of a millisecond: from 16 ms to an hour and ten minutes.
DOUBLINGS: Final = range(4, 24, 2)

_SECOND_US: Final = 1_000_000


def fleet_metrics(book: FleetBook) -> list[Metric]:
    """Return what a book of all flows tells; nothing before all of them are counted."""
    if not book.is_whole:
        return []
    kinds = sums_of(book, "hour")
    return [
        *_open(book),
        _by_status("started", "Flows that began within the last hour, by what has become of them.", kinds),
        _by_status("ended", "Flows that ended within the last hour.", kinds),
        _phases(kinds),
        _cost(kinds),
    ]


def _open(book: FleetBook) -> list[Metric]:
    flows: Counter[tuple[str, str]] = Counter()
    ages_s: list[float] = []
    for facts in book.held:
        if facts.is_open:
            flows[_type(facts.flow_type), _status(facts.status)] += 1
            if facts.waiting_us is not None:
                ages_s.append(max(0, book.now_us - facts.waiting_us) / _SECOND_US)
    gauge = GaugeMetricFamily("enrichment_flows_open", "Flows that are open.", labels=["type", "status"])
    for labels, count in sorted(flows.items()):
        gauge.add_metric(labels, count)
    bounds = [(str(float(bound)), float(sum(age < bound for age in ages_s))) for bound in AGES_S[1:]]
    return [
        gauge,
        HistogramMetricFamily(
            "enrichment_flows_waiting_seconds",
            "Seconds that flows which wait for somebody have waited by now.",
            buckets=[*bounds, ("+Inf", float(len(ages_s)))],
            sum_value=sum(ages_s),
        ),
    ]


def _by_status(kind: str, help_text: str, kinds: Mapping[str | int, Mapping[Key, int]]) -> Metric:
    gauge = GaugeMetricFamily(f"enrichment_hour_flows_{kind}", help_text, labels=["type", "status"])
    flows: Counter[tuple[str, str]] = Counter()
    for (flow_type, status), count in kinds.get(kind, {}).items():
        flows[_type(str(flow_type)), _status(str(status))] += count
    for labels, count in sorted(flows.items()):
        gauge.add_metric(labels, count)
    return gauge


def _phases(kinds: Mapping[str | int, Mapping[Key, int]]) -> Metric:
    family = HistogramMetricFamily(
        "enrichment_hour_phase_seconds",
        "Seconds that phases took which ended within the last hour.",
        labels=["type", "phase"],
    )
    buckets: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    sums_us: Counter[tuple[str, str]] = Counter()
    for (flow_type, phase, bucket), count in kinds.get("phase", {}).items():
        buckets[_labels(flow_type, phase)][int(bucket)] += count
    for (flow_type, phase), microseconds in kinds.get("phase_us", {}).items():
        sums_us[_labels(flow_type, phase)] += microseconds
    for labels, counts in sorted(buckets.items()):
        bounds = [(str(2**power / 1000), float(count_up_to(counts, power))) for power in DOUBLINGS]
        bounds.append(("+Inf", float(counts.total())))
        family.add_metric(list(labels), buckets=bounds, sum_value=sums_us[labels] / _SECOND_US)
    return family


def _cost(kinds: Mapping[str | int, Mapping[Key, int]]) -> Metric:
    """Return the cost by model; what agents spent that rows do not list is `other` too."""
    models: Counter[str] = Counter()
    for (_agent, model, figure), amount in kinds.get("usage", {}).items():
        if figure == "cost_nano_usd":
            models[str(model)] += amount
    told = dict(models.most_common(MOST_LISTED))
    spent = kinds.get("spent", {}).get(("cost_nano_usd",), 0)
    gauge = GaugeMetricFamily(
        "enrichment_hour_cost_usd",
        "US dollars that the flows have cost which began within the last hour.",
        labels=["model"],
    )
    for model, nano_usd in told.items():
        gauge.add_metric([model], nano_usd / NANO_PER_USD)
    gauge.add_metric([OTHER], max(0, spent - sum(told.values())) / NANO_PER_USD)
    return gauge


def _type(flow_type: str) -> str:
    return flow_type if flow_type in SPECIFICATIONS else OTHER


def _status(status: str) -> str:
    return status if status in FLOW_STATUSES else OTHER


def _labels(flow_type: str | int, phase: str | int) -> tuple[str, str]:
    spec = specification(str(flow_type))
    name = spec.phase(phase) if spec else None
    return _type(str(flow_type)), OTHER if name is None else name
