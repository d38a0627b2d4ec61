import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from masterflow import FlowContext, create_progress_tracker, tracker
from masterflow.domain.redis_keys import told_key
from masterflow.domain.signing.signatures import sign
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.settings import QueueSettings
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from tests.support.eventually import eventually

ACCOUNT = UUID(int=1)
KEYS = {str(ACCOUNT): {"k1": "a secret of 16 characters"}}

#: A process that does nothing but ask whether to stop says when it may be told, and when it was.
IDLE = """
    import sys, time
    from masterflow import FlowContext, create_progress_tracker

    context = FlowContext(client_account_id=sys.argv[1], engagement_id=sys.argv[2], user_id="ann")
    tracker = create_progress_tracker(sys.argv[3], context)
    assert not tracker.stop_requested
    print("ready", flush=True)
    while not tracker.stop_requested:
        time.sleep(0.005)
    print(time.time(), flush=True)
"""


@pytest.fixture
def server(
    own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, and an outbox of it."""
    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    monkeypatch.setattr(process_delivery, "losses", Losses())
    yield own_redis
    tracker.shutdown(0)


@pytest.fixture
def context() -> FlowContext:
    return FlowContext(client_account_id=ACCOUNT, engagement_id=uuid4(), user_id="ann")


@pytest.fixture
def flow(server: EmbeddedRedis, context: FlowContext):
    made = create_progress_tracker(uuid4(), context)
    assert made.stop_requested is None
    return made


def said(**said: object) -> str:
    about = {"request_id": str(uuid4()), "action": "cancel", "by": "ann", "at": datetime.now(UTC).isoformat()}
    return json.dumps({**about, "reason": None, **said})


def tell(server: EmbeddedRedis, context: FlowContext, flow_id: object, text: str, **proof: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        key = told_key(context.client_account_id, context.engagement_id)
        client.xadd(key, {"flow_id": str(flow_id), "message": text, **proof})


def heard_within_s(flow) -> float:
    started = time.monotonic()
    eventually(lambda: flow.stop_requested, timeout_s=5)
    return time.monotonic() - started


def test_a_flow_that_reports_nothing_is_told_within_a_second(server, context, flow):
    tell(server, context, flow.flow_id, said(reason="Too slow."))
    assert heard_within_s(flow) <= 1
    assert flow.stop_requested.reason == "Too slow."


def test_a_process_that_only_asks_is_told_within_a_second(server, context):
    ids = [str(context.client_account_id), str(context.engagement_id), str(uuid4())]
    command = [sys.executable, "-P", "-c", textwrap.dedent(IDLE), *ids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # Its first look finds Redis; what is measured comes after.
        time.sleep(1)
        told_at = time.time()
        tell(server, context, ids[2], said())
        heard_at = float(process.stdout.readline())
    assert heard_at - told_at <= 1


def test_what_was_told_just_before_a_process_listens_reaches_it(server, context):
    flow_id = uuid4()
    tell(server, context, flow_id, said(by="bob"))
    late = create_progress_tracker(flow_id, context)
    request = eventually(lambda: late.stop_requested)
    assert request is not None
    assert request.by == "bob"


def test_nonsense_costs_no_other_message(server, context, flow, caplog):
    for text in ("no JSON", "[]", '{"action": "cancel"}', said(action="explode"), said(at="soon")):
        tell(server, context, flow.flow_id, text)
    tell(server, context, "no id", said())
    tell(server, context, flow.flow_id, said(by="bob"))
    heard_within_s(flow)
    assert flow.stop_requested.by == "bob"
    assert "What a flow was told is ignored" in caplog.text


def test_a_flow_of_another_tenant_is_told_nothing(server, context, flow):
    stranger = FlowContext(client_account_id=uuid4(), engagement_id=uuid4(), user_id="eve")
    tell(server, stranger, flow.flow_id, said(by="eve"))
    tell(server, context, flow.flow_id, said(by="ann"))
    heard_within_s(flow)
    assert flow.stop_requested.by == "ann"


def test_with_keys_only_what_workers_signed_for_this_flow_counts(server, context, monkeypatch, caplog):
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", json.dumps(KEYS))
    flow = create_progress_tracker(uuid4(), context)
    assert flow.stop_requested is None
    keys = QueueSettings().keys_of(ACCOUNT)
    text = said(by="ann")

    def proof(flow_id: object, purpose="control") -> dict[str, str]:
        made = sign(purpose, [str(flow_id), text], keys)
        assert made is not None
        return {"key_id": made.key_id, "signature": made.value}

    tell(server, context, flow.flow_id, said(by="eve"))
    tell(server, context, flow.flow_id, said(by="eve"), **proof(flow.flow_id))
    tell(server, context, flow.flow_id, text, **proof(uuid4()))
    tell(server, context, flow.flow_id, text, **proof(flow.flow_id, "batch"))
    eventually(lambda: "What a flow was told is ignored" in caplog.text)
    assert flow.stop_requested is None
    tell(server, context, flow.flow_id, text, **proof(flow.flow_id))
    assert eventually(lambda: flow.stop_requested).by == "ann"


def test_a_process_hears_again_after_redis_was_away_or_emptied(server, context, flow):
    # It has read far into the stream of a server whose clock was ahead.
    ahead_ms = int(time.time() * 1000) + 3_600_000
    with redis.Redis.from_url(server.url) as client:
        key = told_key(context.client_account_id, context.engagement_id)
        client.xadd(key, {"flow_id": str(uuid4()), "message": said()}, id=f"{ahead_ms}-0")
        other = create_progress_tracker(uuid4(), context)
        time.sleep(1)  # it reads that
        client.flushall()
    server.stop()
    server.start()
    tell(server, context, flow.flow_id, said())
    eventually(lambda: flow.stop_requested, timeout_s=15)
    assert other.stop_requested is None


def test_nothing_is_asked_of_redis_once_no_flow_is_left(server, context, flow):
    with redis.Redis.from_url(server.url) as client:

        def reads() -> int:
            return int(client.info("commandstats").get("cmdstat_xread", {}).get("calls", 0))

        eventually(reads)
        flow.complete_flow()
        eventually(lambda: not process_delivery.losses.counts())
        time.sleep(0.7)
        before = reads()
        time.sleep(1.2)
        assert reads() == before
