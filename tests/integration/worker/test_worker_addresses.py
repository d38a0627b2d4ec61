from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, StatusChanged, new_event
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.queues import KEY_PREFIX
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.sentinel import GROUP, Sentinel
from tests.support.servers.tls import TlsFront

MakeWorkplace = Callable[..., Workplace]


def apply_one(place: Workplace, context: FlowContext) -> None:
    """Send an event of each kind the flag tells apart, with the flag off in Redis, and wait for the row."""
    flow_id = place.new_flow(context)
    place.redis.set(f"{KEY_PREFIX}flag", "off")
    events = [
        new_event(StatusChanged, context, flow_id, status="paused"),
        new_event(FlowRetried, context, flow_id),
    ]
    with place.worker():
        place.publish(events, context, sender_id="sender")
        [confirmed] = eventually(lambda: place.confirmations("sender"))
    assert confirmed["applied"] == 1
    row = place.row(flow_id)
    assert (row["flow_status"], row["retry_count"]) == ("paused", 0)
    # It gave up neither the broker nor the flag's Redis.
    assert "does not answer" not in place.log.read_text()


@pytest.fixture
def tls_url(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[str]:
    address = urlsplit(own_redis.url)
    with TlsFront(tmp_path, address.port or 0) as front:
        yield f"rediss://:{address.password}@127.0.0.1:{front.port}/0?ssl_ca_certs={front.certificate}"


def test_a_worker_works_on_a_redis_over_tls(
    make_workplace: MakeWorkplace, tls_url: str, context: FlowContext
) -> None:
    apply_one(make_workplace(redis_url=tls_url), context)


def test_a_worker_works_on_the_redis_that_sentinel_names(
    make_workplace: MakeWorkplace, own_redis: EmbeddedRedis, tmp_path: Path, context: FlowContext
) -> None:
    with Sentinel(tmp_path, own_redis.url) as sentinel:
        place = make_workplace(redis_url=sentinel.url, ENRICHMENT_SENTINEL_MASTER=GROUP)
        apply_one(place, context)
