"""The records of a phase's begin and end: each says at once what several events say."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar
from uuid import uuid5

from pydantic import AfterValidator, BeforeValidator, Field

from masterflow.domain.counting import Counted
from masterflow.domain.events import (
    AnyEvent,
    Event,
    Lane,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.payload.fields import JsonObject, Milliseconds, Phase, PhaseStatus
from masterflow.domain.payload.safe import safe_object, safe_text
from masterflow.domain.statuses import FlowStatus

# With the time of a phase and a message, they fit into the metadata of a transition.
_FACTS_BYTES: Final = 3_200
_MESSAGE_CHARS: Final = 1_000
_MESSAGE_BYTES: Final = 1_200

#: A snapshot with a name and a message of so many characters in all is short, whatever they are.
_SHORT_CHARS: Final = 200

EventType = TypeVar("EventType", bound=Event)

Facts = Annotated[JsonObject, BeforeValidator(lambda value: safe_object(value, max_bytes=_FACTS_BYTES))]
Message = Annotated[
    str, BeforeValidator(lambda value: safe_text(value, max_chars=_MESSAGE_CHARS, max_bytes=_MESSAGE_BYTES))
]


# A number so small that it would be text in the row is none that anybody measures.
_ROUNDED: Final = AfterValidator(lambda number: round(number, 6))


class PhaseRecord(Event):
    """A phase began or ended: its transition, and the flow's status and progress at that moment.

    Whoever writes one leaves out what has its default. The transition has the record's own id; each other
    part has `uuid5(record's id, part's name)`, so that a repetition is a repetition of each.
    """

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    phase: Phase
    metadata: Facts = Field(default_factory=dict)
    #: None while it has none yet.
    flow_status: FlowStatus | None = "processing"
    #: Whether the flow has just entered it.
    is_status_new: bool = False
    #: The phase that started last, if it is not this one.
    current_phase: Phase | None = None
    #: In percent; None while nobody knows.
    progress: Annotated[int | float, Field(ge=0, le=100), _ROUNDED] | None = None
    message: Message = ""

    def parts(self) -> Iterator[AnyEvent]:
        """Yield the events that it says, in their order."""
        raise NotImplementedError

    def _part(self, kind: type[EventType], name: str, **fields: Any) -> EventType:
        """Return an event at this moment, of fields that were validated; to do it again would cost more."""
        part = kind.__new__(kind)
        place = {
            "event_id": uuid5(self.event_id, name) if name else self.event_id,
            "flow_id": self.flow_id,
            "client_account_id": self.client_account_id,
            "engagement_id": self.engagement_id,
            "user_id": self.user_id,
            "occurred_at": self.occurred_at,
            "schema_version": self.schema_version,
            "kind": kind.model_fields["kind"].default,
        }
        # What pydantic's own `model_construct` does in the end.
        for slot, value in (
            ("__dict__", place | fields),
            ("__pydantic_fields_set__", {*place, *fields}),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", None),
        ):
            object.__setattr__(part, slot, value)
        return part

    def _transition(self, status: str, metadata: JsonObject) -> PhaseTransitioned:
        return self._part(PhaseTransitioned, "", phase=self.phase, status=status, metadata=metadata)

    def _moment(self, status: str) -> Iterator[AnyEvent]:
        """Yield the flow's status if it is new, and the snapshot.

        Each fact of it stands under the two names that readers of the row look for; `status` is the
        phase's, `workflow_status` the flow's.
        """
        is_processing = self.flow_status == "processing"
        awaits_approval = self.flow_status == "waiting_for_approval"
        if self.is_status_new and self.flow_status:
            flags = {"is_processing": is_processing, "awaiting_user_approval": awaits_approval}
            yield self._part(StatusChanged, "status", status=self.flow_status, reopens=False, metadata=flags)
        snapshot: JsonObject = {"phase": self.phase, "current_phase": self.current_phase or self.phase}
        if self.progress is not None:
            snapshot |= {"progress": self.progress, "progress_percentage": self.progress}
        snapshot["status"] = status
        if self.flow_status:
            snapshot |= {
                "workflow_status": self.flow_status,
                "is_processing": is_processing,
                "awaiting_user_input": awaits_approval or self.flow_status == "paused",
                "awaiting_user_approval": awaits_approval,
            }
        snapshot |= {"message": self.message, "status_message": self.message}
        snapshot |= {"timestamp": self.timestamp, "last_updated": self.timestamp}
        if len(self.phase) + len(self.current_phase or "") + len(self.message) > _SHORT_CHARS:
            snapshot = safe_object(snapshot, max_bytes=_FACTS_BYTES)
        yield self._part(ProgressReported, "snapshot", snapshot=snapshot)


class PhaseBegan(PhaseRecord):
    """A phase began."""

    lane: ClassVar[Lane] = "vital"

    kind: Literal["phase_began"] = "phase_began"

    def parts(self) -> Iterator[AnyEvent]:
        """Yield its transition, the flow's status if it is new, and the snapshot."""
        said: JsonObject = {"message": self.message} if self.message else {}
        metadata = said | self.metadata
        if said and self.metadata:
            metadata = safe_object(metadata, max_bytes=_FACTS_BYTES)
        yield self._transition("processing", metadata)
        yield from self._moment("processing")


class PhaseEnded(PhaseRecord):
    """A phase ended, in this status; what was not cancelled is timed, if anybody knows how long it took."""

    lane: ClassVar[Lane] = "vital"

    kind: Literal["phase_ended"] = "phase_ended"
    status: PhaseStatus = "completed"
    execution_time_ms: Annotated[Milliseconds, AfterValidator(lambda time_ms: round(time_ms, 6))] | None = (
        None
    )
    #: The number of this timing among those of its phase.
    counted: Counted | None = None

    def parts(self) -> Iterator[AnyEvent]:
        """Yield its transition, its time, the flow's status if it is new, and the snapshot."""
        time_ms = self.execution_time_ms
        metadata = self.metadata if time_ms is None else {"execution_time_ms": time_ms} | self.metadata
        yield self._transition(self.status, metadata)
        if time_ms is not None and self.status != "cancelled":
            yield self._part(
                PhaseTimed, "time", phase=self.phase, execution_time_ms=time_ms, counted=self.counted
            )
        yield from self._moment(self.status)
