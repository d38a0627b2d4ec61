"""Who sent a message, which of its events may be applied, and what is refused, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, ValidationError
from pydantic_core import from_json
from redis import Redis

from masterflow.domain.clock import MAX_AHEAD
from masterflow.domain.errors import (
    ClockAhead,
    InputInvalid,
    PermanentError,
    SignatureInvalid,
    TenantMismatch,
)
from masterflow.domain.events import AnyEvent, describe
from masterflow.domain.ids import IdText
from masterflow.domain.payload.safe import safe_object, safe_text
from masterflow.domain.records.reading import read_events
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Keys
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import Batch, verified
from masterflow.tasks.control.requests import objection_to
from masterflow.tasks.inbox.attempts import Attempt, begin_attempt

# Twice what a sender puts into a batch, so that a bomb is refused and no honest batch ever is.
_MAX_EVENTS: Final = 1_000
_MAX_EVENTS_CHARS: Final = 2_000_000

_EXCERPT_CHARS: Final = 2_000
_ID_CHARS: Final = 100
_MAX_EVENT_BYTES: Final = 64_000


class MessageTooLarge(InputInvalid):
    """A message is larger than any sender of ours makes it."""

    reason = "too_large"


class MessageUnreadable(InputInvalid):
    """A message is not the JSON it must be."""

    reason = "unreadable"


class TaskUnknown(PermanentError):
    """No task has this name."""

    reason = "unknown_task"


class WorkerLost(PermanentError):
    """The worker ended each time it tried."""

    reason = "worker_lost"


class DataRefused(PermanentError):
    """Postgres refuses the values of an event."""

    reason = "data_refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event, or something that is none, and the reason it is set aside."""

    error: PermanentError
    #: The event's JSON object, or `{"excerpt": text}` of what is no event.
    subject: dict[str, JsonValue]

    @property
    def is_event(self) -> bool:
        """Return whether the subject is whole, so that it can be tried again."""
        return "excerpt" not in self.subject

    @classmethod
    def of(cls, subject: object, error: PermanentError) -> Self:
        """Return a refusal that holds an event whole if it is not too large, with secrets masked."""
        if isinstance(subject, dict):
            return cls(error, safe_object(subject, max_bytes=_MAX_EVENT_BYTES))
        return cls(error, {"excerpt": safe_text(subject, max_chars=_EXCERPT_CHARS)})


class _Fields(BaseModel):
    """The keyword arguments of `enrichment.apply_events`, which are used as they came."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)

    batch_id: IdText
    sender_id: Annotated[str, StringConstraints(max_length=200)]
    client_account_id: IdText
    events: str
    sent_at: int | None = None
    key_id: str | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Where messages come in: what is asked of them, and where it is noted how often they came."""

    redis: "Redis"
    settings: SigningSettings

    def begin(self, batch_id: str, signer: Signer) -> Attempt:
        """Begin an attempt to apply what somebody has vouched for."""
        return begin_attempt(self.redis, batch_id, signer, now=datetime.now(UTC))


@dataclass(slots=True)
class Admission:
    """What a worker does about one message: the events it applies and the refusals it sets aside."""

    attempt: Attempt
    client_account_id: str = ""
    #: Whom to tell what became of it; None if nobody waits for it.
    batch: Batch | None = None
    #: False if nobody is known to have sent it: then it stays with whoever has.
    is_verified: bool = True
    events: list[AnyEvent] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def batch_id(self) -> str:
        """Return the id of the batch, or of the message that holds none."""
        return self.attempt.batch_id

    @property
    def sender_id(self) -> str:
        """Return who waits for it; empty if nobody does."""
        return self.batch.sender_id if self.batch else ""

    def admit(self, event: AnyEvent, *, now: datetime) -> None:
        """Take one event in, unless its tenant or its time rules it out."""
        if error := self.objection(event, now=now):
            self.refuse(event, error)
        else:
            self.events.append(event)

    def objection(self, event: AnyEvent, *, now: datetime) -> PermanentError | None:
        """Return what rules an event out of this message, and all that its record says with it."""
        if str(event.client_account_id) != self.client_account_id:
            return TenantMismatch("The event is of another client account than its batch.")
        if event.occurred_at > now + MAX_AHEAD:
            return ClockAhead(f"The event is {event.occurred_at - now} ahead of the worker's clock.")
        return None

    def refuse(self, event: AnyEvent, error: PermanentError) -> None:
        """Set aside an event that was read."""
        self.refusals.append(Refusal(error, event.model_dump(mode="json")))


def admit_batch(message_id: str, fields: Mapping[str, object], door: Door) -> Admission:
    """Return what may be applied of a message with these keyword arguments; nothing in it can raise."""
    now = datetime.now(UTC)
    try:
        _Fields.model_validate(fields)
        batch = Batch(**fields)  # type: ignore[arg-type]  # just validated
    except ValidationError as error:
        return refused_message(message_id, str(dict(fields)), InputInvalid(describe(error)))
    admission = Admission(Attempt(batch.batch_id, now), str(UUID(batch.client_account_id)))
    admission.batch = batch if batch.sender_id else None
    try:
        signer = verified(batch, door.settings, now=now)
    except SignatureInvalid as error:
        admission.is_verified = False
        admission.refusals = _all_refused(batch, error)
        return admission
    admission.attempt = door.begin(batch.batch_id, signer)
    try:
        items = _items(batch.events)
    except InputInvalid as error:
        admission.refusals.append(Refusal.of(batch.events, error))
        return admission
    for item in items:
        _admit_item(admission, item, door.settings.worker_keys, now=now)
    return admission


def _all_refused(batch: Batch, error: PermanentError) -> list[Refusal]:
    try:
        return [Refusal.of(item, error) for item in _items(batch.events)]
    except InputInvalid:
        return [Refusal.of(batch.events, error)]


def refused_message(message_id: str, content: str, error: PermanentError) -> Admission:
    """Return the admission of a message that holds no batch."""
    attempt = Attempt(safe_text(message_id, max_chars=_ID_CHARS), datetime.now(UTC))
    return Admission(attempt, is_verified=False, refusals=[Refusal.of(content, error)])


def _admit_item(admission: Admission, item: object, worker_keys: Keys, *, now: datetime) -> None:
    """Take in what a record says, or set it aside as a whole."""
    try:
        events = read_events(item)
    except InputInvalid as error:
        admission.refusals.append(Refusal.of(item, error))
    except Exception as error:  # noqa: BLE001  a mistake in one validator must not take the batch along
        cause = InputInvalid(f"The event cannot be read: {error!r:.200}.")
        admission.refusals.append(Refusal.of(item, cause))
    else:
        if objection := admission.objection(events[0], now=now) or objection_to(events[0], worker_keys):
            admission.refusals.append(Refusal.of(item, objection))
        else:
            admission.events += events


def _items(text: str) -> list[object]:
    if len(text) > _MAX_EVENTS_CHARS:
        raise MessageTooLarge(f"The batch has {len(text)} characters; at most {_MAX_EVENTS_CHARS} are read.")
    try:
        items = from_json(text)
    except ValueError as error:
        raise MessageUnreadable(f"The batch is no JSON: {error}.") from error
    if not isinstance(items, list):
        raise MessageUnreadable("The batch is no JSON array.")
    if len(items) > _MAX_EVENTS:
        raise MessageTooLarge(f"The batch holds {len(items)} events; at most {_MAX_EVENTS} are read.")
    return items
