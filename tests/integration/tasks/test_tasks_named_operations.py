from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.tasks.dead_letters.letters import DeadLetter, Selection
from masterflow.tasks.delivery.named_operations import OPERATIONS
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

CALLS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "add_phase_transition": (
        {"phase": "data_import", "status": "completed", "metadata": {"rows": 3}},
        "phase_transitions",
        lambda column: (column[0]["phase"], column[0]["metadata"]) == ("data_import", {"rows": 3}),
    ),
    "record_phase_execution_time": (
        {"phase": "data_import", "execution_time_ms": 12.5},
        "phase_execution_times",
        lambda column: column["data_import"]["execution_time_ms"] == 12.5,
    ),
    "append_agent_collaboration": (
        {"entry": {"agent": "mapper", "timestamp": "2026-01-02T03:04:05"}},
        "agent_collaboration_log",
        lambda column: column[0]["timestamp"] == "2026-01-02T03:04:05.000000+00:00",
    ),
    "update_memory_usage_metrics": (
        {"metrics": {"peak_mb": 512}},
        "memory_usage_metrics",
        lambda column: column["peak_mb"] == 512,
    ),
    "update_agent_performance_metrics": (
        {"metrics": {"mapper": {"tasks": 2}}},
        "agent_performance_metrics",
        lambda column: column["mapper"] == {"tasks": 2},
    ),
    "add_error_entry": (
        {"phase": "data_import", "error": "no rows", "details": None},
        "error_history",
        lambda column: column[0]["error"] == "no rows",
    ),
    "increment_retry_count": ({}, "retry_count", lambda column: column == 1),
    "update_flow_metadata": (
        {"metadata_updates": {"source": "cmdb"}},
        "flow_metadata",
        lambda column: column["source"] == "cmdb",
    ),
    "update_flow_status": (
        {"status": "awaiting_approval", "metadata": {"by": "ann"}},
        "flow_status",
        lambda column: column == "waiting_for_approval",
    ),
}


def tenant(context: FlowContext) -> dict[str, str]:
    return {name: str(value) for name, value in context.model_dump().items()}


def letter_about(workplace: Workplace, task_id: str) -> DeadLetter:
    return eventually(lambda: [letter for letter in workplace.letters() if letter.batch_id == task_id])[0]


def test_every_operation_has_a_call_here() -> None:
    # What makes a row has tests of its own.
    assert CALLS.keys() == OPERATIONS.keys() - {"create_master_flow"}


@pytest.mark.parametrize("operation", CALLS)
def test_a_stranger_reaches_the_row_by_the_operations_name(
    workplace: Workplace, context: FlowContext, operation: str
) -> None:
    flow_id = workplace.new_flow(context)
    arguments, column, is_there = CALLS[operation]
    empty = workplace.row(flow_id)[column]
    workplace.send_task(f"enrichment.{operation}", flow_id=str(flow_id), **tenant(context), **arguments)
    assert is_there(eventually(lambda: (found := workplace.row(flow_id)[column]) != empty and found))


def handled(place: Workplace) -> float:
    # Children that try one message at once may note one try less than there were.
    counters = place.counters()
    return counters.get("applied", 0) + counters.get("repeated", 0)


def test_the_task_id_stands_in_for_the_event_id_so_a_repetition_does_not_count(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, task_id = workplace.new_flow(context), str(uuid4())
    arguments = {"flow_id": str(flow_id), **tenant(context)}
    before = handled(workplace)
    for _ in range(3):
        workplace.send_task("enrichment.increment_retry_count", task_id=task_id, **arguments)
    eventually(lambda: handled(workplace) == before + 3)
    assert workplace.row(flow_id)["retry_count"] == 1


def test_a_task_id_that_is_no_uuid_stands_in_as_well(workplace: Workplace, context: FlowContext) -> None:
    flow_id = workplace.new_flow(context)
    arguments, task_id = {"flow_id": str(flow_id), **tenant(context)}, f"nightly {uuid4().hex}"
    before = handled(workplace)
    for _ in range(2):
        workplace.send_task("enrichment.increment_retry_count", task_id=task_id, **arguments)
    eventually(lambda: handled(workplace) == before + 2)
    assert workplace.row(flow_id)["retry_count"] == 1


def test_an_event_id_and_a_time_of_the_callers_own_are_kept(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, event_id = workplace.new_flow(context), str(uuid4())
    workplace.send_task(
        "enrichment.add_error_entry",
        flow_id=str(flow_id),
        phase="data_import",
        error="no rows",
        event_id=event_id,
        occurred_at="2026-01-02T03:04:05Z",
        **tenant(context),
    )
    [entry] = eventually(lambda: workplace.row(flow_id)["error_history"])
    assert (entry["id"], entry["timestamp"]) == (event_id, "2026-01-02T03:04:05.000000+00:00")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"flow_id": " "}, "no flow id"),
        ({"flow_id": None}, "no flow id"),
        ({"user_id": None}, "user_id"),
        ({"client_account_id": "acme"}, "client_account_id"),
        ({"phase": ""}, "phase"),
        ({"phase": None}, "phase"),
        ({"speed": 3}, "speed"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
    ],
)
def test_a_call_with_bad_arguments_becomes_a_dead_letter_that_says_which(
    workplace: Workplace, context: FlowContext, arguments: dict[str, Any], cause: str
) -> None:
    good = {"flow_id": str(uuid4()), "phase": "data_import", "status": "failed", **tenant(context)}
    task_id = workplace.send_task("enrichment.add_phase_transition", **(good | arguments))
    letter = letter_about(workplace, task_id)
    assert letter.reason == "invalid"
    assert cause in letter.error


def test_positional_arguments_become_a_dead_letter(workplace: Workplace) -> None:
    for name in ("apply_events", "increment_retry_count"):
        task_id = workplace.send_task(f"enrichment.{name}", "one", 2)
        letter = letter_about(workplace, task_id)
        assert (letter.reason, letter.error) == ("invalid", "The task takes keyword arguments only.")


def test_a_named_operation_on_an_unknown_flow_becomes_a_dead_letter_that_can_be_replayed(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id = uuid4()
    task_id = workplace.send_task("enrichment.increment_retry_count", flow_id=str(flow_id), **tenant(context))
    letter = letter_about(workplace, task_id)
    assert (letter.reason, letter.event["event_id"]) == ("flow_not_found", task_id)
    workplace.new_flow(context, flow_id)
    with workplace.dead_letters() as letters:
        assert workplace.replay(letters, Selection(flow_id=str(flow_id))) == 1
    eventually(lambda: workplace.row(flow_id)["retry_count"] == 1)
