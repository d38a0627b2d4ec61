"""Messages that callers of the first version sent by name, recorded from its code, and old module names."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.domain.tenant import flow_context
from masterflow.tasks.app import app
from masterflow.tasks.backfill.task import Chunk
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

ROOT: Final = Path(__file__).parents[3]
MESSAGES: Final[list[dict[str, Any]]] = json.loads(
    (ROOT / "tests" / "recorded" / "named-tasks-0.1.json").read_text()
)


def test_there_is_a_task_under_every_name_that_was_ever_sent() -> None:
    app.loader.import_default_modules()
    names = {message["headers"]["task"] for message in MESSAGES} | {"enrichment.apply_events"}
    assert names <= app.tasks.keys()
    assert len(names) == 12


def test_what_was_sent_by_name_in_the_first_version_fills_the_row(workplace: Workplace) -> None:
    named = [message for message in MESSAGES if message["queue"] == "enrichment"]
    fields = named[0]["body"][1]
    context = flow_context(fields["client_account_id"], fields["engagement_id"], fields["user_id"])
    flow_id = workplace.new_flow(context, UUID(fields["flow_id"]))
    for message in named:
        workplace.redis.lpush(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}", on_redis(message))
    row: Any = eventually(lambda: whole(workplace.row(flow_id)), timeout_s=30)
    assert row["flow_status"] == "processing"
    assert row["phase_execution_times"]["data_import"]["execution_time_ms"] == 1200
    assert row["agent_collaboration_log"][0]["agent"] == "Schema Expert"
    assert row["memory_usage_metrics"]["peak_mb"] == 512
    assert row["agent_performance_metrics"]["Schema Expert"]["calls"] == 3
    assert row["error_history"][0]["phase"] == "data_import"
    assert row["retry_count"] == 1
    assert row["flow_metadata"]["source"] == "cmdb"
    assert workplace.letters() == []


def on_redis(message: dict[str, Any]) -> str:
    """Return a message as kombu writes it."""
    delivery = {"exchange": "", "routing_key": ENRICHMENT_QUEUE}
    more = {"delivery_mode": 2, "delivery_info": delivery, "priority": 0, "body_encoding": "base64"}
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(message["body"]).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": message["headers"],
            "properties": {**message["properties"], **more, "delivery_tag": message["headers"]["id"]},
        }
    )


def whole(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row once every column has something in it."""
    columns = ("phase_transitions", "phase_execution_times", "agent_collaboration_log", "error_history")
    maps = ("memory_usage_metrics", "agent_performance_metrics")
    is_whole = all(row[name] for name in (*columns, *maps)) and row["retry_count"]
    return (
        row if is_whole and "source" in row["flow_metadata"] and row["flow_status"] == "processing" else None
    )


def test_a_chunk_of_a_backfill_of_the_first_version_is_still_one() -> None:
    [chunk] = [message for message in MESSAGES if message["headers"]["task"] == "backfill.apply_chunk"]
    assert Chunk.model_validate(chunk["body"][1]).flow_ids == [UUID("01935d2c-9c00-7000-8000-0000000000aa")]


def test_celery_finds_our_application_under_its_old_name_in_this_folder() -> None:
    program = (
        "from celery.bin.celery import find_app; from masterflow.tasks.app import app; "
        "print(find_app('tasks.app') is app, 'enrichment.apply_events' in app.tasks)"
    )
    settings = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgresql+psycopg://u@127.0.0.1:1/none",
    }
    program = program.replace("print(", "app.loader.import_default_modules(); print(")
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:masterflow", "-c", program],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
