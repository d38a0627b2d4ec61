"""What senders, workers and beat must know: broker, Redis, signing keys, and how long workers wait."""

import json
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import NoDecode

from masterflow.domain.sentinels import SentinelAddress
from masterflow.domain.settings import Settings

_REDIS_SCHEMES: Final = ("redis", "rediss", "sentinel")
_BROKER_SCHEMES: Final = (*_REDIS_SCHEMES, "amqp", "amqps")

#: Per client account, its keys by id: the first one signs, all of them verify.
SigningKeys = dict[UUID, dict[str, Annotated[SecretStr, Field(min_length=16)]]]


def _redis_url(url: str) -> str:
    return _url_of(_REDIS_SCHEMES, url)


def _broker_url(url: str) -> str:
    return _url_of(_BROKER_SCHEMES, url)


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _url_of(schemes: tuple[str, ...], url: str) -> str:
    if urlsplit(url).scheme not in schemes:
        raise ValueError("another scheme")
    SentinelAddress.find(url)
    return url


class QueueSettings(Settings):
    """Where messages and confirmations travel; its repr shows no password."""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "redis://localhost:6379/0",
        repr=False,
        validation_alias="REDIS_URL",
        description="redis://, rediss:// or sentinel://host:port/db",
    )
    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field(
        repr=False,
        validation_alias="CELERY_BROKER_URL",
        description="redis://, rediss://, sentinel://, amqp:// or amqps://host:port/...",
    )
    #: The group that a sentinel:// address leads to.
    sentinel_master: Annotated[str, StringConstraints(min_length=1)] = Field(
        "mymaster",
        validation_alias="ENRICHMENT_SENTINEL_MASTER",
        description="the name of the Sentinel group",
    )
    signing_keys: Annotated[SigningKeys, NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        repr=False,
        validation_alias="ENRICHMENT_SIGNING_KEYS",
        description='JSON {"<client account id>": {"<key id>": "<16 characters or more>"}}, newest key first',
    )

    @model_validator(mode="before")
    @classmethod
    def _broker_is_redis_by_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "broker_url" in values or "CELERY_BROKER_URL" in values:
            return values
        redis_url = (
            values.get("redis_url") or values.get("REDIS_URL") or cls.model_fields["redis_url"].default
        )
        return {**values, "broker_url": redis_url}


class WorkerSettings(Settings):
    """How patient a worker is, and how much it keeps."""

    #: How long the events of a flow without a row wait for it.
    flow_grace_s: float = Field(
        60,
        ge=0,
        le=86_400,
        validation_alias="ENRICHMENT_FLOW_GRACE_S",
        description="seconds, at most 86400",
    )
    #: How many dead letters are kept; of more, the oldest are dropped and counted.
    max_dead_letters: int = Field(
        10_000,
        ge=1,
        validation_alias="ENRICHMENT_MAX_DEAD_LETTERS",
        description="a whole number above 0",
    )
    backfill_interval_s: float = Field(
        300,
        gt=0,
        validation_alias="ENRICHMENT_BACKFILL_INTERVAL_S",
        description="seconds above 0",
    )


class BackfillSettings(Settings):
    """Which flows the periodic backfill looks at."""

    #: Older flows are for scripts/maintenance/backfill_master_state_from_child.py.
    window_days: float = Field(
        7,
        gt=0,
        le=36_500,
        validation_alias="ENRICHMENT_BACKFILL_WINDOW_DAYS",
        description="days above 0",
    )
