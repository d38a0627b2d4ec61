"""What the periodic backfill must know."""

from pydantic import Field

from masterflow.domain.settings import Settings


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
