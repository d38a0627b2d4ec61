"""A batch in one transaction; if Postgres refuses a value in it, only the event at fault is set aside."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.domain.events import AnyEvent
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.merges import apply_events
from masterflow.tasks.inbox.refusals import DataRefused

# SQLSTATE classes that blame a value: data exception, broken constraint, program limit exceeded.
_BLAMES_DATA: Final = ("22", "23", "54")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """Which events are not in the rows now; all others are, and committed."""

    #: Flows without a row.
    missing: frozenset[UUID] = frozenset()
    #: Flows of another tenant.
    foreign: frozenset[UUID] = frozenset()
    refused: dict[UUID, DataRefused] = field(default_factory=dict)

    def __or__(self, other: "Merged") -> "Merged":
        missing, foreign = self.missing | other.missing, self.foreign | other.foreign
        return Merged(missing, foreign, self.refused | other.refused)


async def merge(sessions: async_sessionmaker[AsyncSession], events: Sequence[AnyEvent]) -> Merged:
    """Merge events into their rows and commit; after `DatabaseUnavailable`, merge all of them again."""
    try:
        async with translated_errors(), sessions.begin() as session:
            outcome = await apply_events(session, events)
    except (DBAPIError, ValueError) as error:
        return await _merge_without_culprit(sessions, events, _finding(error))
    return Merged(outcome.missing, outcome.foreign)


async def _merge_without_culprit(
    sessions: async_sessionmaker[AsyncSession], events: Sequence[AnyEvent], finding: str
) -> Merged:
    if len(events) == 1:
        _logger.warning("Postgres refuses event %s: %s", events[0].event_id, finding)
        return Merged(refused={events[0].event_id: DataRefused(f"Postgres refuses the event: {finding}.")})
    half = len(events) // 2
    return await merge(sessions, events[:half]) | await merge(sessions, events[half:])


def _finding(error: DBAPIError | ValueError) -> str:
    """Return what Postgres says about the data.

    Raises:
        DatabaseUnavailable: it is not the data; a table may be missing, or a privilege.
    """
    if isinstance(error, ValueError):
        return f"{type(error).__name__}: {error!s:.200}"
    cause = error.orig
    diagnosis = cause.diag.message_primary if isinstance(cause, psycopg.Error) else str(cause)
    finding = f"{type(cause).__name__}: {diagnosis!s:.200}"
    if not (getattr(cause, "sqlstate", None) or "").startswith(_BLAMES_DATA):
        raise DatabaseUnavailable(f"Postgres cannot merge ({finding}); is the database set up?") from error
    return finding
