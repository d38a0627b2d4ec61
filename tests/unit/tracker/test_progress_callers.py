from types import SimpleNamespace
from uuid import UUID

import pytest

from masterflow.domain import flow_uuid
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    FlowDeclared,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTransitioned,
    StatusChanged,
)
from masterflow.tracker.hooks import phase
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")


async def test_agents_and_metrics_are_told(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.report_agent_activity("Schema Expert", "looked", {"columns": 3})
    await tracker.report_agent_performance({"Schema Expert": {"calls": 1}})
    await tracker.report_memory({"peak_memory_mb": 12.5})
    assert told.of(AgentCollaborated)[0].entry == {
        "agent": "Schema Expert",
        "activity": "looked",
        "phase": "data_import",
        "details": {"columns": 3},
    }
    assert told.of(AgentPerformanceMeasured)[0].metrics == {"Schema Expert": {"calls": 1}}
    assert told.of(MemoryMeasured)[0].metrics == {"peak_memory_mb": 12.5}


async def test_a_callers_own_snapshot_tells_its_status_in_the_words_of_the_table(tracker, told):
    await tracker._persist_progress_to_database(
        {"workflow_status": "awaiting_approval", "awaiting_user_input": True, "is_processing": False}
    )
    [status] = told.of(StatusChanged)
    assert status.status == "waiting_for_approval"
    assert status.metadata == {"is_processing": False, "awaiting_user_approval": True}


async def test_every_change_goes_through_the_method_that_persists_progress(told):
    class Persisting(FlowProgressTracker):
        persisted: tuple[object, ...] = ()

        async def _persist_progress_to_database(self, progress_data):
            self.persisted += (progress_data["status"],)

    tracker = Persisting(UUID(int=3), TENANT)
    await tracker.start_phase("data_import")
    await tracker.report_error("odd")
    await tracker.complete_phase("data_import")
    await tracker.complete_flow()
    assert tracker.persisted == ("processing", "error", "completed", "completed")


async def test_any_object_with_the_three_tenant_ids_is_a_context(told):
    request = SimpleNamespace(
        client_account_id=str(UUID(int=1)), engagement_id=UUID(int=2), user_id=UUID(int=9)
    )
    await create_progress_tracker(str(UUID(int=3)), request).start_phase("data_import")
    assert told[0].client_account_id == UUID(int=1)
    assert told[0].user_id == str(UUID(int=9))


TENANT = SimpleNamespace(client_account_id=str(UUID(int=1)), engagement_id=UUID(int=2), user_id=UUID(int=9))

NONSENSE = [None, object(), [], {}, float("nan"), "", b"\0", "\ud800"]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("is_known", [True, False])
async def test_nonsense_never_raises_into_the_flow(told, nonsense, is_known):
    tracker = FlowProgressTracker(nonsense, nonsense, phases=nonsense, flow_type=nonsense, ends_flow=nonsense)
    if is_known:
        tracker = FlowProgressTracker(FLOW_ID, CONTEXT)
    tracker.declare(nonsense, nonsense)
    tracker.begin(nonsense, nonsense).end(status=nonsense, error=nonsense, nonsense=nonsense)
    tracker.begin("data_import").end(status=nonsense, error=nonsense, nonsense=nonsense)
    tracker.set_progress(nonsense, nonsense)
    tracker.update_metadata(nonsense)
    with tracker, phase(nonsense):
        pass
    await tracker.start_phase(nonsense, nonsense)
    await tracker.complete_phase(nonsense, nonsense)
    await tracker.report_agent_activity(nonsense, nonsense, nonsense)
    await tracker.report_error(nonsense, nonsense, nonsense)
    await tracker.pause_for_user_input(nonsense, nonsense)
    await tracker.resume_after_user_input(nonsense)
    await tracker.report_memory(nonsense)
    await tracker.report_agent_performance(nonsense)
    await tracker._persist_progress_to_database({"workflow_status": nonsense})
    await tracker.fail_flow(nonsense)
    await tracker.complete_flow(nonsense)
    await tracker.start_phase()  # type: ignore[call-arg]
    told.clear()
    FlowProgressTracker(FLOW_ID, CONTEXT).start_phase("data_import")
    assert told.transitions == ["data_import:processing"]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: type(value).__name__)
def test_a_flow_goes_on_reporting_after_nonsense(tracker, told, nonsense):
    tracker.start_phase(nonsense)
    with phase(nonsense, flow=tracker):
        pass
    tracker.begin(nonsense)
    with phase("data_import", flow=tracker):
        pass
    assert told.transitions[-2:] == ["data_import:processing", "data_import:completed"]
    assert told.snapshot["progress"] == 10


def test_names_and_texts_that_are_too_long_are_cut_and_cost_no_report(told):
    context = SimpleNamespace(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="u" * 300)
    tracker = create_progress_tracker(
        "r" * 5_000, context, create=True, flow_type="finops", flow_name="n" * 300
    )
    with tracker, phase("p" * 300):
        tracker.report_error("e" * 10_000, "q" * 101)
    tracker.begin("p" * 300).end(status="s" * 300)
    assert process_delivery.losses.counts() == {}
    assert len(name := told.of(FlowDeclared)[0].flow_name or "") == 255
    assert name.endswith("…[truncated 66 chars]")
    assert {len(event.phase) for event in told.of(PhaseTransitioned)} == {100}
    assert {len(event.phase) for event in told.of(ErrorOccurred)} == {100}
    assert len(told.of(PhaseTransitioned)[-1].status) == 40
    assert len(told[0].user_id) == 255


async def test_an_id_that_is_no_uuid_is_kept_beside_that_of_the_row(told):
    tracker = create_progress_tracker("my-run-7", CONTEXT)
    tracker.start_phase("data_import")
    assert tracker.flow_id == flow_uuid("my-run-7") == UUID("399c7f3f-297b-5504-9ad8-8c42b92decb0")
    assert told.of(MetadataUpdated)[0].updates == {"external_flow_id": "my-run-7"}
    assert {event.flow_id for event in told} == {tracker.flow_id}


@pytest.mark.parametrize("flow_id", [FLOW_ID, str(FLOW_ID), str(FLOW_ID).upper(), f" {FLOW_ID.hex} "])
def test_an_id_that_is_a_uuid_in_any_form_is_its_own(told, flow_id):
    tracker = create_progress_tracker(flow_id, CONTEXT)
    assert tracker.flow_id == FLOW_ID
    assert not told


def test_numbers_are_ids_too(told):
    assert create_progress_tracker(7, CONTEXT).flow_id == flow_uuid("7")


def test_a_flow_is_declared_when_its_tracker_is_made(told):
    create_progress_tracker(FLOW_ID, CONTEXT, create=True, flow_type="planning", flow_name="ours")
    [declared] = told
    assert (declared.kind, declared.flow_type, declared.flow_name) == ("flow_declared", "planning", "ours")


@pytest.mark.parametrize("flow_type", [None, "gardening"])
def test_a_flow_without_a_known_type_is_not_declared_and_says_why(told, caplog, flow_type):
    create_progress_tracker(FLOW_ID, CONTEXT, create=True, flow_type=flow_type)
    assert not told
    assert "flow_type" in caplog.text


async def test_an_error_whose_text_raises_is_told_by_its_type(tracker, told):
    class Broken(Exception):
        def __str__(self):
            raise ZeroDivisionError

    await tracker.report_error(Broken(), "data_import")
    assert told.of(ErrorOccurred)[0].error == "Broken"
