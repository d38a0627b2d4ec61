"""The numbers of a fleet against plain SQL over its rows, after histories by chance."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.fleet.causes import cause_of
from masterflow.domain.fleet.durations import PRECISION
from masterflow.domain.fleet.windows import WINDOW_NAMES, WindowName
from masterflow.repository.status.fleet import FleetRows
from masterflow.status.fleet.book import FleetBook
from masterflow.status.fleet.overview import overview_of
from masterflow.status.fleet.views import FleetView
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions

_TABLE = "migration.crewai_flow_state_extensions"
_TYPES = ("discovery", "assessment")
_STATUSES = (
    "initialized",
    "active",
    "processing",
    "paused",
    "waiting_for_approval",
    "completed",
    "failed",
    "cancelled",
)
_ERRORS = ("no answer within %d s", "KeyError: 'name'", "db-%d.internal:5432 is away")


class History:
    """Flows that begin, change and vanish by chance; each change says when it was, as a merge does."""

    def __init__(self, sessions: Sessions, contexts: list[FlowContext], seed: int) -> None:
        self.sessions, self.contexts = sessions, contexts
        self.chance = Random(seed)
        self.flows: list[UUID] = []
        self.ended: set[UUID] = set()
        self.changed: set[UUID] = set()

    async def begin(self, count: int, *, is_now: bool = False) -> None:
        async with self.sessions.begin() as db:
            for _ in range(count):
                flow_id, context = uuid4(), self.chance.choice(self.contexts)
                oldest_s = 10 if is_now else self.chance.choice([600, 7_200, 200_000, 3_000_000, 9_000_000])
                age_s = oldest_s * self.chance.random()
                created_at = datetime.now(UTC) - timedelta(seconds=age_s)
                await db.execute(
                    text(
                        f"insert into {_TABLE} (id, flow_id, client_account_id, engagement_id, user_id,"
                        " flow_type, flow_status, created_at) values (gen_random_uuid(), :flow_id,"
                        " :client_account_id, :engagement_id, :user_id, :flow_type, 'initialized',"
                        " :created_at)"
                    ),
                    {
                        "flow_id": flow_id,
                        "flow_type": self.chance.choice(_TYPES),
                        "created_at": created_at,
                        **context.model_dump(),
                    },
                )
                self.flows.append(flow_id)
                at = None if is_now else created_at + timedelta(seconds=age_s / 2)
                await self._change(db, flow_id, self.chance.choice(_STATUSES), at=at)

    async def change(self, count: int) -> None:
        """Change flows as the feed can see: what ended long ago opens again before all else."""
        async with self.sessions.begin() as db:
            for flow_id in self.chance.sample(self.flows, count):
                is_settled = flow_id in self.ended and flow_id not in self.changed
                await self._change(
                    db, flow_id, self.chance.choice(_STATUSES[:5] if is_settled else _STATUSES)
                )

    async def delete(self, count: int) -> None:
        async with self.sessions.begin() as db:
            for _ in range(min(count, len(self.flows))):
                flow_id = self.flows.pop(self.chance.randrange(len(self.flows)))
                await db.execute(text(f"delete from {_TABLE} where flow_id = :id"), {"id": flow_id})

    async def _change(self, db: Any, flow_id: UUID, status: str, *, at: datetime | None = None) -> None:
        chance = self.chance
        if at is None:
            self.changed.add(flow_id)
        elif status in _STATUSES[5:]:
            self.ended.add(flow_id)
        when = (at or datetime.now(UTC)) - timedelta(seconds=chance.random() * 60 if at is None else 0)
        stamp = f"{int(when.timestamp() * 1e6):016d}{flow_id.hex}"
        metadata: dict[str, Any] = {}
        if chance.random() < 0.7:
            metadata["_enrichment"] = {"status": {"latest": [stamp, status]}}
        if chance.random() < 0.5:
            metadata["usage"] = self._figures()
        if chance.random() < 0.2:
            metadata["lost"] = {"cause": "witnessed", "holder": "gone"}
            kept = metadata.setdefault("_enrichment", {})
            kept["clocks"] = {"flow_metadata": {"lost": stamp}}
        errors = [
            {"error": self._error(), "timestamp": (when - timedelta(hours=chance.randrange(5))).isoformat()}
            for _ in range(chance.choice([0, 0, 1, 3]))
        ]
        times = {
            chance.choice(["data_import", "mapping", "inventory"]): {
                "execution_time_ms": round(chance.lognormvariate(7, 2), 3),
                "completed_at": when.isoformat(),
            }
            for _ in range(chance.randrange(4))
        }
        agents = {"Ann": {chance.choice(["small", "big"]): self._figures()}}
        await db.execute(
            text(
                f"update {_TABLE} set flow_status = :status, flow_metadata = cast(:metadata as jsonb),"
                " error_history = cast(:errors as jsonb), phase_execution_times = cast(:times as jsonb),"
                " agent_performance_metrics = cast(:agents as jsonb),"
                " updated_at = coalesce(:at, clock_timestamp()) where flow_id = :flow_id"
            ),
            {
                "flow_id": flow_id,
                "status": status,
                "metadata": json.dumps(metadata),
                "errors": json.dumps(errors),
                "times": json.dumps(times),
                "agents": json.dumps({"usage": agents} if chance.random() < 0.5 else {}),
                "at": at,
            },
        )

    def _error(self) -> str:
        error = self.chance.choice(_ERRORS)
        return error % self.chance.randrange(90) if "%" in error else error

    def _figures(self) -> dict[str, Any]:
        chance = self.chance
        cost = chance.choice([None, 0, 0.1, 0.00117, 12.5])
        return {
            "calls": chance.randrange(1, 9),
            "input_tokens": chance.randrange(9_000),
            "output_tokens": chance.randrange(900),
            "cost_usd": cost,
            "unpriced_calls": 0 if cost is not None else 1,
        }


async def _rows(sessions: Sessions, sql: str, **arguments: Any) -> list[Any]:
    async with sessions() as db:
        return list(await db.execute(text(sql), arguments))


_SCOPE = "client_account_id = :account and engagement_id = any(cast(:engagements as uuid[]))"
_ENDED_AT = (
    "case when flow_metadata #>> '{_enrichment,status,latest,1}' = flow_status"
    " then to_timestamp(left(flow_metadata #>> '{_enrichment,status,latest,0}', 16)::numeric / 1000000)"
    " else updated_at end"
)
_OPEN = "flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')"


async def assert_as_sql_says(  # noqa: PLR0915  each number has its statement
    sessions: Sessions, view: FleetView, **scope: Any
) -> None:
    """Compare every number that there is with what a plain statement counts."""
    arguments = {**scope, "since": view.window.since}
    counted = f"{_SCOPE} and (created_at >= :horizon or {_OPEN})"
    horizon = view.window.as_of - timedelta(days=61)
    arguments["horizon"] = horizon.replace(minute=0, second=0, microsecond=0)

    async def grouped(what: str, where: str, source: str = _TABLE) -> dict[Any, Any]:
        sql = f"select {what}, count(*) from {source} where {where} group by 1"
        return {row[0]: row[1] for row in await _rows(sessions, sql, **arguments)}

    assert view.now.by_status == await grouped("flow_status", f"{_SCOPE} and {_OPEN}")
    started = f"{_SCOPE} and created_at >= :since"
    assert view.started_by_status == await grouped("flow_status", started)
    assert {one.flow_type: sum(one.by_status.values()) for one in view.by_type} == await grouped(
        "flow_type", started
    )
    ended = await grouped("flow_status", f"{counted} and not ({_OPEN}) and {_ENDED_AT} >= :since")
    counts = view.in_all
    found = {"completed": counts.completed, "failed": counts.failed, "cancelled": counts.cancelled}
    assert {status: count for status, count in found.items() if count} == ended
    assert counts.started == sum(view.started_by_status.values())
    assert view.failure_rate == (counts.failed / sum(ended.values()) if ended else None)
    bars = Counter[str]()
    for bar in view.over_time:
        bars.update({name: getattr(bar, name) for name in ("started", *found)})
    assert bars == {"started": counts.started, **found}
    lost = f"{_SCOPE} and flow_status in ('initialized', 'active', 'processing') and flow_metadata ? 'lost'"
    assert view.now.lost == sum((await grouped("1", lost)).values())
    waits = f"{_SCOPE} and flow_status in ('paused', 'waiting_for_approval')"
    assert view.now.waiting == sum((await grouped("1", waits)).values())
    assert sum(age.flows for age in view.now.waiting_by_age) == view.now.waiting

    phases = await _rows(
        sessions,
        "select flow_type, phase, count(*), percentile_disc(0.5) within group (order by ms),"
        " percentile_disc(0.95) within group (order by ms), sum(ms) from"
        f" (select flow_type, key as phase, (value ->> 'execution_time_ms')::float8 as ms,"
        f" (value ->> 'completed_at')::timestamptz as at from {_TABLE}, jsonb_each(phase_execution_times)"
        f" where {counted}) as timed where at >= :since group by 1, 2",
        **arguments,
    )
    assert {(one.flow_type, one.phase): one.now.count for one in view.phases} == {
        (row[0], row[1]): row[2] for row in phases
    }
    durations = {(one.flow_type, one.phase): one.now for one in view.phases}
    for flow_type, phase, _, p50, p95, total in phases:
        assert durations[flow_type, phase].p50_ms == pytest.approx(p50, rel=PRECISION)
        assert durations[flow_type, phase].p95_ms == pytest.approx(p95, rel=PRECISION)
        assert durations[flow_type, phase].total_ms == pytest.approx(total)

    errors = await _rows(
        sessions,
        f"select flow_id, entry ->> 'error', (entry ->> 'timestamp')::timestamptz from {_TABLE},"
        f" jsonb_array_elements(error_history) as entry where {counted}",
        **arguments,
    )
    flows = {(flow_id, cause_of(error)) for flow_id, error, at in errors if at >= view.window.since}
    assert {one.cause: one.flows for one in view.causes} == Counter(cause for _, cause in flows)

    [(calls, cost)] = await _rows(
        sessions,
        "select coalesce(sum((flow_metadata #>> '{usage,calls}')::bigint), 0),"
        f" sum((flow_metadata #>> '{{usage,cost_usd}}')::numeric) from {_TABLE} where {started}",
        **arguments,
    )
    assert view.usage.in_all.calls == calls
    assert view.usage.in_all.cost_usd == (float(cost) if cost is not None else None) or not cost
    [(calls,)] = await _rows(
        sessions,
        "select coalesce(sum((figures ->> 'calls')::bigint), 0) from"
        f" {_TABLE}, jsonb_each(agent_performance_metrics #> '{{usage,Ann}}') as used (model, figures)"
        f" where {started}",
        **arguments,
    )
    assert sum(one.calls for one in view.usage.by_agent) == calls
    assert sum(one.calls for one in view.usage.by_model) == calls
    assert sum(one.calls for one in view.usage.by_engagement) == view.usage.in_all.calls


async def _whole(book: FleetBook) -> FleetBook:
    await book.read_all()
    return book


async def _settled(book: FleetBook) -> FleetBook:
    await book.follow()
    while book.is_stale:
        await book.refresh()
    return book


@pytest.fixture
def tenants() -> list[FlowContext]:
    one = new_context()
    other = one.model_copy(update={"engagement_id": uuid4()})
    return [one, other, new_context()]


@pytest.mark.parametrize("seed", range(3))
async def test_every_number_is_what_sql_counts_after_histories_by_chance(
    sessions: Sessions, tenants: list[FlowContext], seed: int
) -> None:
    history = History(sessions, tenants, seed)
    await history.begin(60)
    account = tenants[0].client_account_id
    book = await _whole(FleetBook(FleetRows(sessions, account)))
    for _ in range(4):
        await history.change(15)
        await history.begin(5, is_now=True)
        await _settled(book)
        for engagements in ([tenants[0].engagement_id], [one.engagement_id for one in tenants[:2]]):
            for window in WINDOW_NAMES:
                view = overview_of(book, engagements, window=window, holders=None)
                await assert_as_sql_says(sessions, view, account=account, engagements=engagements)
    fresh = await _whole(FleetBook(FleetRows(sessions, account)))
    for window in WINDOW_NAMES:
        assert _told(book, tenants, window) == _told(fresh, tenants, window)


def _told(book: FleetBook, tenants: list[FlowContext], window: WindowName) -> dict[str, Any]:
    view = overview_of(book, [one.engagement_id for one in tenants], window=window, holders=None)
    told = view.model_dump(exclude={"window"})
    # A cause may have been seen in an entry that the row holds no more.
    for cause in told["causes"]:
        del cause["first_seen_at"], cause["last_seen_at"]
    return told


async def test_rows_that_are_deleted_or_added_late_are_found_when_rows_are_counted(
    sessions: Sessions, tenants: list[FlowContext]
) -> None:
    history = History(sessions, tenants[:1], 7)
    await history.begin(40)
    context = tenants[0]
    engagements = [context.engagement_id]
    book = await _whole(FleetBook(FleetRows(sessions, context.client_account_id)))
    await history.delete(10)
    await history.begin(10)
    book._recounted_at = float("-inf")
    await book.follow()
    await book.refresh()
    await _settled(book)
    # The open ones that began before the horizon are in no hour.
    await book._read_older()
    for window in WINDOW_NAMES:
        view = overview_of(book, engagements, window=window, holders=None)
        await assert_as_sql_says(sessions, view, account=context.client_account_id, engagements=engagements)
