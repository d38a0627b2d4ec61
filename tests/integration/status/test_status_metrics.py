import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection
from prometheus_client.parser import text_string_to_metric_families

from masterflow.domain import FlowContext
from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.counters import Counters
from masterflow.tasks.enqueue import ConfirmationInbox, QueueSettings
from masterflow.tasks.heartbeats import write_heartbeat
from masterflow.tasks.queues import queue as queue_of
from tests.support.eventually import eventually
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite

Figures = dict[tuple[str, ...], float]


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def told_by(site: StatusSite) -> Figures:
    """Return every sample by its name and the values of its labels, as Prometheus would read it."""
    answer = site.get("/metrics", headers={"Authorization": f"Bearer {PROBE_TOKEN}"})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_metrics_tell_what_workers_counted(site: StatusSite, broker: redis.Redis) -> None:
    counters = Counters()
    for name, amount in {
        "applied": 12,
        "repeated": 3,
        "skipped": 2,
        "dead:flow_not_found": 2,
        "backfill:changed": 7,
        "backfill:failed": 1,
    }.items():
        counters.add(name, amount)
    for seconds in (0.01, 0.2, 0.2, 5_000):
        counters.observe("lag_seconds", seconds)
    counters.observe("merge_seconds", 0.02)
    counters.observe("batch_size", 40)
    counters.flush(broker)
    told = told_by(site)
    assert told["enrichment_events_total", "applied"] == 12
    assert told["enrichment_events_total", "repeated"] == 3
    assert told["enrichment_dead_letters_total", "flow_not_found"] == 2
    assert told["enrichment_backfill_flows_total", "changed"] == 7
    assert told["enrichment_backfill_flows_total", "failed"] == 1
    buckets = [told["enrichment_lag_seconds_bucket", bound] for bound in ("0.05", "0.25", "+Inf")]
    assert buckets == [1, 3, 4]
    assert told["enrichment_lag_seconds_count",] == 4
    assert told["enrichment_lag_seconds_sum",] == pytest.approx(5_000.41)
    assert {f"enrichment_{name}_count" for name in HISTOGRAM_BOUNDS} <= {name for name, *_ in told}


def test_metrics_tell_what_was_forged_and_before_that_0(site: StatusSite, broker: redis.Redis) -> None:
    kinds = ("message", "flag", "chunk", "parked", "letter", "key")
    assert [told_by(site)["enrichment_forged_total", kind] for kind in kinds] == [0] * 6
    counters = Counters()
    counters.add("forged:flag", 2)
    counters.flush(broker)
    note = {"at": time.time(), "events": 0, "bytes": 0, "lost": 0, "oldest_at": None, "forged": 4}
    broker.hset("enrichment:outboxes", "one", json.dumps(note))
    told = told_by(site)
    assert told["enrichment_forged_total", "flag"] == 2
    assert told["enrichment_outbox_forged_confirmations",] == 4
    assert ("enrichment_events_total", "forged:flag") not in told


JUNK_COUNTERS: dict[Any, Any] = {
    "forged:flag": "x",
    "applied": "nan",
    'dead:"} 1\nenrichment_redis_up 0\n': "5",
    "x" * 10_000: "1",
    "dead:\x1b[2J": "inf",
}


def test_what_somebody_writes_among_the_counters_and_notes_hides_nothing_else(
    site: StatusSite, broker: redis.Redis
) -> None:
    broker.hset("enrichment:counters", mapping={**JUNK_COUNTERS, "repeated": "3"})
    broker.hset("enrichment:counters", b"\xff", "1")
    broker.hset("enrichment:watch", "round_at", "x")
    for name, text in (("heartbeat:a", "x"), ("heartbeat:b", "nan"), ("consumption:c", "[")):
        broker.zadd("enrichment:signs", {name: time.time()})
        broker.set(f"enrichment:{name}", text)
    broker.zadd("enrichment:signs", {b"\xff": time.time()})
    told = told_by(site)
    assert told["enrichment_events_total", "repeated"] == 3
    assert told["enrichment_redis_up",] == 1
    assert not [key for key in told if "x" * 200 in key]


@pytest.mark.parametrize("name", ["counters", "parked", "signs", "watch", "outboxes", "unacked"])
def test_another_kind_of_value_in_the_place_of_one_hides_no_other(
    site: StatusSite, broker: redis.Redis, name: str
) -> None:
    broker.set(f"enrichment:{name}", "x")
    write = {"counters": "parked"}.get(name, "counters")
    if write == "counters":
        broker.hset("enrichment:counters", "repeated", "3")
    told = told_by(site)
    assert told["enrichment_redis_up",] == 1
    assert told["enrichment_events_total", "repeated"] == (3 if write == "counters" else 0)


def test_metrics_tell_what_waits_and_who_lives(site: StatusSite, broker: redis.Redis) -> None:
    broker.rpush("enrichment:enrichment", "a", "b")
    broker.rpush("enrichment:enrichment.dead", "c")
    broker.hset("enrichment:unacked", "tag", "message")
    broker.zadd("enrichment:parked", {"batch": 1})
    write_heartbeat(broker, "one@host")
    told = told_by(site)
    assert told["enrichment_broker_up",] == told["enrichment_redis_up",] == 1
    assert told["enrichment_queue_messages", "enrichment"] == 2
    assert told["enrichment_queue_messages", "backfill"] == 0
    assert told["enrichment_queue_messages", "enrichment.dead"] == 1
    assert told["enrichment_unacknowledged",] == told["enrichment_parked",] == 1
    assert 0 <= told["enrichment_heartbeat_age_seconds", "one@host"] < 10


def test_metrics_tell_which_outboxes_wait_and_what_was_lost(site: StatusSite, redis_url: str) -> None:
    settings = QueueSettings.model_validate({"REDIS_URL": redis_url})
    for sender, events, lost in [("one", 3, 0), ("two", 4, 0), ("done", 0, 5)]:
        inbox = ConfirmationInbox(settings, sender)
        oldest_at = time.time() - 40 if events else None
        inbox.note_backlog({"events": events, "bytes": events * 100, "lost": lost, "oldest_at": oldest_at})
        inbox.close()
    told = told_by(site)
    assert told["enrichment_unconfirmed_outboxes",] == 2
    assert told["enrichment_unconfirmed_events",] == 7
    assert told["enrichment_unconfirmed_bytes",] == 700
    assert 40 <= told["enrichment_unconfirmed_age_seconds",] < 60
    assert told["enrichment_outbox_lost_events",] == 5


def test_metrics_tell_of_the_api_itself_by_route_and_not_by_id(
    site: StatusSite, context: FlowContext, redis_url: str
) -> None:
    route = "/api/v1/flows/{flow_id}/status"
    before = told_by(site).get(("enrichment_status_requests_total", route, "404"), 0)
    site.get(f"/api/v1/flows/{context.client_account_id}/status", headers=site.bearer(context))
    told = told_by(site)
    assert told["enrichment_status_requests_total", route, "404"] == before + 1
    assert told["enrichment_status_request_seconds_count", route] > before
    assert told["enrichment_status_open_streams",] == 0
    assert told["process_resident_memory_bytes",] > 1e6
    assert not any(str(context.client_account_id) in label for _, *labels in told for label in labels)


def test_a_redis_full_of_other_keys_is_not_searched(site: StatusSite, broker: redis.Redis) -> None:
    pipeline = broker.pipeline(transaction=False)
    for number in range(100_000):
        pipeline.set(f"enrichment:cache:{number}", "x")
    pipeline.execute()
    write_heartbeat(broker, "one@host")
    broker.config_resetstat()
    assert ("enrichment_heartbeat_age_seconds", "one@host") in told_by(site)
    assert not {"cmdstat_scan", "cmdstat_keys"} & broker.info("commandstats").keys()


@pytest.mark.alone
def test_metrics_tell_what_waits_at_rabbitmq_and_that_it_is_away(
    tmp_path: Path,
    server_folder: Path,
    debian_package: Callable[[str, str], Path],
    database_url: str,
    redis_url: str,
) -> None:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"rabbitmq-{uuid.uuid4().hex}") as rabbitmq:
        broker = {"CELERY_BROKER_URL": rabbitmq.url}
        with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url, **broker) as own:
            assert told_by(own)["enrichment_queue_messages", "enrichment"] == 0
            with Connection(rabbitmq.url) as connection:
                declared: Any = queue_of("enrichment", rabbitmq.url)
                queue = connection.SimpleQueue(declared)
                for _ in range(3):
                    queue.put("a message")
            eventually(lambda: told_by(own)["enrichment_queue_messages", "enrichment"] == 3)
            told = told_by(own)
            assert told["enrichment_broker_up",] == 1
            assert ("enrichment_unacknowledged",) not in told
            rabbitmq.stop()
            told = told_by(own)
            assert told["enrichment_broker_up",] == 0
            assert told["enrichment_redis_up",] == 1
            assert ("enrichment_queue_messages", "enrichment") not in told
    rabbitmq.remove()
