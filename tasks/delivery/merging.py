"""Merge a batch in one transaction; if Postgres refuses a value in it, only the item at fault is left out."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import DatabaseUnavailable, TransactionConflict
from masterflow.domain.events import AnyEvent
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.merges import MergeOutcome, apply_events
from masterflow.repository.rights.row_security import check_reach
from masterflow.tasks.inbox.admission import DataRefused

Sessions = async_sessionmaker[AsyncSession]

# SQLSTATE classes that blame a value: data exception, broken constraint, program limit exceeded, and what a
# trigger of the application raises.
_BLAMES_DATA: Final = ("22", "23", "54", "P0")

_MOST_CONFLICTS: Final = 3

_logger = logging.getLogger(__name__)


class _Sum(Protocol):
    def __add__(self, other: Self, /) -> Self: ...


Item = TypeVar("Item")
Outcome = TypeVar("Outcome", bound=_Sum)


@dataclass(frozen=True, slots=True)
class Merged:
    """Which events are not in the rows now; all others are, and committed."""

    #: Flows without a row.
    missing: frozenset[UUID] = frozenset()
    #: Flows of another tenant.
    foreign: frozenset[UUID] = frozenset()
    refused: dict[UUID, DataRefused] = field(default_factory=dict)
    #: Flows whose row a row-level security policy may hide.
    hidden: frozenset[UUID] = frozenset()
    #: Flows whose row holds something that was asked, of them or by them.
    controlled: frozenset[UUID] = frozenset()

    def __add__(self, other: "Merged", /) -> "Merged":
        return Merged(
            self.missing | other.missing,
            self.foreign | other.foreign,
            self.refused | other.refused,
            self.hidden | other.hidden,
            self.controlled | other.controlled,
        )


async def merge(sessions: Sessions, events: Sequence[AnyEvent]) -> Merged:
    """Merge events into their rows and commit; after `DatabaseUnavailable`, merge all of them again.

    So it is where policies let our role reach no row at all, which is RightsMissing.
    """

    async def apply(part: Sequence[AnyEvent]) -> Merged:
        outcome = await _applied(sessions, part)
        skipped = DataRefused("A trigger of the master table skips the update of this flow's row.")
        refused = {event.event_id: skipped for event in part if event.flow_id in outcome.skipped}
        return Merged(outcome.missing, outcome.foreign, refused, outcome.hidden, outcome.controlled)

    def refuse(event: AnyEvent, cause: str) -> Merged:
        _logger.warning("Postgres refuses event %s: %s", event.event_id, cause)
        return Merged(refused={event.event_id: DataRefused(f"Postgres refuses the event: {cause}.")})

    return await apply_in_halves(events, apply, refuse)


async def _applied(sessions: Sessions, events: Sequence[AnyEvent]) -> MergeOutcome:
    """Apply events in a transaction of their own, again at once where another one came first."""
    for _ in range(_MOST_CONFLICTS):
        with suppress(TransactionConflict):
            return await _applied_once(sessions, events)
    return await _applied_once(sessions, events)


async def _applied_once(sessions: Sessions, events: Sequence[AnyEvent]) -> MergeOutcome:
    async with translated_errors(), sessions.begin() as session:
        outcome = await apply_events(session, events)
        if outcome.hidden:
            # Where no row at all can be reached, it is no matter of these flows: all wait for the policy.
            await check_reach(session)
        return outcome


async def apply_in_halves(
    items: Sequence[Item],
    apply: Callable[[Sequence[Item]], Awaitable[Outcome]],
    refuse: Callable[[Item, str], Outcome],
) -> Outcome:
    """Apply items together, or each half of them where a value is refused, down to the item at fault.

    Where it is not the data, DatabaseUnavailable; then nothing is certain, and all may be applied again.
    """
    try:
        return await apply(items)
    except (DBAPIError, ValueError) as error:
        cause = _blamed_value(error)
    if len(items) == 1:
        return refuse(items[0], cause)
    half = len(items) // 2
    first = await apply_in_halves(items[:half], apply, refuse)
    return first + await apply_in_halves(items[half:], apply, refuse)


def _blamed_value(error: DBAPIError | ValueError) -> str:
    """Return what Postgres says about the data.

    Raises:
        DatabaseUnavailable: it is not the data; a table may be missing, or a privilege.
    """
    if isinstance(error, ValueError):
        return f"{type(error).__name__}: {error!s:.200}"
    refusal = error.orig
    message = refusal.diag.message_primary if isinstance(refusal, psycopg.Error) else str(refusal)
    cause = f"{type(refusal).__name__}: {message!s:.200}"
    if not (getattr(refusal, "sqlstate", None) or "").startswith(_BLAMES_DATA):
        raise DatabaseUnavailable(f"Postgres cannot merge ({cause}); `flowctl doctor` says why.") from error
    return cause
