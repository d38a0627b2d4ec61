"""Workers with both kinds of keys, for tests that reach their Redis and broker and have none."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def attacked(
    request: pytest.FixtureRequest,
    postgres_server: str,
    database_template: str,
    server_folder: Path,
    debian_package: Callable[[str, str], Path],
) -> Iterator[tuple[Workplace, SupervisedProcess]]:
    """Servers of this file's own, and a worker with one child, which holds a key of the file's `CONTEXT`."""
    context: FlowContext = request.module.CONTEXT
    folder = server_folder / f"attacked-{uuid4().hex}"
    settings = {
        "ENRICHMENT_SIGNING_KEYS": json.dumps({str(context.client_account_id): {"own": "o" * 32}}),
        "ENRICHMENT_WORKER_KEYS": json.dumps({"workers": "w" * 32}),
        "ENRICHMENT_FLOW_GRACE_S": "30",
    }
    with ExitStack() as stack:
        url = stack.enter_context(temporary_database(postgres_server, template=database_template))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        if request.param == "rabbitmq":
            debian_package("rabbitmq-server", "rabbitmq-server")
            settings["CELERY_BROKER_URL"] = stack.enter_context(RabbitMQ(folder / "rabbitmq")).url
        place = Workplace(folder / "place", database_url=url, redis_url=redis.url, **settings)
        with place.worker() as worker:
            yield place, worker
        place.remove()
