"""What senders, workers and beat must know: broker, Redis, signing keys, and how long workers wait."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    model_validator,
)
from pydantic_settings import NoDecode

from masterflow.domain.addresses import BrokerAddress, RedisAddressSettings
from masterflow.domain.errors import SettingsInvalid
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.settings import SettingRefused, Settings
from masterflow.domain.signing.settings import SigningKeys, SigningSettings

__all__ = [
    "BackfillSettings",
    "QueueSettings",
    "RetentionSettings",
    "SigningKeys",
    "WatchSettings",
    "WorkerSettings",
]


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _known_type(word: str) -> str:
    if word not in FLOW_TYPES:
        raise SettingRefused(f"{word!r:.80} is no flow type; there are {', '.join(FLOW_TYPES)}")
    return word


FlowType = Annotated[str, AfterValidator(_known_type)]


def _broker_url(url: str) -> str:
    BrokerAddress.parse(url)
    return url


class QueueSettings(SigningSettings, RedisAddressSettings):
    """Where messages and confirmations travel; its repr shows no password."""

    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field(
        repr=False,
        validation_alias="CELERY_BROKER_URL",
        description="redis://, rediss://, unix://, sentinel://, amqp:// or amqps://user:password@host:port/...",
    )

    @model_validator(mode="before")
    @classmethod
    def _broker_is_redis_by_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "broker_url" in values or "CELERY_BROKER_URL" in values:
            return values
        default = cls.model_fields["redis_url"].default
        redis_url = values.get("redis_url") or values.get("REDIS_URL") or default
        try:
            BrokerAddress.parse(redis_url)
        except SettingRefused:
            redis_url = default  # REDIS_URL is what is refused.
        return {**values, "broker_url": redis_url}

    @property
    def broker(self) -> BrokerAddress:
        """Return what the broker's address says."""
        return BrokerAddress.parse(self.broker_url)


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
    #: Celery's: whoever writes to the broker could then end a worker, or change what it takes.
    remote_control: bool = Field(
        default=False,
        validation_alias="ENRICHMENT_REMOTE_CONTROL",
        description="true or false",
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


def _zero_or_a_day(days: float) -> float:
    if 0 < days < 1:
        raise SettingRefused("of a flow that ended today, reports may still come")
    return days


Days = Annotated[float, AfterValidator(_zero_or_a_day)]


class RetentionSettings(Settings):
    """What becomes of flows that ended long ago; by default nothing."""

    archive_after_days: Days = Field(
        0,
        ge=0,
        le=36_500,
        validation_alias="ENRICHMENT_ARCHIVE_AFTER_DAYS",
        description="days from 1 on, or 0 to leave rows where they are",
    )
    archive_to: Path | None = Field(
        None,
        validation_alias="ENRICHMENT_ARCHIVE_TO",
        description="the absolute path of a folder for archives, where ENRICHMENT_ARCHIVE_AFTER_DAYS is set",
    )
    thin_after_days: Days = Field(
        0,
        ge=0,
        le=36_500,
        validation_alias="ENRICHMENT_THIN_AFTER_DAYS",
        description="days from 1 on, or 0 to leave rows whole",
    )
    interval_s: float = Field(
        3_600,
        ge=60,
        validation_alias="ENRICHMENT_RETENTION_INTERVAL_S",
        description="seconds, at least 60",
    )

    @model_validator(mode="after")
    def _knows_where(self) -> Self:
        if (self.archive_after_days and self.archive_to is None) or (
            self.archive_to is not None and not self.archive_to.is_absolute()
        ):
            raise SettingsInvalid(
                "Set ENRICHMENT_ARCHIVE_TO to the absolute path of a folder for archives, as"
                " ENRICHMENT_ARCHIVE_AFTER_DAYS wants one."
            )
        return self

    @property
    def is_on(self) -> bool:
        """Return whether beat has anything to send."""
        return bool(self.archive_after_days or self.thin_after_days)


class TypeDeadlines(BaseModel):
    """How long flows of one type may take, and each of their phases, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: PositiveFloat | None = None
    phases: dict[str, PositiveFloat] = {}


class WatchSettings(Settings):
    """When flows count as lost and overdue."""

    lost_after_s: float = Field(
        600,
        ge=15,
        le=43_200,
        validation_alias="ENRICHMENT_LOST_AFTER_S",
        description="seconds from 15 to 43200 without a sign of life after which a flow is lost",
    )
    fail_lost_after_s: float = Field(
        0,
        ge=0,
        le=31_536_000,
        validation_alias="ENRICHMENT_FAIL_LOST_AFTER_S",
        description="seconds after which a lost flow is failed, or 0 to leave it as it is",
    )
    deadlines: Annotated[dict[FlowType, TypeDeadlines], NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        validation_alias="ENRICHMENT_DEADLINES",
        description='JSON {"<flow type>": {"flow": seconds, "phases": {"<phase>": seconds}}}',
    )
