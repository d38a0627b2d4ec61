import time
from uuid import uuid4

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def test_the_sender_hears_of_its_batch_after_the_commit_and_not_before(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, sender_id = workplace.new_flow(context), uuid4().hex
    inbox = ConfirmationInbox(workplace.settings, sender_id)
    with workplace.database() as database, database.transaction():
        query = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"
        database.execute(query, [flow_id])
        event = new_event(FlowRetried, context, flow_id)
        batch_id = workplace.publish([event], context, sender_id=sender_id)
        eventually(lambda: workplace.redis.exists(f"{KEY_PREFIX}attempt:{batch_id}"))
        time.sleep(0.3)
        awaited = [Awaited(batch_id, str(context.client_account_id), (sender_id,), lambda _: None)]
        assert inbox.receive(awaited) == {}
    assert eventually(lambda: inbox.receive(awaited)) == {sender_id: [batch_id]}
    assert workplace.row(flow_id)["retry_count"] == 1
    assert inbox.receive(awaited) == {}
    inbox.close()


def test_confirmations_that_nobody_fetches_expire(workplace: Workplace, context: FlowContext) -> None:
    flow_id, sender_id = workplace.new_flow(context), uuid4().hex
    workplace.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)
    eventually(lambda: workplace.confirmations(sender_id))
    assert 3_000 < workplace.redis.ttl(f"{KEY_PREFIX}answers:{sender_id}") <= 3_600


def test_an_empty_batch_is_confirmed(workplace: Workplace, context: FlowContext) -> None:
    sender_id = uuid4().hex
    batch_id = workplace.publish([], context, sender_id=sender_id)
    confirmed = eventually(lambda: workplace.confirmations(sender_id))
    assert confirmed == [{"batch_id": batch_id, "applied": 0, "repeated": 0, "dead": 0}]


def test_nobody_is_told_of_a_batch_without_a_sender(workplace: Workplace, context: FlowContext) -> None:
    flow_id = workplace.new_flow(context)
    batch_id = workplace.publish([new_event(FlowRetried, context, flow_id)], context)
    eventually(lambda: workplace.attempts(batch_id))
    assert workplace.redis.exists(f"{KEY_PREFIX}answers:") == 0
