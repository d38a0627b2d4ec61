import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AnyEvent,
    FlowRetried,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.domain.redis_keys import answers_key
from masterflow.tasks.dead_letters.letters import Selection
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def transition(context: FlowContext, flow_id: UUID, **fields: Any) -> PhaseTransitioned:
    return new_event(
        PhaseTransitioned, context, flow_id, **({"phase": "data_import", "status": "processing"} | fields)
    )


def confirmation(workplace: Workplace, sender_id: str) -> dict[str, Any]:
    return eventually(lambda: workplace.confirmations(sender_id))[0]


@pytest.fixture
def sender_id() -> str:
    return uuid4().hex


def test_a_batch_reaches_the_row_and_is_confirmed(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id = workplace.new_flow(context)
    events = [
        transition(context, flow_id),
        new_event(FlowRetried, context, flow_id),
        new_event(StatusChanged, context, flow_id, status="processing"),
    ]
    batch_id = workplace.publish(events, context, sender_id=sender_id)
    assert confirmation(workplace, sender_id) == {
        "batch_id": batch_id,
        "applied": 3,
        "repeated": 0,
        "dead": 0,
    }
    row = workplace.row(flow_id)
    assert [entry["phase"] for entry in row["phase_transitions"]] == ["data_import"]
    assert (row["retry_count"], row["flow_status"]) == (1, "processing")


def test_a_batch_that_comes_again_changes_nothing_and_is_confirmed_again(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id = workplace.new_flow(context)
    events = [transition(context, flow_id), new_event(FlowRetried, context, flow_id)]
    batch_id = workplace.publish(events, context, sender_id=sender_id)
    confirmation(workplace, sender_id)
    before = workplace.row(flow_id)
    workplace.redis.delete(answers_key(sender_id))
    workplace.publish(events, context, sender_id=sender_id, batch_id=batch_id)
    [again] = eventually(lambda: workplace.confirmations(sender_id))
    assert again == {"batch_id": batch_id, "applied": 0, "repeated": 2, "dead": 0}
    assert workplace.row(flow_id) | {"updated_at": None} == before | {"updated_at": None}


def test_one_bad_event_is_set_aside_and_its_batch_goes_on(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id = workplace.new_flow(context)
    bad = transition(context, flow_id).model_dump(mode="json") | {"kind": "phase_wished_for"}
    workplace.publish(
        [transition(context, flow_id), json.dumps(bad), transition(context, flow_id)],
        context,
        sender_id=sender_id,
    )
    assert confirmation(workplace, sender_id)["dead"] == 1
    assert len(workplace.row(flow_id)["phase_transitions"]) == 2
    [letter] = workplace.letters(Selection(flow_id=str(flow_id)))
    assert (letter.reason, letter.event, letter.sender_id) == ("invalid", bad, sender_id)
    assert "phase_wished_for" in letter.error


def test_an_event_of_another_account_is_refused(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id, victim = workplace.new_flow(context), new_context()
    other_flow_id = workplace.new_flow(victim)
    workplace.publish(
        [transition(context, flow_id), transition(victim, other_flow_id)], context, sender_id=sender_id
    )
    assert confirmation(workplace, sender_id) | {"batch_id": ""} == {
        "batch_id": "",
        "applied": 1,
        "repeated": 0,
        "dead": 1,
    }
    assert workplace.row(other_flow_id)["phase_transitions"] == []
    [letter] = workplace.letters(Selection(flow_id=str(other_flow_id)))
    assert letter.reason == "tenant_mismatch"


def test_a_flow_of_another_engagement_is_refused(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id = workplace.new_flow(context)
    stranger = context.model_copy(update={"engagement_id": uuid4()})
    workplace.publish([transition(stranger, flow_id)], stranger, sender_id=sender_id)
    assert confirmation(workplace, sender_id)["dead"] == 1
    assert workplace.row(flow_id)["phase_transitions"] == []
    [letter] = workplace.letters(Selection(flow_id=str(flow_id)))
    assert letter.reason == "tenant_mismatch"


def test_an_event_from_the_future_is_refused(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id, now = workplace.new_flow(context), datetime.now(UTC)
    ahead = [transition(context, flow_id, occurred_at=now + timedelta(minutes=minutes)) for minutes in (4, 6)]
    workplace.publish(ahead, context, sender_id=sender_id)
    assert confirmation(workplace, sender_id)["dead"] == 1
    assert len(workplace.row(flow_id)["phase_transitions"]) == 1
    [letter] = workplace.letters(Selection(flow_id=str(flow_id)))
    assert letter.reason == "clock_ahead"


def test_events_of_a_flow_that_is_created_a_little_later_wait_for_it(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    early, known = uuid4(), workplace.new_flow(context)
    workplace.publish([transition(context, early), transition(context, known)], context, sender_id=sender_id)
    eventually(lambda: workplace.row(known)["phase_transitions"])
    assert workplace.confirmations(sender_id) == []
    workplace.new_flow(context, early)
    assert confirmation(workplace, sender_id)["applied"] == 2
    assert len(workplace.row(early)["phase_transitions"]) == 1
    assert workplace.letters(Selection(flow_id=str(early))) == []


def test_events_of_a_flow_that_is_never_created_are_set_aside_after_the_grace_time(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    unknown, known = uuid4(), workplace.new_flow(context)
    workplace.publish(
        [transition(context, unknown), transition(context, known)], context, sender_id=sender_id
    )
    assert confirmation(workplace, sender_id) | {"batch_id": ""} == {
        "batch_id": "",
        "applied": 1,
        "repeated": 0,
        "dead": 1,
    }
    [letter] = workplace.letters(Selection(flow_id=str(unknown)))
    assert letter.reason == "flow_not_found"
    assert letter.attempts > 1
    assert timedelta(seconds=3) <= letter.last_seen - letter.first_seen < timedelta(seconds=9)


def test_a_value_that_postgres_refuses_costs_only_its_own_event(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_id = workplace.new_flow(context)
    events: list[AnyEvent] = [transition(context, flow_id) for _ in range(9)]
    poison = new_event(FlowRetried, context, flow_id)
    with workplace.database() as database:
        database.execute(
            f"alter table migration.crewai_flow_state_extensions add constraint no_retry_{flow_id.hex[:8]}"
            f" check (retry_count < 1 or flow_id <> '{flow_id}')"
        )
    workplace.publish([*events[:4], poison, *events[4:]], context, sender_id=sender_id)
    assert confirmation(workplace, sender_id) | {"batch_id": ""} == {
        "batch_id": "",
        "applied": 9,
        "repeated": 0,
        "dead": 1,
    }
    assert len(workplace.row(flow_id)["phase_transitions"]) == 9
    [letter] = workplace.letters(Selection(flow_id=str(flow_id)))
    assert (letter.reason, letter.event["event_id"]) == ("data_refused", str(poison.event_id))


def test_a_full_batch_which_travels_compressed_is_applied(
    workplace: Workplace, context: FlowContext, sender_id: str
) -> None:
    flow_ids = [workplace.new_flow(context) for _ in range(5)]
    metadata = {"note": "x" * 1_500}
    events = [transition(context, flow_ids[number % 5], metadata=metadata) for number in range(500)]
    workplace.publish(events, context, sender_id=sender_id)
    assert confirmation(workplace, sender_id)["applied"] == 500
    assert all(len(workplace.row(flow_id)["phase_transitions"]) == 100 for flow_id in flow_ids)
