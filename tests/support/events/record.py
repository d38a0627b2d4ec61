"""Record a message of the newest version of events as it lies on Redis, and the row that it makes.

    .venv/bin/python -m tests.support.events.record

It writes tests/recorded/schema-<version>.message.json and .row.json, on servers of its own. Once a version
is released its files stay as they are, for messages of it may still be under way.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from masterflow.domain.events import SCHEMA_VERSION
from masterflow.domain.redis_keys import queue_key
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.events.examples import CONTEXT, FLOW_ID, example_events, example_id
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import fill_with_tables

RECORDED: Final = Path(__file__).parents[2] / "recorded"
SENDER_ID: Final = "an-orchestrator"

#: Columns that no two rows share.
NEW_EACH_TIME: Final = frozenset({"id", "created_at", "updated_at"})


def record(place: Workplace, folder: Path) -> None:
    """Send the examples through a workplace without a worker, then let one make the row."""
    place.publish(example_events(), CONTEXT, sender_id=SENDER_ID, batch_id=str(example_id(0xFF)))
    key = queue_key(ENRICHMENT_QUEUE)
    text: Any = place.redis.lindex(key, 0)
    message = json.loads(text)
    message["headers"]["origin"] = "orchestrator@host"
    place.new_flow(CONTEXT, FLOW_ID)
    with place.worker():
        eventually(lambda: place.confirmations(SENDER_ID))
    row = {name: value for name, value in place.row(FLOW_ID).items() if name not in NEW_EACH_TIME}
    for name, document in (("message", message), ("row", row)):
        path = folder / f"schema-{SCHEMA_VERSION}.{name}.json"
        written = json.dumps(document, indent=1, default=str, sort_keys=name == "row", ensure_ascii=False)
        path.write_text(f"{written}\n")


def main() -> None:
    """Record into tests/recorded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres", durable=False))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        fill_with_tables(postgres.url)
        place = Workplace(folder / "place", database_url=postgres.url, redis_url=redis.url)
        stack.callback(place.remove)
        record(place, RECORDED)


if __name__ == "__main__":
    main()
