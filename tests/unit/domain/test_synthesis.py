from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain.children.evidence import weigh
from masterflow.domain.children.synthesis import Plan, Standing, plan_backfill
from masterflow.domain.events import (
    AnyEvent,
    ErrorOccurred,
    MetadataUpdated,
    PhaseTransitioned,
    StatusChanged,
    parse_event,
)
from tests.support.events.child_rows import (
    MAIN_COLUMNS,
    SHAPES,
    WRITTEN_AT,
    child_flow,
    failed_document,
    old_document,
)
from tests.support.events.flows import new_context

FLOW_ID, CONTEXT = uuid4(), new_context()
_IMPORTED_AT = "2026-02-03T08:14:22.377915"
Y2000 = datetime(2000, 1, 1, tzinfo=UTC)


def plan(row: dict[str, Any], *, repair_status: bool = False, **standing: Any) -> Plan:
    values = {"flow_id": FLOW_ID, "context": CONTEXT, "flow_status": "processing", **standing}
    return plan_backfill(weigh(child_flow(**row)), Standing(**values), repair_status=repair_status)


def transitions(made: Plan) -> list[tuple[str, str]]:
    return [(event.phase, event.status) for event in of_kind(made, PhaseTransitioned)]


def of_kind(made: Plan, kind: type[Any]) -> list[Any]:
    return sorted((event for event in made.events if isinstance(event, kind)), key=lambda event: event.stamp)


def ids(made: Plan) -> set[UUID]:
    return {event.event_id for event in made.events}


@pytest.mark.parametrize("name", SHAPES)
def test_every_event_is_valid_says_where_it_comes_from_and_comes_back_the_same(name: str) -> None:
    made, again = plan(SHAPES[name]), plan(SHAPES[name])
    for event in made.events:
        assert parse_event(event.model_dump(mode="json")) == event
        assert _origin(event)["source"] == "backfill"
        assert _origin(event)["evidence"]
    assert made.events == again.events
    assert made.times == again.times


def _origin(event: AnyEvent) -> Any:
    match event:
        case PhaseTransitioned():
            return event.metadata
        case ErrorOccurred():
            return event.details
        case MetadataUpdated():
            assert all(value["source"] == "backfill" for value in event.updates.values())
            return event.updates["progress_snapshot"]
    raise AssertionError(event)


def test_transitions_come_in_canonical_order_and_before_everything_ever_reported() -> None:
    made = plan({"phases_completed": ["inventory", "data_import"], "current_phase": "dependencies"})
    assert transitions(made) == [
        ("data_import", "completed"),
        ("field_mapping_generation", "completed"),
        ("data_cleansing", "completed"),
        ("asset_inventory", "completed"),
        ("dependency_analysis", "processing"),
    ]
    assert all(event.occurred_at < Y2000 for event in of_kind(made, PhaseTransitioned))
    assert all(event.metadata["time"] == "unknown" for event in of_kind(made, PhaseTransitioned))


def test_a_known_time_stands_in_the_entry() -> None:
    made = plan({"crewai_state_data": old_document(import_ended_at=_IMPORTED_AT)})
    [imported, *_] = of_kind(made, PhaseTransitioned)
    assert imported.metadata["time"] == "2026-02-03T08:14:22.377915+00:00"
    assert made.times == {
        "data_import": {
            "execution_time_ms": 76.715,
            "attempts": 0,
            "time": "2026-02-03T08:14:22.377915+00:00",
            "source": "backfill",
            "evidence": "crewai_state_data.data_import.legacy_data.started_at..completed_at",
        }
    }


def test_a_finished_flow_has_no_phase_that_runs() -> None:
    made = plan({**dict.fromkeys(MAIN_COLUMNS, True), "current_phase": "completed"})
    assert {status for _, status in transitions(made)} == {"completed"}
    assert len(transitions(made)) == 6


def test_a_failed_phase_is_told_after_its_start() -> None:
    made = plan({"current_phase": "data_import", "error_phase": "data_import", "error_message": "boom"})
    assert transitions(made) == [("data_import", "processing"), ("data_import", "failed")]
    assert [event.error for event in of_kind(made, ErrorOccurred)] == ["boom"]


def test_an_error_keeps_its_time_if_it_has_one() -> None:
    [event] = of_kind(plan({"crewai_state_data": failed_document()}), ErrorOccurred)
    assert event.occurred_at == datetime(2026, 2, 2, 3, 0, 1, tzinfo=UTC)
    [event] = of_kind(plan({"error_message": "boom"}), ErrorOccurred)
    assert event.occurred_at < Y2000
    assert event.details["time"] == "unknown"


@pytest.mark.parametrize("live", ["data_import", "data_import_phase", " Data_Import"])
def test_a_phase_with_a_live_transition_is_left_alone_whatever_it_was_called(live: str) -> None:
    made = plan({"phases_completed": ["data_import", "inventory"]}, live_phases=frozenset({live}))
    assert transitions(made) == [("asset_inventory", "completed")]


def test_a_phase_with_a_live_error_gets_no_other() -> None:
    row = {"error_message": "boom", "error_phase": "inventory", "crewai_state_data": failed_document()}
    made = plan(row, live_error_phases=frozenset({"asset_creation"}))
    assert [event.phase for event in of_kind(made, ErrorOccurred)] == ["data_import"]


def test_a_phase_that_has_a_time_gets_no_other() -> None:
    row = {"crewai_state_data": old_document(import_ended_at=_IMPORTED_AT)}
    assert plan(row, timed_phases=frozenset({"data_import_phase"})).times == {}


def test_reported_progress_is_never_replaced_and_an_older_snapshot_is() -> None:
    row = {"progress_percentage": 50}
    newer = {"last_progress_update": "9", "progress_snapshot": "0"}
    unstamped = {"last_progress_update": "", "progress_snapshot": ""}
    for stamps in (newer, unstamped):
        [event] = of_kind(plan(row, stamps=stamps), MetadataUpdated)
        assert list(event.updates) == ["progress_snapshot"]
    assert (
        of_kind(plan(row, stamps={"last_progress_update": "9", "progress_snapshot": "9"}), MetadataUpdated)
        == []
    )


def test_a_later_version_of_the_child_has_a_later_snapshot_and_the_same_transitions() -> None:
    row: dict[str, Any] = {"phases_completed": ["data_import"]}
    before, after = plan(row), plan({**row, "updated_at": WRITTEN_AT + timedelta(microseconds=1)})
    assert of_kind(before, PhaseTransitioned) == of_kind(after, PhaseTransitioned)
    [old], [new] = of_kind(before, MetadataUpdated), of_kind(after, MetadataUpdated)
    assert old.stamp < new.stamp
    assert new.occurred_at < Y2000


def test_a_current_phase_that_another_program_wrote_is_not_replaced() -> None:
    row = {"current_phase": "inventory"}
    assert ("asset_inventory", "processing") not in transitions(plan(row, current_phase="data_import"))
    assert ("asset_inventory", "processing") in transitions(plan(row, current_phase="asset_inventory"))


def test_what_stands_already_is_not_planned_again() -> None:
    row = SHAPES["failed"]
    made = plan(row)
    again = plan(row, synthesised=frozenset(map(str, ids(made))))
    assert [type(event) for event in again.events] == []


@pytest.mark.parametrize(
    ("flow_status", "is_raised"),
    [
        ("initialized", True),
        ("active", True),
        ("processing", True),
        ("paused", True),
        ("completed", False),
        ("failed", False),
        ("cancelled", False),
    ],
)
def test_a_status_is_raised_only_on_demand_and_only_to_completed(flow_status: str, is_raised: bool) -> None:
    row = dict.fromkeys(MAIN_COLUMNS, True)
    assert of_kind(plan(row, flow_status=flow_status), StatusChanged) == []
    raised = of_kind(plan(row, flow_status=flow_status, repair_status=True), StatusChanged)
    assert [event.status for event in raised] == ["completed"] * is_raised


def test_a_child_that_proves_no_end_never_raises_a_status() -> None:
    row = {"progress_percentage": 100.0, "status": "completed"}
    assert of_kind(plan(row, repair_status=True), StatusChanged) == []


def test_an_empty_child_yields_nothing() -> None:
    assert not plan(SHAPES["a test"]).is_needed
