import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.events import FlowDeclared, FlowRetried, StatusChanged, new_event
from masterflow.domain.redis_keys import answers_key
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.batch import sign
from masterflow.tasks.dead_letters.letters import DeadLetter, Selection
from masterflow.tasks.enqueue import Awaited, Batch, ConfirmationInbox, Publisher, QueueSettings
from masterflow.tasks.operation_proofs import signed_operation
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database

OURS, THEIRS = new_context(), new_context()
KEYS = {
    str(OURS.client_account_id): {"new": "n" * 32, "old": "o" * 32},
    str(THEIRS.client_account_id): {"their": "t" * 32},
}


@pytest.fixture(scope="module")
def signed_workplace(
    postgres_server: str, database_template: str, server_folder: Path
) -> Iterator[Workplace]:
    folder = server_folder / f"workplace-{uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as server,
    ):
        place = Workplace(
            folder,
            database_url=database_url,
            redis_url=server.url,
            ENRICHMENT_SIGNING_KEYS=json.dumps(KEYS),
            ENRICHMENT_FLOW_GRACE_S="0",
        )
        with place.worker():
            yield place
    server.remove()
    place.remove()


@pytest.fixture
def unsigned_publisher(signed_workplace: Workplace) -> Iterator[Publisher]:
    publisher = Publisher(QueueSettings.model_validate({"REDIS_URL": signed_workplace.settings.redis_url}))
    yield publisher
    publisher.close()


def retry(context: FlowContext, flow_id: UUID) -> Batch:
    return Batch(
        batch_id=str(uuid4()),
        sender_id=uuid4().hex,
        client_account_id=str(context.client_account_id),
        events=f"[{new_event(FlowRetried, context, flow_id).model_dump_json()}]",
    )


def answers(place: Workplace, batch: Batch) -> dict[str, Any]:
    """Return what the sender of a batch is told about it."""
    text: Any = place.redis.hget(answers_key(batch.sender_id), batch.batch_id)
    return dict(json.loads(text or "{}"))


def refused(place: Workplace, batch: Batch) -> DeadLetter:
    """Wait until the sender is told that its batch cannot be verified; return its letter."""
    eventually(lambda: answers(place, batch) == {"refused": "signature_invalid"})
    [letter] = [letter for letter in place.letters() if letter.batch_id == batch.batch_id]
    return letter


def set_aside(place: Workplace, batch: Batch) -> DeadLetter:
    """Wait until the batch is confirmed as dead; return its letter."""
    [confirmation] = eventually(lambda: place.confirmations(batch.sender_id))
    assert (confirmation["applied"], confirmation["dead"]) == (0, 1)
    [letter] = [letter for letter in place.letters() if letter.batch_id == batch.batch_id]
    return letter


def test_a_signed_batch_is_applied_and_its_confirmation_proves_it(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = retry(OURS, flow_id)
    signed_workplace.publisher.publish(batch)
    inbox = ConfirmationInbox(signed_workplace.settings, batch.sender_id)
    confirmed = eventually(lambda: inbox.receive([Awaited.of(batch)]))
    assert confirmed == {batch.sender_id: [batch.batch_id]}
    assert inbox.forged == 0
    assert signed_workplace.row(flow_id)["retry_count"] == 1
    inbox.close()


def test_a_key_on_its_way_out_still_verifies_and_signs_the_answer(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    old = {"old": signed_workplace.settings.keys_of(OURS.client_account_id)["old"]}
    batch = sign(retry(OURS, flow_id), old)
    unsigned_publisher.publish(batch)
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)
    assert eventually(lambda: answers(signed_workplace, batch))["key_id"] == "old"


def test_unsigned_tampered_and_foreign_batches_are_refused_counted_and_never_confirmed(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = retry(OURS, flow_id)
    signed = sign(batch, signed_workplace.settings.keys_of(OURS.client_account_id))
    forgeries = [
        batch,
        replace(signed, events=retry(OURS, flow_id).events),
        replace(signed, batch_id=str(uuid4())),
        replace(signed, sender_id=uuid4().hex),
        replace(signed, sent_at=1),
        replace(signed, signature=None),
        replace(signed, signature="00" * 32),
        replace(signed, key_id="their"),
        sign(batch, signed_workplace.settings.keys_of(THEIRS.client_account_id)),
    ]
    before = signed_workplace.counters().get("dead:signature_invalid", 0)
    for forgery in forgeries:
        unsigned_publisher.publish(forgery)

    def refusals() -> float:
        return signed_workplace.counters().get("dead:signature_invalid", 0) - before

    eventually(lambda: refusals() == len(forgeries))
    for forgery in forgeries:
        assert answers(signed_workplace, forgery) == {"refused": "signature_invalid"}
        assert signed_workplace.confirmations(forgery.sender_id) == []
    assert signed_workplace.row(flow_id)["retry_count"] == 0


def test_a_batch_that_cannot_be_verified_fills_the_dead_letters_once_however_often_it_is_sent(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    batch = retry(OURS, signed_workplace.new_flow(OURS))
    before = signed_workplace.counters().get("dead:signature_invalid", 0)
    for _ in range(3):
        unsigned_publisher.publish(batch)
    eventually(lambda: signed_workplace.counters().get("dead:signature_invalid", 0) == before + 3)
    [letter] = [each for each in signed_workplace.letters() if each.batch_id == batch.batch_id]
    assert letter.attempts == 1


def test_a_batch_signed_for_one_account_cannot_carry_events_of_another(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = replace(retry(OURS, flow_id), client_account_id=str(THEIRS.client_account_id))
    signed_workplace.publisher.publish(batch)
    assert set_aside(signed_workplace, batch).reason == "tenant_mismatch"
    assert signed_workplace.row(flow_id)["retry_count"] == 0


def test_a_row_is_made_only_for_the_account_that_signed(signed_workplace: Workplace) -> None:
    flows = {context: uuid4() for context in (OURS, THEIRS)}
    declared = [
        new_event(FlowDeclared, context, flow, flow_type="finops").model_dump_json()
        for context, flow in flows.items()
    ]
    batch = replace(retry(OURS, flows[OURS]), events=f"[{','.join(declared)}]")
    signed_workplace.publisher.publish(batch)
    [confirmation] = eventually(lambda: signed_workplace.confirmations(batch.sender_id))
    assert (confirmation["applied"], confirmation["dead"]) == (1, 1)
    assert signed_workplace.find_row(flows[OURS])
    assert not signed_workplace.find_row(flows[THEIRS])


RETRY = "enrichment.increment_retry_count"


def named(place: Workplace, context: FlowContext = OURS, **kwargs: Any) -> dict[str, Any]:
    settings = QueueSettings.model_validate(
        {"REDIS_URL": place.settings.redis_url, "ENRICHMENT_SIGNING_KEYS": KEYS}
    )
    return signed_operation(RETRY, context.model_dump() | kwargs, settings)


def test_a_named_operation_that_bears_no_signature_is_refused(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    tenant = {name: str(value) for name, value in OURS.model_dump().items()}
    task_id = signed_workplace.send_task(RETRY, flow_id=str(flow_id), **tenant)
    letters = eventually(lambda: [found for found in signed_workplace.letters() if found.batch_id == task_id])
    assert letters[0].reason == "signature_invalid"
    assert "signed_operation" in letters[0].error
    assert signed_workplace.row(flow_id)["retry_count"] == 0


def test_a_signed_one_counts_once_however_often_somebody_sends_it_again(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    kwargs = named(signed_workplace, flow_id=flow_id)
    for _ in range(3):
        signed_workplace.send_task(RETRY, **kwargs)
    signed_workplace.send_task(RETRY, **named(signed_workplace, flow_id=flow_id))
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 2)
    assert signed_workplace.row(flow_id)["retry_count"] == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda kwargs: {"flow_id": str(uuid4())}, id="of another flow"),
        pytest.param(lambda kwargs: {"event_id": str(uuid4())}, id="with another id"),
        pytest.param(lambda kwargs: {"event_id": None}, id="without an id"),
        pytest.param(lambda _: {"client_account_id": str(THEIRS.client_account_id)}, id="a tenant"),
        pytest.param(lambda kwargs: {"proof": kwargs["proof"] | {"signed_at": 1}}, id="of another time"),
        pytest.param(lambda kwargs: {"proof": [[]]}, id="a proof that is none"),
    ],
)
def test_a_signed_one_that_was_changed_is_refused(signed_workplace: Workplace, change: Any) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    kwargs = named(signed_workplace, flow_id=flow_id)
    task_id = signed_workplace.send_task(RETRY, **kwargs | change(kwargs))
    letters = eventually(lambda: [found for found in signed_workplace.letters() if found.batch_id == task_id])
    assert [letter.reason for letter in letters] == ["signature_invalid"]
    assert signed_workplace.row(flow_id)["retry_count"] == 0


def test_a_proof_of_one_operation_is_none_of_another(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    task_id = signed_workplace.send_task(
        "enrichment.update_flow_status", **named(signed_workplace, flow_id=flow_id) | {"status": "completed"}
    )
    letters = eventually(lambda: [found for found in signed_workplace.letters() if found.batch_id == task_id])
    assert letters[0].reason == "signature_invalid"


def test_who_has_no_key_is_told_so_before_sending(signed_workplace: Workplace) -> None:
    with pytest.raises(InputInvalid, match="ENRICHMENT_SIGNING_KEYS"):
        named(signed_workplace, new_context(), flow_id=uuid4())


def test_what_could_not_be_verified_is_never_signed_by_a_replay(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = retry(OURS, flow_id)
    unsigned_publisher.publish(batch)
    assert refused(signed_workplace, batch).flow_id == str(flow_id)
    with signed_workplace.dead_letters() as letters:
        assert signed_workplace.replay(letters, Selection(flow_id=str(flow_id))) == 0
        forged = Selection(flow_id=str(flow_id), reason="signature_invalid")
        assert signed_workplace.replay(letters, forged) == 0
        assert letters.refused == {"no worker with keys wrote it": 1}
    # Its sender has kept it, and is believed once it has the key.
    signed_workplace.publisher.publish(batch)
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)


def test_what_was_verified_and_set_aside_is_sent_again_and_a_letter_by_hand_is_not(
    signed_workplace: Workplace,
) -> None:
    flow_id = uuid4()
    batch = retry(OURS, flow_id)
    signed_workplace.publisher.publish(batch)
    letter = set_aside(signed_workplace, batch)
    assert letter.reason == "flow_not_found"
    signed_workplace.new_flow(OURS, flow_id)
    completed = new_event(StatusChanged, OURS, flow_id, status="completed").model_dump(mode="json")
    by_hand = letter.model_copy(update={"letter_id": uuid4(), "event": completed})
    with signed_workplace.dead_letters() as letters:
        letters.put([by_hand, by_hand.model_copy(update={"proof": None, "letter_id": uuid4()})])
        assert signed_workplace.replay(letters, Selection(reason="flow_not_found", flow_id=str(flow_id))) == 1
        assert letters.refused.total() == 2
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)
    assert signed_workplace.row(flow_id)["flow_status"] != "completed"
