import importlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.app.defaults import DEFAULTS, SETTING_KEYS

from masterflow.domain import SettingsInvalid

MakeConfig = Callable[..., types.ModuleType]

# Celery reads this one from the configuration without listing it.
UNLISTED = {"visibility_timeout"}


@pytest.fixture
def make_config(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeConfig]:
    """What reads the configuration under an environment."""
    config = importlib.import_module("celeryconfig")

    def make(**environment: str) -> types.ModuleType:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return importlib.reload(config)

    yield make
    monkeypatch.undo()
    importlib.reload(config)


def settings(config: types.ModuleType) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(config).items()
        if not name.startswith("_") and not isinstance(value, type | types.ModuleType) and name != "Any"
    }


@pytest.mark.parametrize("url", ["redis://localhost/1", "amqp://guest@localhost//"])
def test_every_name_is_one_of_celerys_and_no_value_is_the_default(make_config: MakeConfig, url: str) -> None:
    found = settings(make_config(CELERY_BROKER_URL=url))
    assert found.keys() - UNLISTED <= SETTING_KEYS
    always = {"broker_use_ssl", "broker_connection_max_retries", "beat_schedule"}
    assert [name for name in found.keys() - UNLISTED - always if found[name] == DEFAULTS[name]] == [
        "worker_cancel_long_running_tasks_on_connection_loss"
    ]


def test_a_worker_consumes_our_queues_but_never_the_dead_letters(make_config: MakeConfig) -> None:
    config = make_config(REDIS_URL="redis://localhost/1")
    assert [queue.name for queue in config.task_queues] == ["enrichment", "backfill"]


def test_the_visibility_timeout_is_the_same_everywhere_and_twice_the_time_limit(
    make_config: MakeConfig,
) -> None:
    config = make_config(REDIS_URL="redis://localhost/1")
    timeouts = {
        config.visibility_timeout,
        config.broker_transport_options["visibility_timeout"],
        config.result_backend_transport_options["visibility_timeout"],
    }
    assert timeouts == {2 * config.task_time_limit}


def test_a_task_gives_its_message_back_before_its_time_limit(make_config: MakeConfig) -> None:
    retries = importlib.import_module("masterflow.tasks.delivery.retry")
    config = make_config(REDIS_URL="redis://localhost/1")
    cancelling_s = 10
    assert retries.RETRY_FOR_S + retries.ATTEMPT_TIMEOUT_S + cancelling_s < config.task_time_limit


def test_the_broker_is_redis_unless_told_otherwise(make_config: MakeConfig) -> None:
    config = make_config(REDIS_URL="rediss://:secret@redis.example:6380/2")
    assert config.broker_url == "rediss://:secret@redis.example:6380/2"
    assert config.broker_use_ssl is not None
    assert config.broker_transport_options["global_keyprefix"] == "enrichment:"
    assert config.broker_transport_options["socket_timeout"] > 0


def test_sentinel_is_told_its_group(make_config: MakeConfig) -> None:
    config = make_config(
        CELERY_BROKER_URL="sentinel://a:26379/0;sentinel://b:26379/0", ENRICHMENT_SENTINEL_MASTER="flows"
    )
    assert config.broker_transport_options["master_name"] == "flows"
    assert config.broker_transport_options["visibility_timeout"] == 120


def test_rabbitmq_gets_quorum_queues_and_confirms_what_is_published(make_config: MakeConfig) -> None:
    config = make_config(CELERY_BROKER_URL="amqp://guest@localhost//")
    assert config.broker_transport_options["confirm_publish"]
    assert all(queue.queue_arguments["x-queue-type"] == "quorum" for queue in config.task_queues)
    assert "visibility_timeout" not in config.broker_transport_options


def test_a_malformed_address_is_told_in_one_sentence(make_config: MakeConfig) -> None:
    with pytest.raises(SettingsInvalid, match="Set CELERY_BROKER_URL to"):
        make_config(CELERY_BROKER_URL="kafka://localhost")


def test_beat_sends_no_retention_unless_somebody_switched_it_on(make_config: MakeConfig) -> None:
    assert "retention" not in make_config(REDIS_URL="redis://localhost/1").beat_schedule
    config = make_config(ENRICHMENT_THIN_AFTER_DAYS="30", ENRICHMENT_RETENTION_INTERVAL_S="600")
    entry = config.beat_schedule["retention"]
    # The scheduler signs what it sends for as long as it is valid.
    assert (entry["schedule"], entry["options"]["expires"]) == (600, 600)
    app = importlib.import_module("masterflow.tasks.app").app
    app.loader.import_default_modules()
    assert entry["task"] in app.tasks


@pytest.mark.parametrize(
    ("environment", "advice"),
    [
        ({"ENRICHMENT_ARCHIVE_AFTER_DAYS": "90"}, "Set ENRICHMENT_ARCHIVE_TO to the absolute path"),
        ({"ENRICHMENT_ARCHIVE_AFTER_DAYS": "90", "ENRICHMENT_ARCHIVE_TO": "here"}, "absolute path"),
        ({"ENRICHMENT_THIN_AFTER_DAYS": "0.5"}, "reports may still come"),
    ],
)
def test_retention_that_makes_no_sense_is_refused(
    make_config: MakeConfig, environment: dict[str, str], advice: str
) -> None:
    with pytest.raises(SettingsInvalid, match=advice):
        make_config(**environment)
