"""Master rows caught up with their child rows, some at a time, and a summary of what that did."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from masterflow.domain.children.evidence import weigh
from masterflow.domain.children.synthesis import Plan, plan_backfill
from masterflow.repository.backfill.reads import Pair, Scope, carry_out, read_pairs
from masterflow.repository.database import translated_errors
from masterflow.tasks.delivery.merging import Sessions, apply_in_halves

#: Flows of one transaction: so many that its statements cost little each, and few enough to lock their rows
#: for some milliseconds only.
SLICE: Final = 100

_MAX_LISTED: Final = 1_000

_logger = logging.getLogger(__name__)


class BackfillSummary(BaseModel):
    """What a backfill did, or as a dry run would do; summaries add up."""

    #: Flows whose master row now says more, and those that were looked at and lacked nothing.
    changed: int = 0
    unchanged: int = 0
    #: Of a dry run, instead of `changed`; of the first 1,000 flows, by id, what would be added.
    would_change: int = 0
    would_add: dict[str, list[str]] = {}
    #: What was added, or would be, by kind of event.
    added: dict[str, int] = {}
    #: Flow id to what kept the flow from being looked at; nothing is guessed.
    skipped: dict[str, str] = {}
    #: Flow id to reason.
    failed: dict[str, str] = {}

    @property
    def looked_at(self) -> int:
        """Return how many flows the summary is about."""
        counted = self.changed + self.unchanged + self.would_change
        return counted + len(self.skipped) + len(self.failed)

    def __add__(self, other: "BackfillSummary", /) -> "BackfillSummary":
        return BackfillSummary(
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            would_change=self.would_change + other.would_change,
            would_add=dict(islice((self.would_add | other.would_add).items(), _MAX_LISTED)),
            added=dict(Counter(self.added) + Counter(other.added)),
            skipped=self.skipped | other.skipped,
            failed=self.failed | other.failed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """How to catch up: whether the status may be raised, and whether to change anything at all."""

    repair_status: bool = False
    is_dry: bool = False


@dataclass(slots=True)
class _Plans:
    ready: list[Plan] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


async def catch_up(
    sessions: Sessions, flow_ids: Sequence[UUID], scope: Scope, options: BackfillOptions
) -> BackfillSummary:
    """Give these masters, at most `SLICE` of them, what their children prove, in one transaction.

    If Postgres refuses something, only the flow at fault fails. After DatabaseUnavailable nothing is
    certain; the same call may be repeated.
    """

    async def apply(part: Sequence[UUID]) -> BackfillSummary:
        async with translated_errors(), sessions.begin() as session:
            plans = _plan(part, await read_pairs(session, part, scope), options)
            if plans.ready and not options.is_dry:
                await carry_out(session, plans.ready)
        return _summary(plans, is_dry=options.is_dry)

    def refuse(flow_id: UUID, cause: str) -> BackfillSummary:
        _logger.error("Flow %s cannot be backfilled: %s", flow_id, cause)
        return BackfillSummary(failed={str(flow_id): cause})

    return await apply_in_halves(flow_ids, apply, refuse)


def _plan(flow_ids: Sequence[UUID], pairs: dict[UUID, list[Pair]], options: BackfillOptions) -> _Plans:
    plans = _Plans()
    for flow_id in flow_ids:
        found = pairs.get(flow_id, [])
        if len(found) != 1:
            plans.skipped[str(flow_id)] = "several children" if found else "no child of its tenant"
            continue
        [pair] = found
        try:
            evidence = weigh(pair.child)
            plans.ready.append(plan_backfill(evidence, pair.standing, repair_status=options.repair_status))
        except Exception as error:  # a document no test thought of must not hold up the others
            _logger.exception("The child of flow %s cannot be read", flow_id)
            plans.failed[str(flow_id)] = f"{type(error).__name__}: {error!s:.200}"
    return plans


def _summary(plans: _Plans, *, is_dry: bool) -> BackfillSummary:
    needed = [plan for plan in plans.ready if plan.is_needed]
    added: Counter[str] = Counter(event.kind for plan in needed for event in plan.events)
    added["phase_timed"] += sum(len(plan.times) for plan in needed)
    return BackfillSummary(
        changed=0 if is_dry else len(needed),
        would_change=len(needed) if is_dry else 0,
        would_add={str(plan.standing.flow_id): plan.summary() for plan in needed} if is_dry else {},
        unchanged=len(plans.ready) - len(needed),
        added=dict(+added),
        skipped=plans.skipped,
        failed=plans.failed,
    )
