"""What the outbox reads from the environment."""

from typing import Literal

from pydantic import Field

from masterflow.domain.life.spool import SpoolSettings


class OutboxSettings(SpoolSettings):
    """Where events wait until a worker confirms them, how many, and how long."""

    outbox: Literal["on", "off"] = Field(
        "on",
        validation_alias="ENRICHMENT_OUTBOX",
        description="on, or off to keep reports in memory and send none, in tests of your own code",
    )
    max_bytes: int = Field(
        256_000_000,
        ge=1,
        validation_alias="ENRICHMENT_OUTBOX_MAX_BYTES",
        description="the most bytes that one process may keep",
    )
    segment_bytes: int = Field(
        1_000_000,
        ge=1,
        validation_alias="ENRICHMENT_SEGMENT_BYTES",
        description="the bytes after which a file is closed and the next one begun",
    )
    fsync: Literal["interval", "always", "never"] = Field(
        "interval",
        validation_alias="ENRICHMENT_FSYNC",
        description="interval (every 200 ms), always (within each hook) or never",
    )
    confirm_timeout_s: float = Field(
        30,
        gt=0,
        validation_alias="ENRICHMENT_CONFIRM_TIMEOUT_S",
        description="seconds above 0 after which an unconfirmed batch is sent again",
    )
    exit_timeout_s: float = Field(
        2,
        ge=0,
        validation_alias="ENRICHMENT_EXIT_TIMEOUT_S",
        description="the most seconds that a process waits at its end for confirmations",
    )
    is_strict: bool = Field(
        default=False,
        validation_alias="ENRICHMENT_STRICT",
        description="true to let hooks raise on nonsense, in tests of your own code",
    )

    @property
    def is_off(self) -> bool:
        """Return whether reports only stay in memory."""
        return self.outbox == "off"
