from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, PhaseTransitioned, new_event
from masterflow.tasks.dead_letters.letters import Selection
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

MakeWorkplace = Callable[..., Workplace]

_UPDATES = "select n_tup_upd from pg_stat_user_tables where relname = 'crewai_flow_state_extensions'"


def updates(place: Workplace) -> int:
    with place.database() as database:
        database.execute("select pg_stat_force_next_flush()")
        row = database.execute(_UPDATES).fetchone()
    assert row is not None
    return int(row["n_tup_upd"])


def begin(context: FlowContext, flow_id: UUID, number: int, **fields: Any) -> PhaseTransitioned:
    return new_event(
        PhaseTransitioned, context, flow_id, phase=f"phase {number}", status="processing", **fields
    )


def test_a_backlog_is_merged_with_few_writes_and_each_of_its_messages_is_confirmed(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    before = updates(place)
    sent = [place.publish([begin(context, flow_id, number)], context, sender_id="s") for number in range(40)]
    with place.worker():
        eventually(lambda: len(place.confirmations("s")) == 40, timeout_s=30)
    assert {told["batch_id"] for told in place.confirmations("s")} == set(sent)
    assert all(told["applied"] == 1 for told in place.confirmations("s"))
    phases = [entry["phase"] for entry in place.row(flow_id)["phase_transitions"]]
    assert phases == [f"phase {number}" for number in range(40)]
    assert eventually(lambda: updates(place) - before) <= 12
    assert place.redis.hlen("enrichment:unacked") == 0


def test_a_copy_that_is_taken_along_with_its_batch_counts_as_repeated(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    for number in range(20):
        event = begin(context, flow_id, number)
        batch_id = place.publish([event], context)
        place.publish([event], context, batch_id=batch_id)
    with place.worker():
        eventually(lambda: place.counters().get("repeated", 0) == 20, timeout_s=30)
    assert place.counters()["applied"] == 20
    assert len(place.row(flow_id)["phase_transitions"]) == 20


def test_what_is_wrong_with_one_message_is_no_matter_of_those_beside_it(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace(ENRICHMENT_FLOW_GRACE_S="0")
    flow_id, nobodys = place.new_flow(context), uuid4()
    other = context.model_copy(update={"engagement_id": new_context().engagement_id})
    stranger = new_context()
    # The first goes alone, so that the others wait for each other.
    for _ in range(3):
        place.publish([begin(context, flow_id, 0)], context, sender_id="first")
    retry = new_event(FlowRetried, context, flow_id)
    same_id = new_event(FlowRetried, stranger, flow_id).model_copy(update={"event_id": retry.event_id})
    ahead = begin(context, flow_id, 1)
    ahead = ahead.model_copy(update={"occurred_at": ahead.occurred_at + timedelta(hours=1)})
    messages: dict[str, tuple[FlowContext, Any, str]] = {
        "missing": (context, begin(context, nobodys, 2), "flow_not_found"),
        "engagement": (context, begin(other, flow_id, 3), "tenant_mismatch"),
        "account": (stranger, begin(stranger, flow_id, 4), "tenant_mismatch"),
        "same id": (stranger, same_id, "tenant_mismatch"),
        "ahead": (context, ahead, "clock_ahead"),
        "unreadable": (context, "{", "unreadable"),
    }
    for name, (whose, event, _) in messages.items():
        place.publish([event], whose, sender_id=name)
        place.publish([begin(context, flow_id, 5)], context, sender_id="good")
    place.publish([retry], context, sender_id="good")
    with place.worker():
        eventually(lambda: len(place.confirmations("good")) == len(messages) + 1, timeout_s=30)
        for name in messages:
            [told] = eventually(partial(place.confirmations, name), timeout_s=30)
            assert (told["applied"], told["dead"]) == (0, 1), name
    assert all((told["applied"], told["dead"]) == (1, 0) for told in place.confirmations("good"))
    row = place.row(flow_id)
    assert (len(row["phase_transitions"]), row["retry_count"]) == (3 + len(messages), 1)
    reasons = sorted(letter.reason for letter in place.letters(Selection()))
    assert reasons == sorted(reason for _, _, reason in messages.values())
