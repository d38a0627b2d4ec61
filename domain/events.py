"""Everything that can happen to a flow, one frozen model each, told apart by `kind`."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from masterflow.domain.clock import clock, parse_time, stamp_of, to_microseconds, uuid7
from masterflow.domain.counting import Counted
from masterflow.domain.errors import InputInvalid
from masterflow.domain.ids import flow_uuid
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
    UtcTime,
)
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FlowStatus, flow_status
from masterflow.domain.tenant import FlowContext, UserId
from masterflow.domain.usage.amounts import Usage, UsageCounted

#: The newest version of the event format that this code writes and reads.
SCHEMA_VERSION: Final = 4

#: Keys of `flow_metadata` that only the merge writes.
RESERVED_METADATA_KEYS: Final = frozenset({"_enrichment", "phase_transitions"})

#: Key of `flow_metadata` that holds the newest progress snapshot.
PROGRESS_KEY: Final = "last_progress_update"

#: Key of `flow_metadata` and of `agent_performance_metrics` under which usage stands.
USAGE_KEY: Final = "usage"

#: What an outbox that is full drops last, and what it drops before.
Lane = Literal["vital", "detail"]


def _known_type(word: str) -> str:
    if word not in FLOW_TYPES:
        raise InputInvalid(f"{word!r:.80} is no flow type; use one of {', '.join(FLOW_TYPES)}.")
    return word


def _without_own_keys(entry: object) -> object:
    """Set aside a caller's own `id` and `timestamp`, which are the event's in the row."""
    if not isinstance(entry, dict) or not ("id" in entry or "timestamp" in entry):
        return entry
    moved = {"id": "reported_id", "timestamp": "reported_timestamp"}
    return {moved.get(key, key): value for key, value in entry.items()}


def _without_usage(updates: JsonObject) -> JsonObject:
    """Set aside a caller's own `usage`, where what is counted stands in the row."""
    if USAGE_KEY not in updates:
        return updates
    return {f"reported_{USAGE_KEY}": updates[USAGE_KEY]} | {
        key: value for key, value in updates.items() if key != USAGE_KEY
    }


def _without_reserved_keys(updates: JsonObject) -> JsonObject:
    for key in RESERVED_METADATA_KEYS & updates.keys():
        raise InputInvalid(f"The key {key!r} of flow_metadata is kept by the merge; use another one.")
    return _without_usage(updates)


class Event(BaseModel):
    """Something that happened to one flow; it carries its own id, so repeating it changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: False for what still is written while enrichment is switched off.
    is_enrichment: ClassVar[bool] = True

    #: Each kind says its own; a class without one cannot be made.
    lane: ClassVar[Lane]

    event_id: UUID
    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    user_id: UserId
    occurred_at: UtcTime
    schema_version: Literal[1, 2, 3, 4] = SCHEMA_VERSION

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a kind that says no lane.

        Raises:
            TypeError: it has none of its own.
        """
        if "lane" not in cls.__dict__:
            raise TypeError(f'{cls.__name__} says no lane; give it `lane: ClassVar[Lane] = "detail"`.')

    @property
    def stamp(self) -> str:
        """Return the event's place in time as 48 characters that sort as text: microseconds, then id."""
        return stamp_of(to_microseconds(self.occurred_at), self.event_id)

    @property
    def timestamp(self) -> str:
        """Return `occurred_at` as it stands in the row, always 32 characters."""
        return self.occurred_at.isoformat(timespec="microseconds")


class CountedEvent(Event):
    """An event of which the row says how many there were.

    One that its process numbered counts once however often and however late it comes; one without a
    number, such as a repository call, by its id within the newest 256 of its kind.
    """

    lane: ClassVar[Lane] = "detail"

    counted: Counted | None = None

    @staticmethod
    def count_of(fields: Any) -> str:
        """Return the name of the count that an event of these fields belongs to."""
        raise NotImplementedError


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
    entry: Annotated[Entry, BeforeValidator(_without_own_keys)]


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


AnyEvent = Annotated[
    PhaseTransitioned
    | PhaseTimed
    | AgentCollaborated
    | MemoryMeasured
    | AgentPerformanceMeasured
    | ErrorOccurred
    | FlowRetried
    | MetadataUpdated
    | StatusChanged
    | ProgressReported
    | FlowDeclared
    | UsageReported,
    Field(discriminator="kind"),
]

_any_event: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


EventType = TypeVar("EventType", bound=Event)


def new_event(
    kind: type[EventType],
    context: FlowContext,
    flow_id: UUID | str,
    *,
    event_id: UUID | str | None = None,
    occurred_at: datetime | None = None,
    **fields: Any,
) -> EventType:
    """Make the event of something that happens now, or happened at `occurred_at`.

    A collaboration entry that brings its own readable `timestamp` happened then.

    Raises:
        InputInvalid: an id or a field is malformed; the message names it.
    """
    entry = fields.get("entry")
    if occurred_at is None and isinstance(entry, Mapping) and "timestamp" in entry:
        occurred_at = parse_time(entry["timestamp"])
        if occurred_at is not None:
            fields["entry"] = {key: value for key, value in entry.items() if key != "timestamp"}
    flow = flow_uuid(flow_id)
    at = occurred_at if occurred_at is not None else clock.tick(flow)
    made_id = event_id if event_id is not None else uuid7(time.time_ns() // 1000)
    try:
        return kind(event_id=made_id, flow_id=flow, occurred_at=at, **context.__dict__, **fields)
    except (ValidationError, TypeError) as error:
        raise InputInvalid(describe(error)) from error


def parse_event(fields: object) -> AnyEvent:
    """Return the event that a decoded message holds.

    Raises:
        InputInvalid: it is no event of a known kind and version; the message names what is wrong.
    """
    try:
        return _any_event.validate_python(fields)
    except (ValidationError, RecursionError) as error:
        raise InputInvalid(describe(error)) from error


def describe(error: Exception) -> str:
    """Return one sentence that names the fields at fault, without quoting their values."""
    if not isinstance(error, ValidationError):
        return f"The event is malformed: {error!s:.200}."
    problems = [
        f"{'.'.join(str(part) for part in item['loc']) or 'event'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return f"The event is malformed: {'; '.join(problems)[:500]}."
