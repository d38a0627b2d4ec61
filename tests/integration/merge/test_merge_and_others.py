from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import (
    AnyEvent,
    ErrorOccurred,
    MemoryMeasured,
    PhaseTimed,
    PhaseTransitioned,
    new_event,
)
from masterflow.repository.merge.merges import apply_events
from tests.support.events.flows import new_context, row_of
from tests.support.rows.legacy import fresh_row
from tests.support.rows.stored import insert_rows, printed, write

_CONTEXT = new_context()
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def at(second: float, kind: type[Any], **fields: Any) -> AnyEvent:
    event: AnyEvent = new_event(
        kind, _CONTEXT, UUID(int=0), occurred_at=_BEGIN + timedelta(seconds=second), **fields
    )
    return event


async def flow_of(session: AsyncSession, **columns: Any) -> UUID:
    flow_id = uuid4()
    await insert_rows(session, _CONTEXT, [flow_id], fresh_row() | columns)
    return flow_id


async def deliver(session: AsyncSession, flow_id: UUID, *batches: list[AnyEvent]) -> Any:
    for batch in batches:
        await apply_events(session, [event.model_copy(update={"flow_id": flow_id}) for event in batch])
    return await row_of(session, flow_id)


async def test_an_old_entry_that_is_a_long_text_is_cut_and_not_lost(session):
    flow_id = await flow_of(session, error_history=["x" * 2_000])
    row = await deliver(session, flow_id, [at(n, ErrorOccurred, phase="p", error="e") for n in range(60)])
    assert row.error_history[0] == "x" * 250 + "…[truncated 2002 chars]"


async def test_an_old_entry_that_is_cut_keeps_the_nulls_within_what_is_kept(session):
    flow_id = await flow_of(
        session, error_history=[{"status": {"a": None}, "phase": None, "text": "x" * 2_000}]
    )
    row = await deliver(session, flow_id, [at(n, ErrorOccurred, phase="p", error="e") for n in range(60)])
    assert row.error_history[0].keys() == {"status", "truncated"}
    assert row.error_history[0]["status"] == {"a": None}


@pytest.mark.parametrize(
    "changed_at", ["infinity", "-infinity", "294276-12-31", "0001-01-01", "4713-01-01 BC"]
)
async def test_a_row_that_changed_at_an_odd_time_takes_no_other_rows_events_along(session, changed_at):
    flows = [await flow_of(session) for _ in range(2)]

    def batch(second: float) -> list[AnyEvent]:
        events = [at(second, PhaseTransitioned, phase="p", status="processing") for _ in flows]
        return [one.model_copy(update={"flow_id": flow}) for one, flow in zip(events, flows, strict=True)]

    await apply_events(session, batch(0))
    await write(session, flows[:1], {"flow_status": "paused"})
    odd = text(
        "update migration.crewai_flow_state_extensions"
        " set updated_at = cast(cast(:at as text) as timestamptz) where flow_id = :flow_id"
    )
    await session.execute(odd, {"at": changed_at, "flow_id": flows[0]})
    await apply_events(session, batch(1))
    for flow_id in flows:
        assert len((await row_of(session, flow_id)).phase_transitions) == 2


async def test_times_of_others_take_no_place_of_the_newest_256(session):
    others = at(-1, PhaseTimed, phase="others", execution_time_ms=5)
    ours = [at(n, PhaseTimed, phase=f"phase {n}", execution_time_ms=1) for n in range(256)]
    flows = [await flow_of(session, phase_execution_times={"others": 12}) for _ in range(2)]
    await deliver(session, flows[0], [others], ours)
    await deliver(session, flows[1], ours, [others])
    one, other = await printed(session, flows)
    assert one == other


async def test_the_time_of_a_phase_that_others_wrote_is_read_in_any_form(session):
    forms = ["2026-11-01T05:30:05+05:30", "2026-11-01T00:00:05Z", "2026-10-31T16:00:05-0800", 1793491205]
    times = {f"phase {n}": {"execution_time_ms": 7, "recorded_at": form} for n, form in enumerate(forms)}
    flow_id = await flow_of(session, phase_execution_times=times)
    older, newer = (
        [at(second, PhaseTimed, phase=f"phase {n}", execution_time_ms=9) for n in range(len(forms))]
        for second in (4.9, 5.1)
    )
    row = await deliver(session, flow_id, older)
    assert [time["execution_time_ms"] for time in row.phase_execution_times.values()] == [7] * len(forms)
    row = await deliver(session, flow_id, newer)
    assert [time["execution_time_ms"] for time in row.phase_execution_times.values()] == [9] * len(forms)


async def test_what_others_wrote_as_a_time_is_kept_with_its_nulls(session):
    odd = [None, {"a": None}]
    flow_id = await flow_of(session, phase_execution_times={"p": odd})
    row = await deliver(session, flow_id, [at(1, PhaseTimed, phase="p", execution_time_ms=1)])
    assert row.phase_execution_times["p"]["legacy"] == odd


async def test_timings_from_before_the_bookkeeping_was_lost_count_the_same_one_by_one_or_together(session):
    lost = {"retry_count": 3, "updated_at": _BEGIN + timedelta(seconds=5)}
    flows = [await flow_of(session, **lost) for _ in range(2)]
    known = at(1, PhaseTimed, phase="p", execution_time_ms=1)
    new = at(9, PhaseTimed, phase="p", execution_time_ms=1, counted={"by": "process1", "number": 4})
    await deliver(session, flows[0], [known], [new])
    await deliver(session, flows[1], [known, new])
    one, other = await printed(session, flows)
    assert one == other


@pytest.mark.parametrize("edit", ["reversed", "entry moved", "halves swapped"])
async def test_a_list_that_others_rewrote_is_put_in_order_whatever_comes_first(session, edit):
    flows = [await flow_of(session) for _ in range(2)]
    entries = [at(n, PhaseTransitioned, phase=f"phase {n}", status="processing") for n in range(100)]
    for flow_id in flows:
        stored = (await deliver(session, flow_id, entries)).phase_transitions
        if edit == "reversed":
            stored = stored[::-1]
        elif edit == "entry moved":
            stored = [*stored[:40], *stored[41:], stored[40]]
        else:
            stored = [*stored[50:], *stored[:50]]
        await write(session, [flow_id], {"phase_transitions": stored, "updated_at": _BEGIN})
    newer = [at(n, PhaseTransitioned, phase="newer", status="processing") for n in (200, 201)]
    older = at(50.5, PhaseTransitioned, phase="between", status="processing")
    await deliver(session, flows[0], newer[:1], [older], newer[1:])
    await deliver(session, flows[1], [older, *newer])
    one, other = await printed(session, flows)
    assert one == other


async def test_an_event_that_comes_again_stands_once_among_entries_of_another_time_zone(session):
    theirs = [
        {
            "id": f"{n}",
            "phase": f"{n}",
            "status": "completed",
            "timestamp": f"2026-10-31T16:00:0{n}.000000-08:00",
        }
        for n in (0, 3, 5, 9)
    ]
    flow_id = await flow_of(session, phase_transitions=theirs)
    event = at(1, PhaseTransitioned, phase="ours", status="processing")
    row = await deliver(session, flow_id, [event], [event])
    assert [entry["phase"] for entry in row.phase_transitions] == ["0", "ours", "3", "5", "9"]


async def test_what_is_set_aside_twice_is_not_lost(session):
    flow_id = await flow_of(session, memory_usage_metrics="first")
    await deliver(session, flow_id, [at(1, MemoryMeasured, metrics={"a": 1})])
    await write(session, [flow_id], {"memory_usage_metrics": ["second"], "updated_at": _BEGIN})
    row = await deliver(session, flow_id, [at(2, MemoryMeasured, metrics={"a": 2})])
    assert row.flow_metadata["_enrichment"]["displaced"] == {
        "memory_usage_metrics": "first",
        "memory_usage_metrics (newest)": ["second"],
    }
