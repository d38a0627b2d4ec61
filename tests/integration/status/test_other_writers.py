import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.events import AnyEvent, PhaseTransitioned, new_event
from masterflow.repository.backfill.reads import Scope
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.status.changes import read_summaries
from masterflow.status.manager import FlowStatusManager
from masterflow.status.reading.rows import summary_of
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up
from tests.support.events.child_rows import SHAPES, new_child
from tests.support.events.flows import new_flow, row_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


async def overwrite(session: AsyncSession, flow_id: UUID, entries: list[dict[str, Any]]) -> None:
    """Assign the whole list, as the application does that edits it in Python."""
    await session.execute(
        text(
            "update migration.crewai_flow_state_extensions"
            " set phase_transitions = cast(:entries as jsonb) where flow_id = :flow_id"
        ),
        {"flow_id": flow_id, "entries": json.dumps(entries)},
    )


async def test_transitions_that_the_application_writes_itself_are_in_status_and_timeline_at_once(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)
    repository = CrewAIFlowStateExtensionsRepository(
        session, context.client_account_id, context.engagement_id, "ann"
    )
    await repository.add_phase_transition(flow_id, "data_import", "completed")
    theirs = {
        "phase": "data_cleansing",
        "status": "active",
        "timestamp": "2026-11-02T09:00:00",
        "metadata": {},
    }
    await overwrite(session, flow_id, [theirs])
    manager = FlowStatusManager(session, context)
    status = await manager.get_flow_status(flow_id)
    # Ours is gone from the column, so its index shows no ghost of it.
    assert status.phases == {"data_cleansing": "active"}
    assert [bar.phase for bar in (await manager.get_timeline(flow_id)).bars] == ["data_cleansing"]


@pytest.mark.parametrize("name", ["old and complete", "newer, waiting", "failed", "contradicting"])
async def test_no_reader_shows_the_place_of_a_backfilled_entry_as_its_time(
    session_factory: async_sessionmaker[AsyncSession], context: FlowContext, name: str
) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, context)
        await new_child(session, context, flow_id, **SHAPES[name])
    await catch_up(session_factory, [flow_id], Scope(), BackfillOptions())
    async with session_factory() as session:
        manager = FlowStatusManager(session, context)
        status = await manager.get_flow_status(flow_id)
        timeline = await manager.get_timeline(flow_id)
        errors = (await manager.get_errors(flow_id)).errors
    answers: list[Any] = [status, timeline]
    said = "".join(answer.model_dump_json() for answer in answers) + json.dumps(errors)
    assert "1970-" not in said
    assert timeline.bars == []
    assert timeline.transitions
    assert status.status_since is None or status.status_since > datetime(2000, 1, 1, tzinfo=UTC)


async def test_a_list_written_over_ours_gets_back_what_is_repeated_and_leaves_no_ghost(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)

    def told(phase: str, status: str) -> AnyEvent:
        return new_event(PhaseTransitioned, context, flow_id, phase=phase, status=status)

    events = [told("data_import", "processing"), told("data_import", "completed")]
    events += [told("data_validation", "processing"), told("data_validation", "completed")]
    await apply_events(session, events[:3])
    ours = (await row_of(session, flow_id))["phase_transitions"]
    theirs = {"phase": "own_phase", "status": "active", "timestamp": "2026-11-02T09:00:00", "metadata": {}}
    # As long as ours, and with the same end.
    await overwrite(session, flow_id, [theirs, ours[0], ours[2]])
    await apply_events(session, events[3:])
    row = await row_of(session, flow_id)
    assert row["flow_metadata"]["phase_transitions"] == [
        "own_phase:active",
        "data_import:processing",
        "data_validation:processing",
        "data_validation:completed",
    ]
    await overwrite(session, flow_id, [ours[0], theirs])
    for repeated in (events[1:], events):
        await apply_events(session, repeated)
        row = await row_of(session, flow_id)
        words = [f"{entry['phase']}:{entry['status']}" for entry in row["phase_transitions"]]
        assert words == [
            "own_phase:active",
            "data_import:processing",
            "data_import:completed",
            "data_validation:processing",
            "data_validation:completed",
        ]
        assert row["flow_metadata"]["phase_transitions"] == words


@pytest.mark.parametrize("place", range(1, 19))
async def test_an_entry_that_others_replaced_anywhere_is_in_every_reader_at_once_and_in_the_index_later(
    session: AsyncSession, context: FlowContext, place: int
) -> None:
    flow_id = await new_flow(session, context)
    events: list[AnyEvent] = [
        new_event(PhaseTransitioned, context, flow_id, phase=f"phase {number}", status="completed")
        for number in range(20)
    ]
    await apply_events(session, events)
    ours = (await row_of(session, flow_id))["phase_transitions"]
    theirs = [
        {**entry, "phase": "theirs", "status": "failed"} if number == place else entry
        for number, entry in enumerate(ours)
    ]
    await overwrite(session, flow_id, theirs)
    phases = {entry["phase"]: entry["status"] for entry in theirs}
    manager = FlowStatusManager(session, context)
    [listed] = (await manager.list_flows()).flows
    [row] = await read_summaries(session, [context.client_account_id], flow_ids=[flow_id])
    status = await manager.get_flow_status(flow_id)
    assert listed.phases == summary_of(row).phases == status.phases == phases
    newer: AnyEvent = new_event(PhaseTransitioned, context, flow_id, phase="newer", status="completed")
    await apply_events(session, [newer])
    after = await row_of(session, flow_id)
    words = [f"{entry['phase']}:{entry['status']}" for entry in after["phase_transitions"]]
    assert after["flow_metadata"]["phase_transitions"] == words
    assert words[place] == "theirs:failed"


@pytest.mark.parametrize(
    "entries",
    [
        [{"phase": "a"}, {"status": "failed"}, {"phase": "b", "status": "completed"}, 7, None, "text"],
        [[{"phase": "b", "status": "completed"}], {"phase": "c"}, {"phase": "b", "status": "completed"}],
        [{"phase": None, "status": 1}, {"phase": "b", "status": None}, {"phase": "b", "status": "completed"}],
        [{"phase": "b", "status": "completed"}, {"phase": "a" * 30_000}, {"phase": "a", "status": None}],
    ],
)  # fmt: skip
async def test_entries_without_a_phase_or_a_status_take_no_other_ones_away(
    session: AsyncSession, context: FlowContext, entries: list[Any]
) -> None:
    flow_id = await new_flow(session, context)
    await overwrite(session, flow_id, entries)
    [listed] = (await FlowStatusManager(session, context).list_flows()).flows
    assert listed.phases == {"b": "completed"}
