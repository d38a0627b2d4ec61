"""What others say of a flow: that its process died, that it lives, that a deadline passed."""

from datetime import UTC, datetime
from typing import ClassVar, Final, Literal
from uuid import UUID, uuid5

from masterflow.domain.events.event import Event, Lane
from masterflow.domain.payload.answers import ShortName
from masterflow.domain.payload.fields import Phase, UtcTime

#: How a death came to be known: somebody found its outbox's lock free, the process said so itself as it
#: ended, or nothing was heard for too long.
LostCause = Literal["witnessed", "goodbye", "silent"]

# Any UUID will do, so long as it stays the same.
_DEADLINES: Final = UUID("3f1f6a7c-5c0e-4b0e-9d57-0a4b8c1e7d21")


def deadline_id(flow_id: UUID, phase: str | None, deadline_at: datetime) -> UUID:
    """Return the id of the event that this deadline passed; `phase` is None for the whole flow."""
    return uuid5(_DEADLINES, f"{flow_id}|{deadline_at.astimezone(UTC).isoformat()}|{phase or ''}")


class FlowLost(Event):
    """The process that held the flow is gone, or was not heard of for too long.

    It happened when that process was last heard of, not when somebody found out: whatever the flow reports
    from a later time shows that it lives.
    """

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["flow_lost"] = "flow_lost"
    cause: LostCause
    #: The id of the sender in that process.
    holder: ShortName
    host: ShortName
    last_sign_at: UtcTime
    phase: Phase | None = None


class FlowSeen(Event):
    """A process that holds the flow gives signs of life again."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["flow_seen"] = "flow_seen"
    holder: ShortName


class DeadlinePassed(Event):
    """A phase, or the whole flow, was still open at its deadline; it happened at the deadline.

    Whoever finds out says it under the same id (`deadline_id`), so it is told once.
    """

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["deadline_passed"] = "deadline_passed"
    #: None for the whole flow.
    phase: Phase | None = None
    deadline_at: UtcTime
    #: When the attempt of the phase began; of the flow it may be unknown.
    started_at: UtcTime | None = None
