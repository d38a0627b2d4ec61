from contextlib import suppress
from types import SimpleNamespace
from uuid import UUID

import pytest

from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    MemoryMeasured,
    StatusChanged,
)
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker

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
async def test_nonsense_never_raises_into_the_flow(monkeypatch, told, nonsense):
    def report(*args, **fields):
        with suppress(ValueError, AttributeError):
            told.report(*args, **fields)

    monkeypatch.setattr("masterflow.tracker.flow_record.report", report)
    tracker = FlowProgressTracker(nonsense, nonsense)
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


async def test_an_error_whose_text_raises_is_told_by_its_type(tracker, told):
    class Broken(Exception):
        def __str__(self):
            raise ZeroDivisionError

    await tracker.report_error(Broken(), "data_import")
    assert told.of(ErrorOccurred)[0].error == "Broken"
