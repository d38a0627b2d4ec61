"""Whether enrichment is on, and what was skipped while it was off."""

import asyncio
from datetime import UTC, datetime

from masterflow.repository.feature_flag import FeatureFlag, FlagState
from masterflow.repository.redis.client import RedisUnavailable, redis_link
from masterflow.repository.redis.skipped import SkippedTotal, read_skipped_total
from masterflow.repository.settings import RedisSettings
from masterflow.status.durations import lasting
from masterflow.tasks.check_result import CheckResult


def check_flag() -> list[CheckResult]:
    """Return what was found about the flag; nothing while Redis is away."""
    try:
        return [flag_result(*asyncio.run(_read()), now=datetime.now(UTC))]
    except RedisUnavailable:
        return []


def flag_result(state: FlagState, skipped: SkippedTotal, *, now: datetime) -> CheckResult:
    """Return whether enrichment is on, and how many events were skipped within 30 days."""
    if state.enabled and not skipped.events:
        return CheckResult("enrichment")
    last_s = max(0.0, (now - (skipped.last_at or now)).total_seconds())
    count = f"{skipped.events} events were skipped within 30 days, the last one {lasting(last_s * 1000)} ago"
    if state.enabled:
        advice = "`flowctl flow show` says of which flows; `flowctl backfill` takes what child rows prove"
        return CheckResult("enrichment", "note", f"While enrichment was off, {count}", advice)
    by = f"`flowctl flag {state.override}`" if state.override else "MASTER_STATE_ENRICHMENT_ENABLED"
    found = f"Enrichment is off by {by}" + (f"; {count}" if skipped.events else "")
    return CheckResult("enrichment", "note", found, "switch it on with `flowctl flag on`")


async def _read() -> tuple[FlagState, SkippedTotal]:
    flag = FeatureFlag(RedisSettings())
    try:
        async with redis_link() as link:
            return await flag.show(), await read_skipped_total(link)
    finally:
        await flag.close()
