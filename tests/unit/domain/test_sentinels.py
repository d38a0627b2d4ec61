import pytest

from masterflow.domain import SettingsInvalid
from masterflow.domain.sentinels import SentinelAddress
from masterflow.repository.settings import RedisSettings
from masterflow.tasks.settings import QueueSettings


def test_an_address_names_its_sentinels_and_how_to_enter_the_redis_behind_them() -> None:
    found = SentinelAddress.find("sentinel://ana:p%40ss@one:1/3;sentinel://two")
    assert found == SentinelAddress((("one", 1), ("two", 26379)), 3, "ana", "p@ss")
    assert SentinelAddress.find("sentinel://one") == SentinelAddress((("one", 26379),), 0, None, None)


def test_another_address_names_none() -> None:
    assert SentinelAddress.find("redis://localhost:6379/0") is None


@pytest.mark.parametrize("url", ["sentinel://one:x/0", "sentinel://one:1/x", "sentinel://", "sentinel://a;b"])
def test_a_malformed_address_says_what_to_set(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    for settings in (RedisSettings, QueueSettings):
        with pytest.raises(SettingsInvalid, match=r"^Set REDIS_URL to redis://.*sentinel://"):
            settings()
