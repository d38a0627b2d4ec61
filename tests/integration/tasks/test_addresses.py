import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from masterflow.domain.redis_keys import FLAG_KEY, answers_key, queue_key, sender_name
from masterflow.repository.feature_flag import FeatureFlag
from masterflow.repository.settings import RedisSettings
from masterflow.scripts.broker import dead_letters
from masterflow.scripts.doctor.broker import check_broker
from masterflow.scripts.doctor.redis_server import check_redis
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.batch import Batch
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox, Publisher, QueueSettings, queue_lengths
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.servers.redis_socket import socket_redis
from tests.support.servers.sentinel import GROUP, Sentinel
from tests.support.servers.tls import TlsFront

#: Options and forms after `redis://…@host:port`, and the database that they name.
PLAIN = {
    "": 0,
    "/0": 0,
    "/3": 3,
    "?db=2": 2,
    "?virtual_host=2": 2,
    "/0?health_check_interval=30": 0,
    "/0?protocol=3": 0,
    "/0?socket_timeout=5&socket_connect_timeout=5": 0,
    "/0?max_connections=5": 0,
    "/0?retry_on_timeout=true&socket_keepalive=true&client_name=mine&decode_responses=true": 0,
}
TLS = ("CERT_NONE", "none", "CERT_REQUIRED&ssl_ca_certs={ca}", "required&ssl_ca_certs={ca}")


def every_part_works(monkeypatch: pytest.MonkeyPatch, url: str, client: "redis.Redis") -> None:
    """Assert that each of our clients reaches that Redis, where this one looks at it."""
    monkeypatch.setenv("REDIS_URL", url)
    settings = QueueSettings()
    # What an orchestrator does.
    publisher = Publisher(settings)
    publisher.publish(
        Batch(batch_id=str(uuid4()), sender_id="s", client_account_id=str(uuid4()), events="[]")
    )
    publisher.close()
    assert client.llen(queue_key(ENRICHMENT_QUEUE)) == 1
    client.hset(
        answers_key(sender_name(settings.redis.username, "s")),
        "b",
        '{"applied": 1, "repeated": 0, "dead": 0}',
    )
    inbox = ConfirmationInbox(settings, "s")
    assert inbox.receive([Awaited("b", "", ("s",), lambda _: None)]) == {"s": ["b"]}
    inbox.close()
    # What the API and `flowctl` do.
    assert queue_lengths(settings)[ENRICHMENT_QUEUE] == 1
    asyncio.run(set_flag())
    assert client.get(FLAG_KEY) == b"off"
    with dead_letters() as letters:
        assert letters.count() == 0
    # What the doctor finds.
    levels = {result.name: result.level for result in (*check_redis(), *check_broker())}
    assert (levels["redis"], levels["broker"]) == ("well", "well")
    client.flushdb()


async def set_flag() -> None:
    flag = FeatureFlag(RedisSettings())
    await flag.set_override("off")
    assert not await flag.is_enabled()
    await flag.close()


@pytest.mark.parametrize(("form", "database"), PLAIN.items())
def test_a_form_of_an_address_works_in_every_part(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, form: str, database: int
) -> None:
    server = redis_url.rpartition("/")[0]
    with redis.Redis.from_url(f"{server}/{database}") as client:
        client.flushdb()
        every_part_works(monkeypatch, f"{server}{form}", client)


@pytest.mark.parametrize("password", ["plain", "p@ss/w:rd?#%"])
def test_a_user_of_redis_works_in_every_part(
    monkeypatch: pytest.MonkeyPatch, own_redis: EmbeddedRedis, password: str
) -> None:
    address, quoted = urlsplit(own_redis.url), "".join(f"%{byte:02X}" for byte in password.encode())
    with redis.Redis.from_url(own_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "an:a", "on", f">{password}", "~*", "&*", "+@all")
        every_part_works(monkeypatch, f"redis://an%3Aa:{quoted}@127.0.0.1:{address.port}/1", on(client, 1))


@pytest.mark.parametrize("verifies", TLS)
def test_tls_works_in_every_part(
    monkeypatch: pytest.MonkeyPatch, own_redis: EmbeddedRedis, tmp_path: Path, verifies: str
) -> None:
    address = urlsplit(own_redis.url)
    with TlsFront(tmp_path, address.port or 0) as front, redis.Redis.from_url(own_redis.url) as client:
        options = f"ssl_cert_reqs={verifies.format(ca=front.certificate)}"
        url = f"rediss://:{address.password}@127.0.0.1:{front.port}/0?{options}"
        every_part_works(monkeypatch, url, client)


def test_sentinels_work_in_every_part(
    monkeypatch: pytest.MonkeyPatch, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENRICHMENT_SENTINEL_MASTER", GROUP)
    with Sentinel(tmp_path, own_redis.url) as sentinel, redis.Redis.from_url(own_redis.url) as client:
        every_part_works(monkeypatch, sentinel.url, client)


@pytest.fixture
def unix_socket() -> Iterator[Path]:
    with socket_redis() as path:
        yield path


@pytest.mark.parametrize("form", ["unix://:pw@{path}", "unix://:pw@{path}?db=2", "redis+socket://:pw@{path}"])
def test_a_unix_socket_works_in_every_part(
    monkeypatch: pytest.MonkeyPatch, unix_socket: Path, form: str
) -> None:
    path = str(unix_socket).replace(" ", "%20")
    database = 2 if "db=2" in form else 0
    with redis.Redis(unix_socket_path=str(unix_socket), password="pw", db=database) as client:
        every_part_works(monkeypatch, form.format(path=path), client)


def on(client: "redis.Redis", database: int) -> "redis.Redis":
    client.select(database)
    return client
