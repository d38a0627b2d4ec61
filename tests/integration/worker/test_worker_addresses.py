from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, StatusChanged, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.redis_socket import socket_redis
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


@pytest.mark.long
def test_a_worker_works_on_the_redis_that_sentinel_names(
    make_workplace: MakeWorkplace, own_redis: EmbeddedRedis, tmp_path: Path, context: FlowContext
) -> None:
    with Sentinel(tmp_path, own_redis.url) as sentinel:
        place = make_workplace(redis_url=sentinel.url, ENRICHMENT_SENTINEL_MASTER=GROUP)
        apply_one(place, context)


@pytest.mark.long
def test_a_worker_works_on_a_redis_over_a_unix_socket(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    with socket_redis() as path:
        apply_one(make_workplace(redis_url=f"unix://:pw@{quote(str(path))}?db=1"), context)


@pytest.mark.long
def test_a_worker_works_with_an_address_that_has_options_and_a_certificate_nobody_checks(
    make_workplace: MakeWorkplace, own_redis: EmbeddedRedis, tmp_path: Path, context: FlowContext
) -> None:
    address = urlsplit(own_redis.url)
    with TlsFront(tmp_path, address.port or 0) as front:
        options = (
            "ssl_cert_reqs=CERT_NONE&health_check_interval=30&protocol=3&max_connections=5&socket_timeout=5"
        )
        url = f"rediss://:{address.password}@127.0.0.1:{front.port}?db=2&{options}"
        apply_one(make_workplace(redis_url=url), context)
