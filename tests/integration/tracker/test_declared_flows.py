from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowDeclared, FlowRetried, new_event
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def declared(context: FlowContext, flow_id: UUID) -> FlowDeclared:
    return new_event(FlowDeclared, context, flow_id, flow_type="collection", flow_name="declared")


def test_what_waits_for_a_row_is_freed_by_the_flows_declaration(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, before = uuid4(), workplace.counters().get("parked", 0)
    workplace.publish([new_event(FlowRetried, context, flow_id)], context)
    eventually(lambda: workplace.counters().get("parked", 0) > before)
    workplace.publish([declared(context, flow_id)], context)
    row = eventually(lambda: (found := workplace.find_row(flow_id)) and found["retry_count"] == 1 and found)
    assert row
    assert (row["flow_type"], row["flow_name"]) == ("collection", "declared")


def test_a_stranger_makes_a_row_by_the_operations_name(workplace: Workplace, context: FlowContext) -> None:
    flow_id = uuid4()
    tenant = {name: str(value) for name, value in context.model_dump().items()}
    workplace.send_task("enrichment.create_master_flow", flow_id=str(flow_id), flow_type="finops", **tenant)
    row = eventually(lambda: workplace.find_row(flow_id))
    assert row
    assert (row["flow_type"], row["user_id"]) == ("finops", context.user_id)


def test_a_sender_logs_once_that_a_flow_has_no_row(
    workplace: Workplace, context: FlowContext, caplog: pytest.LogCaptureFixture
) -> None:
    flow_id, sender_id = uuid4(), uuid4().hex
    inbox = ConfirmationInbox(workplace.settings, sender_id)
    batch_ids = [
        workplace.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)
        for _ in range(2)
    ]
    awaited = [Awaited(batch_id, "", (sender_id,), lambda _: None) for batch_id in batch_ids]
    confirmed: list[str] = []

    def are_both_confirmed() -> bool:
        confirmed.extend(inbox.receive(awaited).get(sender_id, ()))
        return len(confirmed) == 2

    eventually(are_both_confirmed, timeout_s=20)
    inbox.close()
    assert caplog.text.count(f"Flow {flow_id} has no master row yet") == 1
    assert "create=True" in caplog.text
