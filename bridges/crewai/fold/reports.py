"""What the fold says: reports with ids that follow from the records, so that a repetition changes nothing."""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a kickoff, for the signs of life of its process."""

    #: The id of the event that it started with.
    kickoff: str
    flow_id: str
    flow_type: str
    #: Its code runs: it has neither ended nor waits for a human.
    is_running: bool
    #: Nothing more of it is to come: a flow that pauses is resumed by another kickoff.
    is_over: bool
    #: The phase that started last, and since when each that is open is, in microseconds since 1970.
    phase: str | None
    phases: Mapping[str, int]


#: What the fold tells.
Told = Report | Usage | Standing


def id_of(record_id: str, what: str) -> UUID:
    """Return the id of what a record makes happen."""
    return uuid5(_NAMESPACE, f"{record_id}:{what}")
