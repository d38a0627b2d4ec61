from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.queues import APPLY_CHUNK, BACKFILL_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

CHUNKS = 6

_LOCK = "select from migration.crewai_flow_state_extensions where flow_id = any(%s) for update"
_WORKING = "select pid from pg_stat_activity where query like '-- Lock masters%%' and pid <> %s"


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.alone)])
def place(
    request: pytest.FixtureRequest,
    make_workplace: Callable[..., Workplace],
    debian_package: Callable[[str, str], Path],
    tmp_path: Path,
) -> Iterator[Workplace]:
    """A workplace whose worker has two children."""
    with ExitStack() as stack:
        settings = {"ENRICHMENT_LOCK_TIMEOUT_S": "60", "ENRICHMENT_STATEMENT_TIMEOUT_S": "60"}
        if request.param == "rabbitmq":
            debian_package("rabbitmq-server", "rabbitmq-server")
            settings["CELERY_BROKER_URL"] = stack.enter_context(RabbitMQ(tmp_path / "rabbitmq")).url
        place = make_workplace(**settings)
        stack.enter_context(place.worker("--concurrency", "2"))
        yield place


def child_of(database: psycopg.Connection[object], flow_id: UUID, context: FlowContext) -> None:
    database.execute(
        "insert into migration.discovery_flows (id, flow_id, client_account_id, engagement_id, user_id,"
        " flow_name, data_import_completed, crewai_state_data)"
        " values (gen_random_uuid(), %s, %s, %s, 'tester', 'a flow', true, '{}')",
        [flow_id, context.client_account_id, context.engagement_id],
    )


def retry(place: Workplace, context: FlowContext, flow_id: UUID) -> None:
    before = place.row(flow_id)["retry_count"]
    place.publish([new_event(FlowRetried, context, flow_id)], context)
    eventually(lambda: place.row(flow_id)["retry_count"] > before, timeout_s=5)


def test_while_live_events_come_half_of_the_children_are_left_to_them(place, context):
    live, *behind = (place.new_flow(context) for _ in range(1 + CHUNKS))
    with place.database() as database:
        for flow_id in behind:
            child_of(database, flow_id, context)
        retry(place, context, live)
        with database.transaction():
            database.execute(_LOCK, [behind])
            for flow_id in behind:
                retry(place, context, live)
                place.send_task(APPLY_CHUNK, queue=BACKFILL_QUEUE, flow_ids=[str(flow_id)])
            for _ in range(10):  # Each chunk that is taken now keeps its child until the lock is gone.
                retry(place, context, live)
            working = database.execute(_WORKING, [database.info.backend_pid]).fetchall()
            assert len(working) == 1
        eventually(lambda: all(place.row(flow_id)["phase_transitions"] for flow_id in behind))
