"""What the repository reads from the environment."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict
from sqlalchemy import URL

from masterflow.domain.addresses import RedisAddressSettings
from masterflow.domain.settings import Settings
from masterflow.domain.signing.settings import SigningSettings
from masterflow.repository.database_url import DRIVER, names_pgbouncer, postgres_url

#: What AES-256 takes.
CACHE_KEY_BYTES = 32


def _cache_keys(value: object) -> object:
    return tuple(_cache_key(part.strip()) for part in value.split(",")) if isinstance(value, str) else value


def _cache_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if len(key) != CACHE_KEY_BYTES:
        raise ValueError("another length")
    return key


class DatabaseSettings(Settings):
    """Where Postgres is, and how long to wait for it; its repr shows no password."""

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)

    database_url: Annotated[URL, NoDecode, BeforeValidator(postgres_url)] = Field(
        validation_alias="DATABASE_URL",
        description=f"{DRIVER}://user:password@host:5432/database",
    )
    #: True behind pgbouncer in transaction mode: no prepared statements, no settings of a session.
    pgbouncer: bool = Field(
        default=False,
        validation_alias="ENRICHMENT_PGBOUNCER",
        description="true behind pgbouncer, else false",
    )
    connect_timeout_s: int = Field(
        5,
        ge=1,
        validation_alias="ENRICHMENT_CONNECT_TIMEOUT_S",
        description="whole seconds, at least 1",
    )
    lock_timeout_s: float = Field(
        5,
        gt=0,
        validation_alias="ENRICHMENT_LOCK_TIMEOUT_S",
        description="seconds above 0",
    )
    statement_timeout_s: float = Field(
        30,
        gt=0,
        validation_alias="ENRICHMENT_STATEMENT_TIMEOUT_S",
        description="seconds above 0",
    )
    idle_timeout_s: float = Field(
        60,
        gt=0,
        validation_alias="ENRICHMENT_IDLE_TIMEOUT_S",
        description="seconds above 0",
    )

    @model_validator(mode="before")
    @classmethod
    def _pgbouncer_as_the_url_says(cls, values: dict[str, Any]) -> dict[str, Any]:
        url = values.get("database_url") or values.get("DATABASE_URL")
        if names_pgbouncer(url) and not {"pgbouncer", "ENRICHMENT_PGBOUNCER"} & values.keys():
            return {**values, "pgbouncer": True}
        return values


class FlagSettings(Settings):
    """Whether enrichment is on where nothing in Redis says otherwise."""

    enrichment_enabled: bool = Field(
        default=True,
        validation_alias="MASTER_STATE_ENRICHMENT_ENABLED",
        description="true or false (1 or 0, yes or no, on or off)",
    )


class RedisSettings(FlagSettings, SigningSettings, RedisAddressSettings):
    """Where Redis is, what encrypts the cache in it, the flag in it, and whose words there count."""

    #: The first one encrypts, all of them decrypt; without a key nothing is ever cached.
    cache_keys: Annotated[tuple[bytes, ...], NoDecode, BeforeValidator(_cache_keys)] = Field(
        (),
        repr=False,
        validation_alias="ENRICHMENT_CACHE_KEYS",
        description="a comma list of keys, each of them 32 random bytes as urlsafe base64",
    )
