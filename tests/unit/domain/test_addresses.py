import re

import pytest

from masterflow.domain import SettingsInvalid
from masterflow.domain.addresses import BrokerAddress, RedisAddress
from masterflow.domain.settings import SettingRefused
from masterflow.repository.settings import RedisSettings
from masterflow.tasks.settings import QueueSettings

VERIFIED: dict[str, str | bool] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
UNVERIFIED: dict[str, str | bool] = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}

FORMS = {
    "redis://cache": RedisAddress((("cache", 6379),)),
    " redis://cache:6379/0 ": RedisAddress((("cache", 6379),)),
    "redis://cache:1/3": RedisAddress((("cache", 1),), database=3),
    "redis://cache/3?db=2": RedisAddress((("cache", 6379),), database=2),
    "redis://cache?virtual_host=2": RedisAddress((("cache", 6379),), database=2),
    "redis://:p%40ss@cache": RedisAddress((("cache", 6379),), password="p@ss"),
    "redis://ana:p%2Fss@cache": RedisAddress((("cache", 6379),), username="ana", password="p/ss"),
    "redis://[::1]:7/0": RedisAddress((("::1", 7),)),
    "redis://cache?health_check_interval=30&protocol=3&socket_timeout=5&max_connections=5": RedisAddress(
        (("cache", 6379),)
    ),
    "rediss://cache": RedisAddress((("cache", 6379),), tls=VERIFIED),
    "rediss://cache?ssl_cert_reqs=none": RedisAddress((("cache", 6379),), tls=UNVERIFIED),
    "rediss://cache?ssl_cert_reqs=CERT_NONE": RedisAddress((("cache", 6379),), tls=UNVERIFIED),
    "rediss://cache?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca.pem": RedisAddress(
        (("cache", 6379),), tls={**VERIFIED, "ssl_ca_certs": "/ca.pem"}
    ),
    "rediss://cache?ssl_check_hostname=False": RedisAddress(
        (("cache", 6379),), tls={"ssl_cert_reqs": "required", "ssl_check_hostname": False}
    ),
    "unix:///run/redis.sock": RedisAddress(path="/run/redis.sock"),
    "unix://ana:pw@/run/redis.sock?db=2": RedisAddress(
        path="/run/redis.sock", database=2, username="ana", password="pw"
    ),
    "redis+socket:///run/redis.sock?virtual_host=2": RedisAddress(path="/run/redis.sock", database=2),
    "sentinel://one": RedisAddress((("one", 26379),), is_sentinel=True),
    "sentinel://ana:p%40ss@one:1/3;sentinel://two": RedisAddress(
        (("one", 1), ("two", 26379)), database=3, username="ana", password="p@ss", is_sentinel=True
    ),
}

REFUSED = {
    "": "another one",
    "cache": "another one",
    "http://cache": "another one",
    '"redis://cache"': "another one",
    "redis://": "host is missing",
    "redis:///0": "host is missing",
    "redis://cache:x": "port",
    "redis://cache:99999": "port",
    "redis://cache/x": "no number",
    "redis://cache/0?db=-1": "no number",
    "redis://cache?foo=1": "the option 'foo'",
    "redis://cache?ssl_cert_reqs=none": "need rediss://",
    "rediss://cache?ssl_cert_reqs=perhaps": "required, optional or none",
    "rediss://cache?ssl_check_hostname=perhaps": "true or false",
    "unix://": "has a path",
    "unix://host/run/redis.sock": "no host",
    "sentinel://": "host is missing",
    "sentinel://one:x/0": "port",
    "redis://cache..example/0": "host or port",
    "sentinel://one;sentinel://\udcff": "host or port",
    "sentinel://one:1/x": "no number",
    "sentinel://a;b": "another one",
    "sentinel://a;redis://b": "another one",
    "redis://a:1/0;redis://b:1/0": "no number",
}


@pytest.mark.parametrize(("url", "address"), FORMS.items(), ids=FORMS)
def test_an_address_is_read_the_same_for_redis_and_for_the_broker(url: str, address: RedisAddress) -> None:
    assert RedisAddress.parse(url) == address
    assert BrokerAddress.parse(url).redis == address


@pytest.mark.parametrize("url", FORMS)
def test_what_kombu_is_given_says_the_same(url: str) -> None:
    address = RedisAddress.parse(url)
    again = RedisAddress.parse(address.kombu_url)
    assert (again.hosts, again.path, again.database) == (address.hosts, address.path, address.database)
    assert again.credentials == address.credentials


@pytest.mark.parametrize(("url", "reason"), REFUSED.items(), ids=REFUSED)
def test_what_one_client_could_not_follow_is_refused_for_all(url: str, reason: str) -> None:
    with pytest.raises(SettingRefused, match=reason):
        RedisAddress.parse(url)


@pytest.mark.parametrize("url", [url for url in REFUSED if url])
def test_a_refused_address_says_in_one_sentence_what_to_set(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    sentences = set()
    for settings in (RedisSettings, QueueSettings):
        with pytest.raises(SettingsInvalid) as caught:
            settings()
        sentences.add(str(caught.value))
    [sentence] = sentences
    assert re.fullmatch(r"Set REDIS_URL to redis://.* or sentinel://\S+ \(.*\)\.", sentence)


def test_a_broker_may_have_several_servers() -> None:
    assert BrokerAddress.parse("redis://one;redis://two").url == "redis://one:6379/0;redis://two:6379/0"
    assert BrokerAddress.parse("amqp://a:b@one//;amqp://a:b@two//").url == "amqp://a:b@one//;amqp://a:b@two//"
    with pytest.raises(SettingRefused, match="same TLS"):
        BrokerAddress.parse("rediss://one;redis://two")


@pytest.mark.parametrize(
    "url", ["amqp://", "amqp://one:x", "amqp://one?foo=1", "amqp://one;redis://two", "http://a"]
)
def test_a_malformed_address_of_a_broker_is_refused(url: str) -> None:
    with pytest.raises(SettingRefused):
        BrokerAddress.parse(url)


def test_options_of_rabbitmq_clients_are_left_out() -> None:
    assert (
        BrokerAddress.parse("amqps://a:b@one/v?heartbeat=30&connection_timeout=5").url == "amqps://a:b@one/v"
    )


def test_no_address_shows_its_password() -> None:
    for url in ("redis://ana:hunter2@cache", "unix://:hunter2@/s", "sentinel://:hunter2@one"):
        assert "hunter2" not in f"{RedisAddress.parse(url)!r} {BrokerAddress.parse(url)!r}"
    with pytest.raises(SettingRefused) as caught:
        RedisAddress.parse("redis://ana:hunter2@cache:x")
    assert "hunter2" not in str(caught.value)
