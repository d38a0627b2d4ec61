import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowDeclared, FlowRetried, new_event
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.batch import sign
from masterflow.tasks.dead_letters.letters import DeadLetter, Selection
from masterflow.tasks.enqueue import Batch, Publisher, QueueSettings
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


def confirmed_as_dead(place: Workplace, senders: Iterable[str]) -> int:
    return sum(one["dead"] for sender_id in senders for one in place.confirmations(sender_id))


def refused(place: Workplace, batch: Batch) -> DeadLetter:
    """Wait until the batch is confirmed as dead; return its letter."""
    [confirmation] = eventually(lambda: place.confirmations(batch.sender_id))
    assert (confirmation["applied"], confirmation["dead"]) == (0, 1)
    [letter] = [letter for letter in place.letters() if letter.batch_id == batch.batch_id]
    return letter


def test_a_signed_batch_is_applied(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    signed_workplace.publisher.publish(retry(OURS, flow_id))
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)


def test_a_key_on_its_way_out_still_verifies(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    keys = signed_workplace.settings.signing_keys
    old = {OURS.client_account_id: {"old": keys[OURS.client_account_id]["old"]}}
    unsigned_publisher.publish(sign(retry(OURS, flow_id), old))
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)


def test_unsigned_tampered_and_foreign_batches_are_refused_and_counted(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    keys = signed_workplace.settings.signing_keys
    batch, their_keys = retry(OURS, flow_id), keys[THEIRS.client_account_id]
    signed = sign(batch, keys)
    forgeries = [
        batch,
        replace(signed, events=retry(OURS, flow_id).events),
        replace(signed, batch_id=str(uuid4())),
        replace(signed, sender_id=uuid4().hex),
        replace(signed, signature=None),
        replace(signed, signature="00" * 32),
        replace(signed, key_id="their"),
        sign(batch, {OURS.client_account_id: their_keys}),
    ]
    before = signed_workplace.counters().get("dead:signature_invalid", 0)
    for forgery in forgeries:
        unsigned_publisher.publish(forgery)
    senders = {forgery.sender_id for forgery in forgeries}
    eventually(lambda: confirmed_as_dead(signed_workplace, senders) == len(forgeries))
    assert signed_workplace.row(flow_id)["retry_count"] == 0
    assert signed_workplace.counters()["dead:signature_invalid"] == before + len(forgeries)


def test_a_batch_signed_for_one_account_cannot_carry_events_of_another(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = replace(retry(OURS, flow_id), client_account_id=str(THEIRS.client_account_id))
    signed_workplace.publisher.publish(batch)
    assert refused(signed_workplace, batch).reason == "tenant_mismatch"
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


def test_a_named_operation_is_refused_because_it_bears_no_signature(signed_workplace: Workplace) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    tenant = {name: str(value) for name, value in OURS.model_dump().items()}
    task_id = signed_workplace.send_task("enrichment.increment_retry_count", flow_id=str(flow_id), **tenant)
    letters = eventually(lambda: [found for found in signed_workplace.letters() if found.batch_id == task_id])
    assert letters[0].reason == "signature_invalid"
    assert signed_workplace.row(flow_id)["retry_count"] == 0


def test_a_refused_batch_is_replayed_only_by_its_reason_and_then_signed(
    signed_workplace: Workplace, unsigned_publisher: Publisher
) -> None:
    flow_id = signed_workplace.new_flow(OURS)
    batch = retry(OURS, flow_id)
    unsigned_publisher.publish(batch)
    assert refused(signed_workplace, batch).flow_id == str(flow_id)
    with signed_workplace.dead_letters() as letters:
        assert signed_workplace.replay(letters, Selection(flow_id=str(flow_id))) == 0
        forged = Selection(flow_id=str(flow_id), reason="signature_invalid")
        assert signed_workplace.replay(letters, forged) == 1
    eventually(lambda: signed_workplace.row(flow_id)["retry_count"] == 1)
