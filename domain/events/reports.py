"""What an orchestrator says of its flow, as it happens."""

from collections.abc import Set
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from masterflow.domain.errors import InputInvalid
from masterflow.domain.events.event import CountedEvent, Event, Lane
from masterflow.domain.payload.fields import (
    USAGE_SEPARATOR,
    Configuration,
    Details,
    Entry,
    ErrorText,
    JsonObject,
    Metadata,
    Milliseconds,
    Name,
    Phase,
    PhaseStatus,
    Updates,
    UsageName,
)
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FlowStatus, flow_status
from masterflow.domain.usage.amounts import Usage, UsageCounted

#: Keys of `flow_metadata` that only the merge writes, and that callers may not name.
RESERVED_METADATA_KEYS: Final = frozenset({"_enrichment", "phase_transitions"})

#: Key of `flow_metadata` that holds the newest progress snapshot.
PROGRESS_KEY: Final = "last_progress_update"

#: Key of `flow_metadata` and of `agent_performance_metrics` under which usage stands.
USAGE_KEY: Final = "usage"

#: Key of `flow_metadata` that says which process is gone that held the flow:
#: `{"cause", "holder", "host", "last_sign_at", "phase"}`.
LOST_KEY: Final = "lost"

#: Key of `flow_metadata` with the deadlines that passed: `[{"id", "timestamp", "phase", "started_at"}]`.
OVERDUE_KEY: Final = "overdue"

#: Key of `flow_metadata` with what was asked of the flow, and by it: `[{"id", "timestamp", "kind", ...}]`.
CONTROL_KEY: Final = "control"

#: Keys of `flow_metadata` under which our own facts stand; a caller's go to `reported_<key>`.
_OWN_KEYS: Final = frozenset({USAGE_KEY, LOST_KEY, OVERDUE_KEY, CONTROL_KEY})


def _known_type(word: str) -> str:
    if word not in FLOW_TYPES:
        raise InputInvalid(f"{word!r:.80} is no flow type; use one of {', '.join(FLOW_TYPES)}.")
    return word


def without_own_keys(entry: object) -> object:
    """Set aside a caller's own `id` and `timestamp`, which are the event's in the row."""
    if not isinstance(entry, dict) or not ("id" in entry or "timestamp" in entry):
        return entry
    moved = {"id": "reported_id", "timestamp": "reported_timestamp"}
    return {moved.get(key, key): value for key, value in entry.items()}


def _without_usage(updates: JsonObject) -> JsonObject:
    return _moved(updates, {USAGE_KEY})


def _moved(updates: JsonObject, own: Set[str]) -> JsonObject:
    """Set aside a caller's own keys, where our facts of the same name stand in the row."""
    if own.isdisjoint(updates):
        return updates
    return {f"reported_{key}": updates[key] for key in sorted(own & updates.keys())} | {
        key: value for key, value in updates.items() if key not in own
    }


def _without_reserved_keys(updates: JsonObject) -> JsonObject:
    for key in RESERVED_METADATA_KEYS & updates.keys():
        raise InputInvalid(f"The key {key!r} of flow_metadata is kept by the merge; use another one.")
    return _moved(updates, _OWN_KEYS)


class PhaseTransitioned(Event):
    """A phase entered a status; `processing` means that it started."""

    lane: ClassVar[Lane] = "vital"

    kind: Literal["phase_transitioned"] = "phase_transitioned"
    phase: Phase
    status: PhaseStatus
    metadata: Metadata = Field(default_factory=dict)


class PhaseTimed(CountedEvent):
    """A phase took this long."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["phase_timed"] = "phase_timed"
    phase: Phase
    execution_time_ms: Milliseconds

    @staticmethod
    def count_of(fields: Any) -> str:
        """Return the count of this phase's attempts."""
        return f"attempts:{fields.phase}"


class AgentCollaborated(Event):
    """Agents did or exchanged something, in the caller's own words."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["agent_collaborated"] = "agent_collaborated"
    entry: Annotated[Entry, BeforeValidator(without_own_keys)]


class MemoryMeasured(Event):
    """Memory metrics were taken."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["memory_measured"] = "memory_measured"
    metrics: Updates


class AgentPerformanceMeasured(Event):
    """Performance metrics were taken, per agent or flat."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["agent_performance_measured"] = "agent_performance_measured"
    metrics: Annotated[Updates, AfterValidator(_without_usage)]


class ErrorOccurred(Event):
    """A phase met an error."""

    lane: ClassVar[Lane] = "vital"

    kind: Literal["error_occurred"] = "error_occurred"
    phase: Phase
    error: ErrorText
    details: Details = Field(default_factory=dict)


class FlowRetried(CountedEvent):
    """Something of the flow was tried again."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["flow_retried"] = "flow_retried"

    @staticmethod
    def count_of(fields: Any) -> str:  # noqa: ARG004
        """Return the one count of retries."""
        return "retries"


class MetadataUpdated(Event):
    """The orchestrator noted something about the flow."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["metadata_updated"] = "metadata_updated"
    updates: Annotated[Updates, AfterValidator(_without_reserved_keys)]


class StatusChanged(Event):
    """The flow entered a status; `reopens` marks an explicit retry or resume of a failed flow."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["status_changed"] = "status_changed"
    status: Annotated[
        FlowStatus, BeforeValidator(lambda word: flow_status(word) if isinstance(word, str) else word)
    ]
    reopens: bool = False
    metadata: Annotated[Updates, AfterValidator(_without_reserved_keys)] = Field(default_factory=dict)

    @property
    def row_metadata(self) -> JsonObject:
        """Return the metadata as it stands in the row, where `progress_data` is the newest snapshot."""
        return {
            PROGRESS_KEY if key == "progress_data" else key: value for key, value in self.metadata.items()
        }


class ProgressReported(Event):
    """The progress tracker took a snapshot of the flow."""

    lane: ClassVar[Lane] = "detail"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["progress_reported"] = "progress_reported"
    snapshot: Metadata


class FlowDeclared(Event):
    """A flow that may have no row yet said what it is; of several, the earliest counts."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["flow_declared"] = "flow_declared"
    flow_type: Annotated[str, AfterValidator(_known_type)]
    flow_name: Name | None = None
    flow_configuration: Configuration = Field(default_factory=dict)


class UsageReported(Event):
    """An agent used a model this much; `counted` says how much its process has counted with it."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["usage_reported"] = "usage_reported"
    agent: UsageName
    model: UsageName
    used: Usage
    counted: UsageCounted

    @staticmethod
    def name_of(fields: Any) -> str:
        """Return what the bookkeeping calls this agent's use of this model; the whole flow's has no name."""
        return f"{fields.agent}{USAGE_SEPARATOR}{fields.model}"
