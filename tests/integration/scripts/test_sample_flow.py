from collections import Counter
from uuid import uuid4

import pytest
from sqlalchemy import text

from masterflow.domain.phases import PHASES
from masterflow.repository import CrewAIFlowStateExtensionsRepository, DiscoveryFlowRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.sample_flow import (
    SERVERS_CSV,
    CsvInvalid,
    PostgresChildStore,
    Scenario,
    create_flow,
    run_flow,
)
from masterflow.tracker.testing import flow_reports
from tests.support.events.flows import new_context


@pytest.fixture
async def finished_flow(session_factory):
    """What runs a scenario, merges all it told, and returns the master and the child row."""

    async def finish(scenario):
        context, flow_id = new_context(), uuid4()
        await create_flow(session_factory, context, flow_id, name="Sample")
        store = PostgresChildStore(session_factory, context, flow_id)
        with flow_reports() as told:
            await run_flow(context, flow_id, SERVERS_CSV, scenario, store, rest_s=0)
        tenant = context.client_account_id, context.engagement_id, context.user_id
        async with session_factory.begin() as session:
            await apply_events(session, told)
        async with session_factory.begin() as session:
            master = await CrewAIFlowStateExtensionsRepository(session, *tenant).get_by_flow_id(flow_id)
            child = await DiscoveryFlowRepository(session, *tenant).get_by_flow_id(flow_id)
        return master, child

    return finish


async def test_a_flow_that_goes_well_fills_both_rows(finished_flow):
    master, child = await finished_flow(Scenario.WELL)
    assert master.flow_status == "completed"
    steps = Counter((entry["phase"], entry["status"]) for entry in master.phase_transitions)
    assert all(steps[phase, "completed"] == 1 and steps[phase, "processing"] >= 1 for phase in PHASES)
    assert set(master.phase_execution_times) == set(PHASES)
    assert master.flow_persistence_data["current_phase"] == "finalization"
    assert master.flow_metadata["last_progress_update"]["progress"] == 100
    assert master.agent_collaboration_log
    assert master.agent_performance_metrics["Schema Expert"]["items"] == 17
    assert master.memory_usage_metrics["peak_memory_mb"] > 0
    assert (master.error_history, master.retry_count) == ([], 0)
    assert set(child.crewai_state_data) >= set(PHASES)
    assert len(child.crewai_state_data["data_import"]["records"]) == 500
    assert child.progress_percentage == 100
    assert child.data_import_completed
    assert child.tech_debt_assessment_completed


async def test_a_retried_flow_shows_its_error_and_its_retry(finished_flow):
    master, _ = await finished_flow(Scenario.RETRY)
    assert master.flow_status == "completed"
    assert [entry["phase"] for entry in master.error_history] == ["data_cleansing"]
    assert master.retry_count == 1
    assert master.phase_execution_times["data_cleansing"]["attempts"] == 2


async def test_a_flow_without_an_approval_waits(finished_flow):
    master, child = await finished_flow(Scenario.APPROVAL)
    assert master.flow_status == "waiting_for_approval"
    assert master.phase_transitions[-1]["status"] == "paused"
    assert master.flow_metadata["awaiting_user_approval"] is True
    assert not child.data_cleansing_completed


async def test_what_the_child_keeps_is_not_in_the_master(finished_flow, session_factory):
    master, _ = await finished_flow(Scenario.WELL)
    async with session_factory() as session:
        whole_row = await session.scalar(
            text("select m::text from migration.crewai_flow_state_extensions m where flow_id = :flow_id"),
            {"flow_id": master.flow_id},
        )
    assert "bil-web-prd-01" not in whole_row


async def test_a_flow_that_sets_every_row_aside_fails_and_its_row_says_why(session_factory, tmp_path):
    context, flow_id = new_context(), uuid4()
    await create_flow(session_factory, context, flow_id, name="Sample")
    store = PostgresChildStore(session_factory, context, flow_id)
    path = tmp_path / "servers.csv"
    path.write_text("Host,OS,CPU\na,Linux,lots\nb,Linux,few\n")
    with flow_reports() as told, pytest.raises(CsvInvalid):
        await run_flow(context, flow_id, path, Scenario.WELL, store, rest_s=0)
    async with session_factory.begin() as session:
        await apply_events(session, told)
        tenant = context.client_account_id, context.engagement_id, context.user_id
        master = await CrewAIFlowStateExtensionsRepository(session, *tenant).get_by_flow_id(flow_id)
    assert master is not None
    assert master.flow_status == "failed"
    assert master.error_history is not None
    [error] = master.error_history
    assert error["phase"] == "data_validation"
    assert "has no row that can be used: line 2 'CPU' 'lots' is no whole number" in error["error"]
