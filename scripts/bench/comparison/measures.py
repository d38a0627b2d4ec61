"""The measures: what a phase costs its flow, how many are durable in a second, and how a backlog drains."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import mean
from typing import Any, Final, NamedTuple

from masterflow.scripts.bench.comparison.contest import Contestant, ContestFailed, Found, run
from masterflow.scripts.bench.comparison.contestants import OURS
from masterflow.scripts.bench.comparison.results import Results
from masterflow.scripts.bench.comparison.servers import Place
from masterflow.scripts.bench.http_load import percentile
from masterflow.scripts.bench.peers.workload import Spec

#: How long a phase of the first measure waits, as for a model that is quick.
BODY_MS: Final = 2.0


class Load(NamedTuple):
    """A load of the second measure."""

    name: str
    spec: Spec


class Sizes(NamedTuple):
    """How much is measured."""

    cost_flows: int
    slow_flows: int
    loads: tuple[Load, ...]
    backlog_flows: int
    workers: tuple[int, ...]
    brokers: tuple[str, ...]
    rates: tuple[int, ...]
    lag_s: float
    ages: tuple[int, ...]
    tables: tuple[int, ...]


DEFAULT: Final = Sizes(
    cost_flows=60,
    slow_flows=20,
    loads=(
        Load("100 flows, young", Spec(100)),
        Load("100 flows, full", Spec(100, is_full=True)),
        Load("1,000 flows, young", Spec(1_000)),
        Load("1,000 flows, full", Spec(1_000, is_full=True)),
        Load("10 hot flows", Spec(10, rounds=20)),
    ),
    backlog_flows=1_000,
    workers=(1, 2, 4),
    brokers=("Redis", "RabbitMQ"),
    rates=(50, 500, 2_000),
    lag_s=10,
    ages=(1_000, 10_000, 50_000),
    tables=(1_000, 100_000),
)
QUICK: Final = Sizes(
    cost_flows=3,
    slow_flows=2,
    loads=(Load("3 hot flows, full", Spec(3, rounds=6, is_full=True)),),
    backlog_flows=5,
    workers=(1,),
    brokers=("Redis",),
    rates=(50,),
    lag_s=1,
    ages=(200, 400),
    tables=(1_000, 2_000),
)


def cost(
    place: Place, results: Results, contestants: Iterable[Contestant], flows: int
) -> list[dict[str, Any]]:
    """Time what each phase costs the thread that runs the flow, one flow at a time."""
    spec = Spec(flows, body_ms=BODY_MS)
    return [
        {
            "name": contestant.name,
            "is_ours": contestant.is_ours,
            **_tried(place, results, "cost", contestant, spec, _cost),
        }
        for contestant in contestants
    ]


def throughput(
    place: Place, results: Results, contestants: Iterable[Contestant], loads: Sequence[Load]
) -> list[dict[str, Any]]:
    """Time how long it takes from the first call until everything is durable."""
    return [
        {
            "name": contestant.name,
            "is_ours": contestant.is_ours,
            "loads": {
                load.name: _tried(place, results, f"throughput {load.name}", contestant, load.spec, _rate)
                for load in loads
            },
        }
        for contestant in contestants
    ]


def backlog(place: Place, results: Results, sizes: Sizes) -> list[dict[str, Any]]:
    """Time how fast workers drain what waits in an outbox, through each broker."""
    rows: list[dict[str, Any]] = []
    for broker in sizes.brokers:
        if broker == "RabbitMQ" and not place.has_rabbitmq:
            rows.append({"broker": broker, "failed": "it is not installed (apt install rabbitmq-server)"})
            continue
        for workers in sizes.workers:
            take = partial(_drained, place, broker, workers, sizes.backlog_flows)
            found = results.get(_file_name("backlog", broker, str(workers)), take)
            rows.append({"broker": broker, "workers": workers, **found})
    return rows


def _drained(place: Place, broker: str, workers: int, flows: int) -> dict[str, Any]:
    url = place.rabbitmq_url() if broker == "RabbitMQ" else ""
    waiting = OURS._replace(option="backlog")
    found = run(place, waiting, Spec(flows), worker_processes=workers, broker_url=url, workers_last=True)
    return {"phases": found.phases, **found.notes, "worker_peak_mb": found.worker_peak_mb}


def _tried(
    place: Place,
    results: Results,
    measure: str,
    contestant: Contestant,
    spec: Spec,
    shown: Callable[[Found], dict[str, Any]],
) -> dict[str, Any]:
    """Measure; a peer that fails is told of with its reason, and we have to pass."""

    def take() -> dict[str, Any]:
        try:
            return shown(run(place, contestant, spec))
        except ContestFailed as error:
            if contestant.is_ours:
                raise
            return {"failed": str(error).splitlines()[-1][:200]}

    found: dict[str, Any] = results.get(_file_name(measure, contestant.module, contestant.option), take)
    return found


def _file_name(*words: str) -> str:
    return "-".join(word for word in words if word).replace(" ", "-").replace(",", "")


def _cost(found: Found) -> dict[str, Any]:
    costs = found.costs_us
    return {
        "mean_us": mean(costs),
        "p50_us": percentile(costs, 50),
        "p99_us": percentile(costs, 99),
        "worst_us": max(costs),
        "phases": len(costs),
        "peak_mb": found.peak_mb,
    }


def _rate(found: Found) -> dict[str, Any]:
    return {
        "phases_per_s": found.phases_per_s,
        "phases": found.phases,
        "wal_bytes_per_phase": found.wal_bytes / found.phases,
        "table_bytes_per_phase": found.table_bytes / found.phases,
        "peak_mb": found.peak_mb,
        "worker_peak_mb": found.worker_peak_mb,
    }
