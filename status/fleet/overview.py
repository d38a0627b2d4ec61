"""The overview of a fleet: what the sums of its book say of a window of time."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from masterflow.domain.clock import from_microseconds
from masterflow.domain.fleet.durations import quantile_ms
from masterflow.domain.fleet.facts import CauseSpan, FlowFacts
from masterflow.domain.fleet.sums import Key
from masterflow.domain.fleet.windows import WINDOWS, Window, WindowName
from masterflow.domain.liveness import Liveness
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.domain.usage.amounts import NANO_PER_USD
from masterflow.repository.redis.holders import Holders, liveness_among
from masterflow.status.fleet.book import FleetBook
from masterflow.status.fleet.views import (
    AgentUsage,
    BarCounts,
    CauseView,
    CountsView,
    DurationView,
    EngagementUsage,
    FleetUsage,
    FleetView,
    ModelTotal,
    NowView,
    PhaseDurations,
    TypeView,
    WaitingAge,
    WindowView,
)
from masterflow.status.usage import UsageFigures

_SECOND_US: Final = 1_000_000

#: So many phases, causes, agents and models are listed.
MOST_LISTED: Final = 20

#: Seconds that divide those who wait by age: 5 minutes, an hour, a day, a week.
AGES_S: Final = (0, 300, 3_600, 86_400, 604_800)

#: `(kind, ...)`: sums of one kind, without it.
_Kinds = Mapping[str | int, Mapping[Key, int]]


def overview_of(
    book: FleetBook, engagements: Collection[UUID] | None, *, window: WindowName, holders: Holders | None
) -> FleetView:
    """Return what the flows of these engagements do (None: of all), as a book that has begun knows it."""
    chosen, now_s = WINDOWS[window], book.now_us // _SECOND_US
    since_s = chosen.since_s(now_s)
    mine = [one for one in book.sums if engagements is None or one in engagements]
    by_engagement = {one: _kinds(book.sums[one].between(chosen.step_s, since_s, now_s + 1)) for one in mine}
    kinds = _joined(by_engagement.values())
    before = _joined(
        _kinds(book.sums[one].between(chosen.step_s, chosen.before_s(now_s), since_s)) for one in mine
    )
    counts = _counts(kinds)
    ended = counts["completed"] + counts["failed"] + counts["cancelled"]
    by_type = _by_type(kinds)
    phases = _phases(kinds, before)
    causes = _causes(book, kinds, engagements)
    return FleetView(
        window=WindowView(
            name=window,
            since=_time(since_s * _SECOND_US),
            as_of=_time(book.now_us),
            is_whole=book.is_whole,
            counted_since=_time(book.counted_since_s * _SECOND_US),
        ),
        now=now_of(
            (one for one in book.held if one.is_open and (engagements is None or one.engagement_id in mine)),
            now_us=book.now_us,
            holders=holders,
        ),
        started_by_status=_in_order(sum((Counter(one.by_status) for one in by_type), Counter())),
        by_type=by_type,
        in_all=CountsView(**counts),
        failure_rate=counts["failed"] / ended if ended else None,
        over_time=_over_time(book, mine, chosen, now_s),
        phases=phases[:MOST_LISTED],
        phase_count=len(phases),
        causes=causes[:MOST_LISTED],
        cause_count=len(causes),
        usage=_usage(kinds, by_engagement),
    )


def sums_of(book: FleetBook, window: WindowName) -> dict[str | int, Counter[Key]]:
    """Return the sums of all flows in a window, by kind."""
    chosen, now_s = WINDOWS[window], book.now_us // _SECOND_US
    since_s = chosen.since_s(now_s)
    return _joined(_kinds(sums.between(chosen.step_s, since_s, now_s + 1)) for sums in book.sums.values())


def now_of(flows: Iterable[FlowFacts], *, now_us: int, holders: Holders | None) -> NowView:
    """Return how it stands with flows that are open; without holders (None), as the rows say."""
    statuses: Counter[str] = Counter()
    ages: Counter[int] = Counter()
    lost = silent = overdue = 0
    waiting_since: list[int] = []
    for facts in flows:
        statuses[facts.status] += 1
        overdue += facts.is_overdue
        if facts.waiting_us is not None:
            waiting_since.append(facts.waiting_us)
            age_s = max(0, now_us - facts.waiting_us) // _SECOND_US
            ages[max(bound for bound in AGES_S if bound <= age_s)] += 1
        liveness = _liveness(facts, holders)
        lost, silent = lost + (liveness == "lost"), silent + (liveness == "silent")
    bounds = zip(AGES_S, (*AGES_S[1:], None), strict=True)
    return NowView(
        by_status=_in_order(statuses),
        lost=lost,
        silent=None if holders is None else silent,
        overdue=overdue,
        waiting=len(waiting_since),
        longest_waiting_since=_time(min(waiting_since)) if waiting_since else None,
        waiting_by_age=[WaitingAge(at_least_s=low, below_s=high, flows=ages[low]) for low, high in bounds],
    )


def _liveness(facts: FlowFacts, holders: Holders | None) -> Liveness | None:
    held = holders.of(facts.flow_id) if holders else []
    if not held and not facts.is_lost:
        return None
    row = {
        "client_account_id": facts.client_account_id,
        "flow_status": facts.status,
        "is_lost": facts.is_lost,
        "lost": facts.lost,
    }
    return liveness_among(row, held)


def _kinds(sums: Mapping[Key, int]) -> dict[str | int, dict[Key, int]]:
    found: defaultdict[str | int, dict[Key, int]] = defaultdict(dict)
    for (kind, *rest), amount in sums.items():
        found[kind][tuple(rest)] = amount
    return found


def _joined(several: Iterable[_Kinds]) -> dict[str | int, Counter[Key]]:
    joined: defaultdict[str | int, Counter[Key]] = defaultdict(Counter)
    for kinds in several:
        for kind, amounts in kinds.items():
            joined[kind].update(amounts)
    return joined


def _counts(kinds: _Kinds) -> dict[str, int]:
    ended: Counter[Any] = Counter()
    for (_type, status), flows in kinds.get("ended", {}).items():
        ended[status] += flows
    return {
        "started": sum(kinds.get("started", {}).values()),
        **{status: ended[status] for status in ("completed", "failed", "cancelled")},
    }


def _by_type(kinds: _Kinds) -> list[TypeView]:
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (flow_type, status), flows in kinds.get("started", {}).items():
        types[str(flow_type)][str(status)] += flows
    by_size = sorted(types, key=lambda one: (-types[one].total(), one))
    return [TypeView(flow_type=one, by_status=_in_order(types[one])) for one in by_size]


def _over_time(book: FleetBook, mine: Iterable[UUID], window: Window, now_s: int) -> list[BarCounts]:
    bars = []
    for at_s in window.bars(now_s):
        until_s = min(at_s + window.bar_s, now_s + 1)
        sums = _joined(_kinds(book.sums[one].between(window.step_s, at_s, until_s)) for one in mine)
        bars.append(BarCounts(at=_time(at_s * _SECOND_US), **_counts(sums)))
    return bars


def _phases(kinds: _Kinds, before: _Kinds) -> list[PhaseDurations]:
    ours, theirs = _buckets(kinds), _buckets(before)
    found = []
    for (flow_type, phase), buckets in ours.items():
        now = _durations(kinds, (flow_type, phase), buckets)
        then = _durations(before, (flow_type, phase), theirs.get((flow_type, phase), Counter()))
        change = round(now.p95_ms / then.p95_ms, 2) if now.p95_ms is not None and then.p95_ms else None
        found.append(
            PhaseDurations(
                flow_type=str(flow_type), phase=str(phase), now=now, before=then, p95_change=change
            )
        )
    return sorted(found, key=lambda one: (-(one.now.p95_ms or 0), one.flow_type, one.phase))


def _buckets(kinds: _Kinds) -> dict[Key, Counter[int]]:
    found: defaultdict[Key, Counter[int]] = defaultdict(Counter)
    for (flow_type, phase, bucket), count in kinds.get("phase", {}).items():
        found[flow_type, phase][int(bucket)] += count
    return found


def _durations(kinds: _Kinds, phase: Key, buckets: Counter[int]) -> DurationView:
    return DurationView(
        count=buckets.total(),
        p50_ms=quantile_ms(buckets, 0.5),
        p95_ms=quantile_ms(buckets, 0.95),
        total_ms=kinds.get("phase_us", {}).get(phase, 0) / 1000,
    )


def _causes(book: FleetBook, kinds: _Kinds, engagements: Collection[UUID] | None) -> list[CauseView]:
    flows = {str(cause): count for (cause,), count in kinds.get("cause", {}).items()}
    spans: dict[str, CauseSpan] = {}
    for tile in book.tiles.values():
        for (engagement, cause), span in tile.causes.items():
            if cause in flows and (engagements is None or engagement in engagements):
                spans[cause] = spans[cause].with_(span) if cause in spans else span
    return [
        CauseView(
            cause=cause,
            flows=flows[cause],
            first_seen_at=_time(spans[cause].first_us),
            last_seen_at=_time(spans[cause].last_us),
        )
        for cause in sorted(spans, key=lambda one: (-flows[one], one))
    ]


def _usage(kinds: _Kinds, by_engagement: Mapping[UUID, _Kinds]) -> FleetUsage:
    agents: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    models: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (agent, model, figure), amount in kinds.get("usage", {}).items():
        agents[str(agent), str(model)][str(figure)] = amount
        models[str(model)][str(figure)] += amount
    by_agent = [AgentUsage(agent=one[0], model=one[1], **figures_of(agents[one])) for one in agents]
    by_model = [ModelTotal(model=one, **figures_of(models[one])) for one in models]
    engaged = [
        EngagementUsage(engagement_id=one, **figures_of(_spent(sums)))
        for one, sums in by_engagement.items()
        if "spent" in sums
    ]
    return FleetUsage(
        in_all=UsageFigures(**figures_of(_spent(kinds))),
        by_agent=sorted(by_agent, key=lambda one: (*_spending(one), one.agent, one.model))[:MOST_LISTED],
        by_model=sorted(by_model, key=lambda one: (*_spending(one), one.model))[:MOST_LISTED],
        by_engagement=sorted(engaged, key=lambda one: (*_spending(one), one.engagement_id.hex))[:MOST_LISTED],
    )


def figures_of(amounts: Mapping[str, int]) -> dict[str, Any]:
    """Return figures of usage from their sums; the cost is null where it is not known of any call."""
    calls, unpriced = amounts.get("calls", 0), amounts.get("unpriced_calls", 0)
    nano_usd = amounts.get("cost_nano_usd", 0)
    return {
        "calls": calls,
        "input_tokens": amounts.get("input_tokens", 0),
        "output_tokens": amounts.get("output_tokens", 0),
        "cost_usd": nano_usd / NANO_PER_USD if nano_usd or unpriced < calls else None,
        "unpriced_calls": unpriced,
    }


def _spent(kinds: _Kinds) -> dict[str, int]:
    return {str(figure): amount for (figure,), amount in kinds.get("spent", {}).items()}


def _spending(figures: UsageFigures) -> tuple[float, int]:
    return -(figures.cost_usd or 0.0), -figures.calls


def _in_order(statuses: Mapping[str, int]) -> dict[str, int]:
    places: dict[str, int] = {status: place for place, status in enumerate(FLOW_STATUSES)}
    known = sorted(statuses, key=lambda one: (places.get(one, len(places)), one))
    return {status: statuses[status] for status in known if statuses[status]}


def _time(at_us: int) -> datetime:
    try:
        return from_microseconds(at_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if at_us > 0 else datetime.min.replace(tzinfo=UTC)
