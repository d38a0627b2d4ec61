import io
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.clock import clock
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    PhaseTimed,
    PhaseTransitioned,
    new_event,
)
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.status.changes import read_summaries
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.terminal.flow_news import Known
from masterflow.scripts.terminal.flow_panel import FlowPanel, flow_table
from masterflow.scripts.terminal.flow_view import read_flow
from masterflow.status.manager import FlowStatusManager
from masterflow.status.page.control import panel_to_keep
from masterflow.status.page.details import shown as page_of
from masterflow.status.page.rendering import render_report
from masterflow.status.reading.rows import summary_of
from masterflow.status.views import FlowStatus
from tests.support.events.child_rows import MAIN_COLUMNS, new_child
from tests.support.events.flows import new_flow

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


async def shown(session: AsyncSession, context: FlowContext, flow_id: UUID) -> tuple[FlowStatus, str, str]:
    """Return the status of the API, the page as text, and what a terminal shows."""
    view = await read_flow(session, FlowScope.of(context), flow_id)
    page = render_report(
        made_at=clock.tick(),
        panel=panel_to_keep(view.status),
        **page_of(view),
    )
    printed = io.StringIO()
    console = Console(file=printed, width=140)
    console.print(FlowPanel(view), flow_table([view.status]))
    return view.status, page, printed.getvalue()


def transitions(context: FlowContext, flow_id: UUID, *steps: tuple[str, str]) -> list[Any]:
    return [
        new_event(PhaseTransitioned, context, flow_id, phase=name, status=status) for name, status in steps
    ]


async def test_a_full_list_is_the_newest_of_at_least_so_many_for_every_reader(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)
    for _ in range(3):
        errors = [new_event(ErrorOccurred, context, flow_id, phase="p", error="e") for _ in range(84)]
        await apply_events(session, errors)
    entries = [new_event(AgentCollaborated, context, flow_id, entry={"agent": "a"}) for _ in range(99)]
    await apply_events(session, entries)
    status, page, terminal = await shown(session, context, flow_id)
    assert (status.error_count, status.collaboration_count) == (100, 99)
    assert status.at_least == ["error_count"]
    assert "newest 100 of at least 100" in page
    assert "at least 100 errors" in terminal
    assert "99 agent entries" in terminal
    view = await read_flow(session, FlowScope.of(context), flow_id)
    assert view.as_json()["at_least"] == ["error_count"]
    assert "at least 99" not in page + terminal
    found = await FlowStatusManager(session, context).get_errors(flow_id)
    assert (found.error_count, found.at_least) == (100, ["error_count"])


async def test_what_the_merge_could_not_count_is_at_least_so_much_for_every_reader(
    session: AsyncSession, context: FlowContext
) -> None:
    counts = {"retries": {"base": 0, "by": {}, "at_least": True}, "attempts:own": {"at_least": True}}
    times = {"own": {"execution_time_ms": 5.0, "completed_at": "2026-11-02T09:00:00+00:00", "attempts": 40}}
    flow_id = await new_flow(
        session,
        context,
        flow_status="processing",
        retry_count=33,
        flow_metadata={"_enrichment": {"counts": counts}},
        phase_execution_times=times,
    )
    status, page, terminal = await shown(session, context, flow_id)
    manager = FlowStatusManager(session, context)
    [listed] = (await manager.list_flows()).flows
    [row] = await read_summaries(session, [context.client_account_id], flow_ids=[flow_id])
    assert status.at_least == ["retry_count", "attempts:own"] == listed.at_least == summary_of(row).at_least
    assert (await manager.get_errors(flow_id)).at_least == ["retry_count"]
    assert page.count("at least 33") == 1
    assert "at least 40 attempts" in page
    assert terminal.count("at least 33 retries") == 2
    assert "at least 40" in terminal
    told = [news.text for news in Known().learn(listed, {}) if news.kind == "retry"]
    assert told == ["retry at least 33"]


async def test_the_first_steps_of_a_long_run_are_known_by_their_times(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id, begun = await new_flow(session, context), clock.tick() - timedelta(hours=2)
    first = ("data_import", "completed")
    await apply_events(
        session,
        [
            new_event(
                PhaseTransitioned, context, flow_id, phase=first[0], status=first[1], occurred_at=begun
            ),
            new_event(
                PhaseTimed, context, flow_id, phase=first[0], execution_time_ms=60_000, occurred_at=begun
            ),
        ],
    )
    loop = [("asset_inventory", "processing"), ("asset_inventory", "completed")] * 60
    await apply_events(session, transitions(context, flow_id, *loop))
    status, page, terminal = await shown(session, context, flow_id)
    timeline = await FlowStatusManager(session, context).get_timeline(flow_id)
    assert [view.phase for view in status.phase_details] == ["data_import", "asset_inventory"]
    assert [bar.phase for bar in timeline.bars][:2] == ["data_import", "asset_inventory"]
    assert timeline.bars[0].started_at == begun - timedelta(minutes=1)
    assert timeline.at_least == ["transition_count"]
    # Nobody timed the loop, so only the attempts that are kept are known.
    assert {"transition_count", "attempts:asset_inventory"} <= set(status.at_least)
    assert 'title="at least 50 attempts"' in page
    assert "At least 2 h 1 min since" in page
    assert "at least 50" in terminal


async def test_api_page_and_terminal_count_the_same_attempts(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)
    steps = [
        ("a", "processing"),
        ("a", "failed"),
        ("a", "processing"),
        ("a", "cancelled"),
        ("a", "processing"),
    ]
    timed = new_event(PhaseTimed, context, flow_id, phase="a", execution_time_ms=5)
    await apply_events(session, [*transitions(context, flow_id, *steps), timed])
    status, page, terminal = await shown(session, context, flow_id)
    [phase] = status.phase_details
    assert phase.attempts == 3
    assert "3 attempts" in page
    assert [line.split()[-2] for line in terminal.splitlines() if "processing" in line] == ["3"]
    bars = (await FlowStatusManager(session, context).get_timeline(flow_id)).bars
    assert [bar.attempt for bar in bars] == [1, 2, 3]
    assert status.at_least == []


@pytest.mark.parametrize(
    "theirs",
    [
        [("data_cleansing", "active")],
        [("data_import", "processing"), ("data_import", "failed")],
        [("data_import", "processing"), ("own", "completed"), ("data_import", "completed")],
        [],
    ],
)
async def test_the_index_is_checked_wherever_transitions_are_shown(
    session: AsyncSession, context: FlowContext, theirs: list[tuple[str, str]]
) -> None:
    flow_id = await new_flow(session, context)
    ours = [("data_import", "processing"), ("data_import", "completed")]
    await apply_events(session, transitions(context, flow_id, *ours))
    entries = [
        {"phase": phase, "status": status, "timestamp": "2026-11-02T09:00:00"} for phase, status in theirs
    ]
    change = "phase_transitions = cast(:it as jsonb) where flow_id = :flow"
    query = f"update migration.crewai_flow_state_extensions set {change}"
    await session.execute(text(query), {"it": json.dumps(entries), "flow": flow_id})
    manager = FlowStatusManager(session, context)
    [listed] = (await manager.list_flows()).flows
    [row] = await read_summaries(session, [context.client_account_id], flow_ids=[flow_id])
    status = await manager.get_flow_status(flow_id)
    assert listed.phases == summary_of(row).phases == status.phases == dict(theirs)
    assert {bar.phase for bar in (await manager.get_timeline(flow_id)).bars} == set(dict(theirs))


async def test_percentages_of_one_answer_agree_or_say_why_not(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(
        session,
        context,
        flow_status="completed",
        flow_metadata={"last_progress_update": {"progress_percentage": 66.7}},
    )
    await new_child(session, context, flow_id, progress_percentage=66.7)
    status, page, terminal = await shown(session, context, flow_id)
    assert status.progress_percentage == 100
    assert "66.7 %" in str(status.progress_note)
    assert str(status.progress_note) in page
    assert "66.7 %" in terminal


async def test_phases_that_a_child_row_calls_complete_agree_with_its_percentage_or_that_is_said(
    session: AsyncSession, context: FlowContext
) -> None:
    notes = []
    for progress, complete in ((100, 1), (33.3, 2), (45, 2), (20, 2), (40, 0)):
        snapshot = {"last_progress_update": {"progress_percentage": progress}}
        flow_id = await new_flow(session, context, flow_status="processing", flow_metadata=snapshot)
        columns: dict[str, Any] = dict.fromkeys(MAIN_COLUMNS[4 : 4 + complete], True)
        await new_child(session, context, flow_id, progress_percentage=progress, **columns)
        status, page, terminal = await shown(session, context, flow_id)
        assert status.progress_note is None or status.progress_note in page
        assert status.progress_note is None or status.progress_note in terminal
        notes.append(status.progress_note)
    says = "Its child row calls {} of 6 phases complete."
    assert notes == [says.format(1), None, None, says.format(2), None]


async def test_api_page_and_terminal_list_phases_in_one_order(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)
    names = ["of its own", "asset_inventory", "data_cleansing", "data_import", "asset_inventory"]
    steps = [(name, status) for name in names for status in ("processing", "completed")]
    await apply_events(session, transitions(context, flow_id, *steps))
    status, page, terminal = await shown(session, context, flow_id)
    order = ["data_import", "data_cleansing", "asset_inventory", "of its own"]
    assert [phase.phase for phase in status.phase_details] == list(status.phases) == order
    assert re.findall('data-phase="(.+?)"', page) == order
    lines = [line for line in terminal.splitlines() if "completed" in line]
    assert [name for line in lines for name in order if name.replace("_", " ") in line] == order


async def test_phases_of_two_sets_of_names_stand_in_the_order_of_the_one_that_fits(
    session: AsyncSession, context: FlowContext
) -> None:
    flow_id = await new_flow(session, context)
    query = "update migration.crewai_flow_state_extensions set flow_type = 'collection' where flow_id = :flow"
    await session.execute(text(query), {"flow": flow_id})
    names = ["initialization", "data_validation", "finalization", "gap_analysis", "of its own"]
    await apply_events(session, transitions(context, flow_id, *((name, "completed") for name in names[::-1])))
    status = await FlowStatusManager(session, context).get_flow_status(flow_id)
    order = ["initialization", "gap_analysis", "data_validation", "finalization", "of its own"]
    assert [phase.phase for phase in status.phase_details] == list(status.phases) == order
