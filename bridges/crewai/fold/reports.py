"""What the fold says: reports with ids that follow from the records, so that a repetition changes nothing."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from masterflow.domain.events import Event

_NAMESPACE: Final = UUID("63726577-6169-5666-8f6c-642d69647331")


@dataclass(frozen=True, slots=True)
class Report:
    """An event of a flow, for `tracker.report`."""

    kind: type[Event]
    flow_id: str
    event_id: UUID
    #: Microseconds since 1970.
    at: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """One call of a model, for `tracker.report_usage`, which counts for itself."""

    flow_id: str
    agent: str
    model: str
    input_tokens: int
    output_tokens: int


def id_of(record_id: str, what: str) -> UUID:
    """Return the id of what a record makes happen."""
    return uuid5(_NAMESPACE, f"{record_id}:{what}")
