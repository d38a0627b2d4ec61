"""Which flows of a list are meant, and in which order they come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from masterflow.domain.fleet.facts import ENDED
from masterflow.domain.fleet.matching import NOTHING_COUNTED, Counted
from masterflow.domain.liveness import OPEN_STATUSES, Liveness
from masterflow.domain.statuses import ACTIVE_STATUSES

#: What the list is sorted by: the newest come first, the last changed, the longest, those with the most
#: errors, the dearest.
Sort = Literal["created", "changed", "duration", "errors", "cost"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFilter:
    """Which flows are meant; what is None or empty does not matter."""

    statuses: tuple[str, ...] = ()
    flow_type: str | None = None
    flow_id: UUID | None = None
    #: Where it is, as written or as shown.
    phase: str | None = None
    user_id: str | None = None
    #: Created then or later, and before then.
    since: datetime | None = None
    until: datetime | None = None
    #: Part of a name, an id or a user, in any case.
    text: str | None = None
    #: How it stands with whoever works on them: one of these.
    liveness: tuple[Liveness, ...] = ()
    is_overdue: bool = False
    is_waiting: bool = False
    #: Keys of `flow_metadata`, or paths of them with dots, and what they hold as text.
    metadata: tuple[tuple[str, str], ...] = ()
    #: What a number of the overview counts.
    counted: Counted = NOTHING_COUNTED

    @property
    def is_slow(self) -> bool:
        """Return whether no index helps to find such flows."""
        return bool(
            self.phase
            or self.text
            or "lost" in self.liveness
            or self.is_overdue
            or self.is_waiting
            or self.metadata
            or self.counted
        )

    @property
    def meant_statuses(self) -> tuple[str, ...] | None:
        """Return the statuses that such flows have; None if any will do."""
        narrowed: list[frozenset[str]] = []
        if self.statuses:
            narrowed.append(frozenset(self.statuses))
        if self.liveness:
            narrowed.append(OPEN_STATUSES)
        if self.is_overdue or self.is_waiting:
            narrowed.append(frozenset(ACTIVE_STATUSES))
        if self.counted.ended:
            narrowed.append(frozenset(ENDED))
        return tuple(sorted(frozenset.intersection(*narrowed))) if narrowed else None

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what the statements of the list are told of it, besides how it stands with its process."""
        statuses = self.meant_statuses
        return {
            "statuses": None if statuses is None else list(statuses),
            "flow_type": self.flow_type,
            "flow_id": self.flow_id,
            "user_id": self.user_id,
            "phase": self.phase,
            "since": self.since,
            "until": self.until,
            "text": self.text,
            "is_lost": "lost" in self.liveness,
            "is_overdue": self.is_overdue,
            "is_waiting": self.is_waiting,
            "metadata_keys": [key for key, _ in self.metadata],
            "metadata_values": [value for _, value in self.metadata],
            "has_errors": self.counted.of_errors,
            "has_times": self.counted.of_times,
        }
