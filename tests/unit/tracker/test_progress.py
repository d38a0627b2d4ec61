from types import SimpleNamespace

import pytest

from masterflow.domain.events import (
    ErrorOccurred,
    FlowDeclared,
    FlowRetried,
    PhaseTimed,
    ProgressReported,
    StatusChanged,
)
from masterflow.tracker import create_progress_tracker
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")


async def test_a_phase_from_start_to_end_tells_two_transitions_and_its_time(tracker, told):
    await tracker.start_phase("data_import", "reading")
    await tracker.complete_phase("data_import")
    assert told.transitions == ["data_import:processing", "data_import:completed"]
    [timed] = told.of(PhaseTimed)
    assert timed.phase == "data_import"
    assert timed.execution_time_ms == told.facts("data_import:completed")["execution_time_ms"]


async def test_the_status_is_told_once_and_not_with_every_snapshot(tracker, told):
    for phase in ("data_import", "data_validation"):
        await tracker.start_phase(phase)
        await tracker.complete_phase(phase)
    assert told.statuses == ["processing"]
    assert len(told.of(ProgressReported)) == 4


async def test_the_end_of_the_last_phase_does_not_complete_the_flow(tracker, told):
    await tracker.start_phase("finalization")
    await tracker.complete_phase("finalization")
    assert told.statuses == ["processing"]
    assert told.snapshot["workflow_status"] == "processing"
    await tracker.complete_flow({"servers": [1, 2]})
    assert told.statuses == ["processing", "completed"]
    assert told.snapshot["progress"] == 100
    assert told.snapshot["servers_count"] == 2


@pytest.mark.parametrize(
    ("phase", "progress"), [("data_import", 10), ("attribute_mapping", 30), ("sixr_strategy", 90)]
)
async def test_progress_follows_the_phases_also_under_their_other_names(tracker, told, phase, progress):
    await tracker.start_phase(phase)
    assert told.snapshot["progress"] == told.snapshot["progress_percentage"] == progress


async def test_an_unknown_phase_keeps_the_progress(tracker, told):
    await tracker.start_phase("asset_inventory")
    await tracker.start_phase("our own phase")
    assert told.snapshot["progress"] == 60
    assert told.snapshot["current_phase"] == "our own phase"


async def test_results_are_told_as_counts_and_numbers_only(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.complete_phase("data_import", {"rows": ["secret"] * 3, "quality": 0.9, "owner": "Ann"})
    facts = told.facts("data_import:completed")
    assert facts.keys() == {"execution_time_ms", "rows_count", "quality"}
    assert (facts["rows_count"], facts["quality"]) == (3, 0.9)


async def test_completing_a_phase_that_never_started_invents_no_time(tracker, told):
    await tracker.complete_phase("data_import")
    assert told.transitions == ["data_import:completed"]
    assert not told.of(PhaseTimed)


async def test_a_new_phase_leaves_the_open_one_as_it_is(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.start_phase("data_validation")
    assert told.transitions == ["data_import:processing", "data_validation:processing"]
    await tracker.complete_phase("data_import")
    assert told.of(PhaseTimed)[0].phase == "data_import"


async def test_a_second_start_after_an_error_is_one_retry(tracker, told):
    await tracker.start_phase("data_cleansing")
    await tracker.report_error(ValueError("bad unit"))
    await tracker.report_error(ValueError("bad unit"))
    await tracker.start_phase("data_cleansing")
    await tracker.start_phase("data_cleansing")
    assert len(told.of(ErrorOccurred)) == 2
    assert len(told.of(FlowRetried)) == 1


async def test_a_second_start_without_an_error_is_no_retry(tracker, told):
    await tracker.start_phase("data_cleansing")
    await tracker.complete_phase("data_cleansing")
    await tracker.start_phase("data_cleansing")
    assert not told.of(FlowRetried)


async def test_a_recoverable_error_ends_neither_phase_nor_flow(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.report_error("one row is broken", is_recoverable=True)
    [error] = told.of(ErrorOccurred)
    assert (error.phase, error.error) == ("data_import", "one row is broken")
    assert error.details["is_recoverable"] is True
    assert told.transitions == ["data_import:processing"]
    assert told.statuses == ["processing"]


async def test_an_unrecoverable_error_fails_its_phase_and_not_the_flow(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.report_error(ValueError("no file"), "data_import", is_recoverable=False)
    assert told.transitions == ["data_import:processing", "data_import:failed"]
    assert [event.phase for event in told.of(PhaseTimed)] == ["data_import"]
    assert told.statuses == ["processing"]


async def test_an_error_tells_its_type_and_origin(tracker, told):
    with pytest.raises(KeyError) as raised:
        dict[str, int]()["ram"]
    await tracker.report_error(raised.value, "data_import")
    details = told.of(ErrorOccurred)[0].details
    assert details["error_type"] == "KeyError"
    assert details["raised_at"].startswith("test_progress.py:")


async def test_a_secret_in_an_error_is_masked(tracker, told):
    await tracker.report_error("no answer from postgresql://ann:hunter2@db.example/units", "data_import")
    assert "hunter2" not in "".join(event.model_dump_json() for event in told)
    assert "db.example" in told.of(ErrorOccurred)[0].error


@pytest.mark.parametrize(("awaiting_approval", "status"), [(True, "waiting_for_approval"), (False, "paused")])
async def test_a_pause_and_a_resume_are_told(tracker, told, awaiting_approval, status):
    await tracker.start_phase("field_mapping_approval")
    await tracker.pause_for_user_input("please look", awaiting_approval)
    assert told.snapshot["awaiting_user_input"] is True
    assert told.snapshot["awaiting_user_approval"] is awaiting_approval
    await tracker.resume_after_user_input("looks good")
    assert told.statuses == ["processing", status, "processing"]
    assert [event.reopens for event in told.of(StatusChanged)] == [False, False, True]
    assert told.transitions == [
        "field_mapping_approval:processing",
        "field_mapping_approval:paused",
        "field_mapping_approval:processing",
    ]
    assert told.snapshot["is_processing"] is True


async def test_waiting_for_a_human_does_not_count_as_phase_time(tracker, told, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr("masterflow.tracker.attempts.time", SimpleNamespace(monotonic=lambda: now_s))
    await tracker.start_phase("field_mapping_approval")
    now_s += 2
    await tracker.pause_for_user_input()
    now_s += 3600
    await tracker.resume_after_user_input()
    now_s += 1
    await tracker.complete_phase("field_mapping_approval")
    assert told.of(PhaseTimed)[0].execution_time_ms == 3000


async def test_the_next_phase_ends_a_wait_that_nobody_ended(tracker, told):
    await tracker.start_phase("field_mapping_approval")
    await tracker.pause_for_user_input()
    await tracker.start_phase("data_cleansing")
    assert told.statuses == ["processing", "waiting_for_approval", "processing"]


async def test_a_failed_flow_tells_the_error_and_fails_its_open_phase(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.fail_flow(ValueError("no file"))
    assert [event.error for event in told.of(ErrorOccurred)] == ["no file"]
    assert told.transitions[-1] == "data_import:failed"
    assert told.statuses == ["processing", "failed"]


async def test_an_error_before_any_phase_belongs_to_the_flow(tracker, told):
    await tracker.fail_flow("no permission")
    assert told.of(ErrorOccurred)[0].phase == "flow"


async def test_a_retried_phase_brings_a_failed_flow_back_and_another_phase_does_not(tracker, told):
    await tracker.start_phase("data_import")
    await tracker.fail_flow("no file")
    await tracker.start_phase("data_validation")
    assert told.statuses[-1] == "failed"
    await tracker.start_phase("data_import")
    assert told.statuses[-1] == "processing"
    assert told.of(StatusChanged)[-1].reopens


@pytest.mark.parametrize("end", ["complete_flow", "cancel_flow"])
async def test_nothing_leaves_a_final_status(tracker, told, end):
    await getattr(tracker, end)()
    final = told.statuses[-1]
    await tracker.start_phase("data_import")
    await tracker.resume_after_user_input()
    await tracker.fail_flow("late")
    assert told.statuses == [final]
    assert told.snapshot["workflow_status"] == final


@pytest.mark.parametrize(
    "report",
    [
        lambda tracker: tracker.set_progress(40),
        lambda tracker: tracker.complete_phase("data_import"),
        lambda tracker: tracker.report_agent_activity("Expert", "looked"),
        lambda tracker: tracker.update_metadata({"source": "cmdb"}),
    ],
)
async def test_a_process_that_comes_to_a_flow_reports_no_status_that_it_does_not_know(tracker, told, report):
    report(tracker)
    assert told.statuses == []
    for event in told.of(ProgressReported):
        assert not {"workflow_status", "is_processing", "awaiting_user_input"} & event.snapshot.keys()


async def test_a_text_is_no_list_of_phases(told):
    tracker = create_progress_tracker(FLOW_ID, CONTEXT, phases="abc")
    tracker.start_phase("a")
    assert "progress" not in told.snapshot


async def test_a_row_without_a_type_is_not_declared_and_the_log_says_why(told, caplog):
    create_progress_tracker(FLOW_ID, CONTEXT, create=True)  # type: ignore[call-overload]
    assert told.of(FlowDeclared) == []
    assert "pass flow_type with create=True" in caplog.text
