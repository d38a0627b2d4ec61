"""A backfill by hand: what was asked for, a bar while it goes on, and how it ends."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from masterflow.domain import InputInvalid
from masterflow.domain.clock import parse_time
from masterflow.repository.backfill.reads import Scope
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory
from masterflow.repository.feature_flag import FeatureFlag
from masterflow.repository.settings import RedisSettings
from masterflow.scripts.maintenance.backfill_outcome import Outcome
from masterflow.scripts.maintenance.backfill_search import Search
from masterflow.scripts.maintenance.backfill_ways import Direct, ThroughQueue, Way
from masterflow.scripts.terminal.failures import FAILED, fail
from masterflow.scripts.terminal.text import complain
from masterflow.tasks.backfill.catch_up import BackfillOptions
from masterflow.tasks.backfill.task import NEEDS_WORKER_KEYS
from masterflow.tasks.delivery.merging import Sessions
from masterflow.tasks.enqueue import QueueSettings, redis_client

_INTERRUPTED: Final = 130
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    scope: Scope
    flow_ids: list[UUID]
    options: BackfillOptions
    is_direct: bool


def run_backfill(order: Order, *, as_json: bool) -> None:
    """Do what was asked for and print what became of it; end the process unless all is well."""
    outcome = Outcome()
    try:
        asyncio.run(_run(order, outcome, shows_progress=sys.stderr.isatty() and not as_json))
    except KeyboardInterrupt:
        if not outcome.is_complete:
            complain("Interrupted; run it again to go on.")
    finally:
        outcome.show(as_json=as_json)
    if not outcome.is_complete:
        sys.exit(_INTERRUPTED)
    if not outcome.is_well:
        sys.exit(FAILED)


def beginning(text: str) -> datetime:
    """Return the time that `7d` or a date stands for.

    Raises:
        InputInvalid: it is neither.
    """
    try:
        if span := re.fullmatch(r"(\d{1,6})([mhdw])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        if at := parse_time(text):
            return at
    except OverflowError as error:
        raise InputInvalid(f"--since {text!r:.40} is before all time; pass --all.") from error
    raise InputInvalid(f"--since {text!r:.40} is no time; pass 12h, 7d, 2w, or a date like 2026-01-31.")


async def _run(order: Order, outcome: Outcome, *, shows_progress: bool) -> None:
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        stack.callback(lambda: setattr(outcome, "seconds", time.monotonic() - started))
        if not order.options.is_dry:
            await _require_enrichment(stack)
        engine = make_engine(DatabaseSettings(), pool_size=2, application_name="enrichment-backfill")
        stack.push_async_callback(engine.dispose)
        sessions = session_factory(engine)
        search = Search(sessions, order.scope)
        if not order.flow_ids:
            outcome.survey = await search.survey()
        total = len(order.flow_ids) or outcome.survey.behind
        bar = stack.enter_context(_bar(shows_progress=shows_progress))
        task = bar.add_task("Backfill", total=total)
        pages = _one_page(order.flow_ids) if order.flow_ids else search.behind()
        async for summary in _way(order, sessions).summaries(pages):
            outcome.summary += summary
            bar.advance(task, summary.looked_at)
        outcome.is_complete = True


async def _one_page(flow_ids: list[UUID]) -> AsyncIterator[list[UUID]]:
    yield flow_ids


def _way(order: Order, sessions: Sessions) -> Way:
    if order.is_direct:
        return Direct(sessions, order.scope, order.options)
    settings = QueueSettings()
    if settings.signing_keys and not settings.worker_keys:
        fail(NEEDS_WORKER_KEYS)
    return ThroughQueue(redis_client(settings), order.scope, order.options)


async def _require_enrichment(stack: AsyncExitStack) -> None:
    flag = FeatureFlag(RedisSettings())
    stack.push_async_callback(flag.close)
    if not await flag.is_enabled():
        fail(
            "Enrichment is switched off (MASTER_STATE_ENRICHMENT_ENABLED, or `flowctl flag`); use --dry-run."
        )


class _SpeedColumn(ProgressColumn):
    """Flows per second."""

    def render(self, task: Task) -> Text:
        """Return the speed as it is now."""
        return Text(f"{task.speed or 0:,.0f} flows/s")


def _bar(*, shows_progress: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _SpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shows_progress,
    )
