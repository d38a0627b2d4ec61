"""What a worker must know beyond the queue and the database."""

from pydantic import Field

from masterflow.domain.settings import Settings


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
