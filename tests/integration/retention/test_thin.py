import json
from pathlib import Path
from typing import Any

import pytest

from masterflow.domain.events import ErrorOccurred, new_event
from masterflow.domain.fleet.facts import facts_of
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.status.fleet import FleetRows
from masterflow.repository.status.reads import FlowScope
from masterflow.status.manager import FlowStatusManager
from masterflow.tasks.retention.archive import Archive
from masterflow.tasks.retention.restoring import restore_archive
from masterflow.tasks.retention.rounds import run_rounds
from tests.integration.retention.conftest import OLD, add_old, old_flows, rows_of
from tests.support.events.stores import TENANT, Sessions, read_row

pytestmark = pytest.mark.anyio

LONG = "no room for 17 rows in /tmp/x; " * 200


def full() -> dict[str, Any]:
    at = OLD.isoformat()
    entry = {"id": "1", "phase": "data_import", "timestamp": at}
    return {
        "flow_persistence_data": {
            "current_phase": "data_import",
            "state": {"rows": ["x" * 90] * 1_000},
            "checkpoints": [{"id": "c", "state_snapshot": {"rows": ["x" * 90] * 1_000}}],
        },
        "phase_transitions": [
            {**entry, "status": "processing", "metadata": {"message": "begins", "deep": {"rows": [1] * 500}}},
            {**entry, "id": "2", "status": "failed", "metadata": {}},
        ],
        "error_history": [{**entry, "error": LONG, "details": {"trace": [LONG]}}],
        "agent_collaboration_log": [{**entry, "agent": "ana", "activity": "reads", "output": [LONG]}],
        "phase_execution_times": {
            "data_import": {"execution_time_ms": 12.5, "completed_at": at, "attempts": 2}
        },
        "agent_performance_metrics": {
            "ana": {"score": 0.9, "log": [LONG]},
            "usage": {"ana": {"m": {"calls": 3, "input_tokens": 5}}},
        },
        "flow_metadata": {
            "last_progress_update": {"progress_percentage": 40, "message": "half", "more": {"of": ["it"]}},
            "usage": {"calls": 3, "cost_usd": 0.5},
            "source": "nightly",
            "resume_data": {"rows": [LONG]},
            "_enrichment": {"status": {"latest": ["1" * 48, "failed"]}},
        },
        "retry_count": 1,
    }


async def shown(sessions: Sessions, flow_id: Any) -> list[Any]:
    """Return what list, flow, bars and fleet say of a flow."""
    scope = FlowScope(TENANT.client_account_id, frozenset({TENANT.engagement_id}))
    async with sessions() as db:
        manager = FlowStatusManager(db, scope)
        summary = (await manager.list_flows()).flows[0]
        status, timeline = await manager.get_flow_status(flow_id), await manager.get_timeline(flow_id)
    [row] = await FleetRows(sessions, TENANT.client_account_id).read_flows([flow_id])
    return [summary, status, timeline.bars, facts_of(row)]


async def test_what_summaries_show_stays_and_the_heavy_goes(session_factory: Sessions) -> None:
    flow_id = await add_old(session_factory, "failed", **full())
    before, told = await read_row(session_factory, flow_id), await shown(session_factory, flow_id)
    assert (await run_rounds(old_flows(session_factory, to_thin=True), None, thins=True)).done == 1

    after: Any = await read_row(session_factory, flow_id)
    assert await shown(session_factory, flow_id) == told
    assert after.updated_at == before.updated_at
    assert after.flow_persistence_data == {"current_phase": "data_import"}
    assert after.flow_metadata["_thinned"].keys() == {"at", "digest"}
    assert after.flow_metadata["source"] == "nightly"
    assert after.flow_metadata["resume_data"] == {}
    assert [entry.get("thinned", False) for entry in after.phase_transitions] == [True, False]
    assert after.error_history[0]["error"] == f"{LONG[:400]}…[truncated {len(LONG) - 400} chars]"
    assert len(json.dumps((await rows_of(session_factory))[str(flow_id)])) < 6_000
    # Nothing is left to thin.
    assert (await run_rounds(old_flows(session_factory, to_thin=True), None, thins=True)).done == 0


async def test_a_thinned_row_becomes_whole_again_unless_it_has_changed(
    session_factory: Sessions, tmp_path: Path
) -> None:
    flow_id = await add_old(session_factory, "failed", **full())
    before, place = await rows_of(session_factory), Archive.at(f"{tmp_path}/")
    await run_rounds(old_flows(session_factory, to_thin=True), place, thins=True)
    assert await rows_of(session_factory) != before
    assert (await restore_archive(session_factory, place)).restored == 1
    assert await rows_of(session_factory) == before

    # Thinned, then archived into the same folder: what comes back is whole.
    await run_rounds(old_flows(session_factory, to_thin=True), place, thins=True)
    await run_rounds(old_flows(session_factory), place, thins=False)
    assert await rows_of(session_factory) == {}
    await restore_archive(session_factory, place)
    assert await rows_of(session_factory) == before

    await run_rounds(old_flows(session_factory, to_thin=True), place, thins=True)
    error = new_event(ErrorOccurred, TENANT, flow_id, phase="data_import", error="late")
    async with session_factory.begin() as db:
        await apply_events(db, [error])
    result = await restore_archive(session_factory, place)
    assert (result.restored, result.there) == (0, 1)
    assert [one["error"][:7] for one in (await read_row(session_factory, flow_id)).error_history] == [
        "no room",
        "late",
    ]
