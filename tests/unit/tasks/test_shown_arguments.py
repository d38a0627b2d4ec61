from uuid import UUID

import pytest

from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AgentCollaborated,
    FlowRetried,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.tasks.batch import Batch
from masterflow.tasks.shown_arguments import NOTHING, shown, shown_batch, shown_chunk
from masterflow.tracker.outbox.segments import flow_ids_in
from tests.support.events.flows import new_context

CONTEXT = new_context()
# The same in every process of xdist, which tells tests apart by their parameters.
FLOWS = [str(UUID(int=number)) for number in range(1, 6)]


def batch(event_count=0, flow_ids=()):
    return Batch(
        batch_id=str(UUID(int=6)),
        sender_id="host-1",
        client_account_id=str(UUID(int=7)),
        events="[]",
        event_count=event_count,
        flow_ids=tuple(flow_ids),
    )


def test_a_batch_shows_its_id_its_size_and_its_first_flows():
    found = batch(500, FLOWS[:4])
    assert shown_batch(found) == (
        f"{{'batch_id': '{found.batch_id}', 'events': 500,"
        f" 'flows': ['{FLOWS[0]}', '{FLOWS[1]}', '{FLOWS[2]}', ...]}}"
    )
    found = batch(1, FLOWS[:1])
    assert shown_batch(found) == f"{{'batch_id': '{found.batch_id}', 'events': 1, 'flows': ['{FLOWS[0]}']}}"
    found = batch()
    assert shown_batch(found) == f"{{'batch_id': '{found.batch_id}'}}"


def test_what_is_shown_is_no_part_of_the_message():
    assert batch(3, FLOWS).kwargs().keys() == {
        "batch_id",
        "sender_id",
        "client_account_id",
        "events",
        "sent_at",
        "key_id",
        "signature",
    }


@pytest.mark.parametrize(
    "told", ["{}", shown_chunk(200), *(shown_batch(batch(size, FLOWS[:size])) for size in range(5))]
)
def test_what_our_own_senders_tell_is_shown(told):
    assert shown(told, {"flow_id": FLOWS[0]}) == told


@pytest.mark.parametrize(
    "told",
    [
        None,
        17,
        "",
        "{'flow_id': 'x', 'metadata': {'password': 'hunter2'}}",
        "{'batch_id': 'hunter2'}",
        f"{{'flow_id': '{FLOWS[0]}', 'error': 'hunter2'}}",
        f"{{'flow_id': '{FLOWS[0]}'}} hunter2",
        f"{{'flow_id': '{FLOWS[0]}'}}\n",
        f"{{'flows': [{', '.join([repr(FLOWS[0])] * 20)}]}}",
    ],
)
def test_of_what_others_tell_only_the_id_is_shown(told):
    assert shown(told, {"flow_id": FLOWS[0], "error": "hunter2"}) == f"{{'flow_id': '{FLOWS[0]}'}}"


@pytest.mark.parametrize("flow_id", ["hunter2", None, ["hunter2"], 3])
def test_what_is_no_id_is_not_shown(flow_id):
    assert shown(None, {"flow_id": flow_id, "batch_id": FLOWS[0]}) == f"{{'batch_id': '{FLOWS[0]}'}}"
    assert shown(None, {"flow_id": flow_id}) == NOTHING


def test_the_flows_of_events_are_found_where_their_json_begins():
    flow_id = UUID(FLOWS[0])
    told = [
        event_text(FlowRetried, CONTEXT, flow_id),
        event_text(PhaseTransitioned, CONTEXT, flow_id, phase="data_import", status="processing"),
        event_text(StatusChanged, CONTEXT, flow_id, status="processing"),
        event_text(AgentCollaborated, CONTEXT, flow_id, entry={"agent": "a", "flow_id": FLOWS[4]}),
    ]
    dated = new_event(FlowRetried, CONTEXT, FLOWS[1]).model_dump_json().encode()
    assert flow_ids_in([*told, dated, *told], 4) == (FLOWS[0], FLOWS[1])
    assert flow_ids_in([*told, dated], 1) == (FLOWS[0],)
    assert flow_ids_in([b"", b"{}", b"x" * 200], 4) == ()
