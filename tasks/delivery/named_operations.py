"""One task per repository method, so that any process can send an event by its name alone.

Each takes the method's own arguments and `flow_id`, `client_account_id`, `engagement_id`, `user_id`
as keywords, and may take `event_id` and `occurred_at`. Without an `event_id` the task's id stands in
for it, so a message that is delivered twice counts once. Where signing keys are set, the arguments are
those that `tasks.operation_proofs.signed_operation` returns.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from celery import Task

from masterflow.domain.clock import parse_time
from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowDeclared,
    FlowLost,
    FlowRetried,
    FlowSeen,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    UsageReported,
    new_event,
)
from masterflow.domain.tenant import flow_context
from masterflow.tasks.app import app
from masterflow.tasks.delivery.task import deliver
from masterflow.tasks.inbox.admission import Admission, Door, refused_message
from masterflow.tasks.inbox.attempts import Attempt
from masterflow.tasks.operation_proofs import verified_operation

OPERATIONS: Final[dict[str, type[AnyEvent]]] = {
    "create_master_flow": FlowDeclared,
    "add_phase_transition": PhaseTransitioned,
    "record_phase_execution_time": PhaseTimed,
    "append_agent_collaboration": AgentCollaborated,
    "update_memory_usage_metrics": MemoryMeasured,
    "update_agent_performance_metrics": AgentPerformanceMeasured,
    "add_error_entry": ErrorOccurred,
    "increment_retry_count": FlowRetried,
    "update_flow_metadata": MetadataUpdated,
    "update_flow_status": StatusChanged,
}

#: Kinds that no method of the repository stands for; each kind is here or above.
ONLY_IN_BATCHES: Final[tuple[type[AnyEvent], ...]] = (
    ProgressReported,
    UsageReported,
    FlowLost,
    FlowSeen,
    DeadlinePassed,
    ControlRequested,
    QuestionAsked,
    QuestionSettled,
)

_RENAMED: Final = {"metadata_updates": "updates"}
_TENANT: Final = ("client_account_id", "engagement_id", "user_id")

# Any UUID will do, so long as it stays the same.
_EVENT_IDS: Final = UUID("b5d0a2a4-6f55-4a0a-8f5c-3f8f7a0d5f3e")


def _register(name: str, kind: type[AnyEvent]) -> None:
    task_name = f"enrichment.{name}"

    def admit(message_id: str, kwargs: Mapping[str, Any], door: Door) -> Admission:
        return admit_operation(kind, message_id, kwargs, door, task_name=task_name)

    @app.task(name=task_name, bind=True)
    def operation(task: "Task[..., None]", *args: Any, **kwargs: Any) -> None:
        deliver(task, args, kwargs, admit=admit)


for _name, _kind in OPERATIONS.items():
    _register(_name, _kind)


def admit_operation(
    kind: type[AnyEvent], message_id: str, kwargs: Mapping[str, Any], door: Door, *, task_name: str
) -> Admission:
    """Return the admission of the one event that a named task stands for; it raises nothing."""
    content = repr(dict(kwargs))
    try:
        own, signer = verified_operation(task_name, kwargs, door.settings, now=datetime.now(UTC))
    except SignatureInvalid as error:
        return refused_message(message_id, content, error)
    attempt = door.begin(message_id, signer)
    try:
        event = _event(kind, own, attempt)
    except InputInvalid as error:
        refused = refused_message(message_id, content, error)
        refused.attempt = attempt
        return refused
    admission = Admission(attempt, str(event.client_account_id))
    admission.admit(event, now=datetime.now(UTC))
    return admission


def _event(kind: type[AnyEvent], kwargs: dict[str, Any], attempt: Attempt) -> AnyEvent:
    context = flow_context(*(kwargs.pop(name, None) for name in _TENANT))
    flow_id = kwargs.pop("flow_id", None)
    event_id = kwargs.pop("event_id", None) or _event_id(attempt.batch_id)
    occurred_at = _occurred_at(kwargs, attempt)
    fields = {_RENAMED.get(name, name): value for name, value in kwargs.items() if value is not None}
    return new_event(kind, context, flow_id, event_id=event_id, occurred_at=occurred_at, **fields)


def _event_id(message_id: str) -> UUID:
    try:
        return UUID(message_id)
    except ValueError:
        return uuid5(_EVENT_IDS, message_id)


def _occurred_at(kwargs: dict[str, Any], attempt: Attempt) -> datetime | None:
    """Return when it happened: as given, else when the message first came, the same whenever it comes again.

    Raises:
        InputInvalid: what was given is no time.
    """
    given = kwargs.pop("occurred_at", None)
    if given is None:
        entry = kwargs.get("entry")
        has_time = isinstance(entry, Mapping) and parse_time(entry.get("timestamp")) is not None
        return None if has_time else attempt.first_seen
    at = parse_time(given.isoformat() if isinstance(given, datetime) else given)
    if at is None:
        raise InputInvalid(f"occurred_at {given!r:.80} is no ISO-8601 time.")
    return at
