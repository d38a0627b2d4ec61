import json
import signal
import time
from typing import Any
from uuid import UUID, uuid4

import psycopg

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import children, send
from masterflow.tasks.dead_letters.letters import Selection
from masterflow.tasks.inbox.attempts import MAX_LOST
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def retry(place: Workplace, context: FlowContext, flow_id: UUID, *, sender_id: str = "") -> str:
    """Send one retry of a flow, with which its count goes up by one."""
    return place.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)


def retries(place: Workplace, flow_id: UUID) -> int:
    return int(place.row(flow_id)["retry_count"])


def test_a_database_without_tables_is_waited_for_and_nothing_becomes_a_dead_letter(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id = workplace.new_flow(context)
    with workplace.database() as database:
        database.execute("alter schema migration rename to elsewhere")
        message_id = retry(workplace, context, flow_id)
        eventually(lambda: workplace.is_begun(message_id))
        time.sleep(1)
        database.execute("alter schema elsewhere rename to migration")
    eventually(lambda: retries(workplace, flow_id) == 1, timeout_s=5)
    assert workplace.letters(Selection(flow_id=str(flow_id))) == []


def test_a_row_that_someone_else_locks_is_waited_for(workplace: Workplace, context: FlowContext) -> None:
    flow_id = workplace.new_flow(context)
    with workplace.database() as database, database.transaction():
        lock(database, flow_id)
        message_id = retry(workplace, context, flow_id)
        eventually(lambda: workplace.is_begun(message_id))
        time.sleep(1.5)
    eventually(lambda: retries(workplace, flow_id) == 1, timeout_s=5)
    eventually(lambda: workplace.attempts(message_id) == 1)


def test_a_killed_child_gives_its_message_back(
    workplace: Workplace, worker: SupervisedProcess, context: FlowContext
) -> None:
    flow_id = workplace.new_flow(context)
    with workplace.database() as database, database.transaction():
        lock(database, flow_id)
        message_id = retry(workplace, context, flow_id)
        eventually(lambda: workplace.is_begun(message_id))
        send(children(worker.pid), signal.SIGKILL)
    eventually(lambda: retries(workplace, flow_id) == 1, timeout_s=15)
    eventually(lambda: workplace.attempts(message_id) == 2)


def test_a_batch_that_ended_its_worker_too_often_in_a_row_is_set_aside(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, batch_id, sender_id = workplace.new_flow(context), str(uuid4()), uuid4().hex
    note = {"first_seen": 0, "tries": 27, "lost": MAX_LOST}
    workplace.redis.set(f"{KEY_PREFIX}attempt:{batch_id}", json.dumps(note))
    event = new_event(FlowRetried, context, flow_id)
    workplace.publish([event], context, batch_id=batch_id, sender_id=sender_id)
    [confirmation] = eventually(lambda: workplace.confirmations(sender_id))
    assert (confirmation["applied"], confirmation["dead"]) == (0, 1)
    [letter] = workplace.letters(Selection(flow_id=str(flow_id)))
    assert (letter.reason, letter.attempts) == ("worker_lost", 28)
    assert retries(workplace, flow_id) == 0


def test_a_worker_leaves_the_dead_letters_alone(workplace: Workplace, context: FlowContext) -> None:
    task_id = workplace.send_task("enrichment.unknown")
    flow_id = workplace.new_flow(context)
    retry(workplace, context, flow_id)
    eventually(lambda: retries(workplace, flow_id))
    assert [letter.attempts for letter in workplace.letters() if letter.batch_id == task_id] == [1]


def lock(database: psycopg.Connection[Any], flow_id: UUID) -> None:
    query = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"
    database.execute(query, [flow_id])
