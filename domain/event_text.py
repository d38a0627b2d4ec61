"""The JSON of an event that happens now, made without the event: a hook has no time for more."""

import json
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from masterflow.domain.clock import clock, from_microseconds, to_microseconds, uuid7_text
from masterflow.domain.counting import counters
from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import SCHEMA_VERSION, CountedEvent, Event, UsageReported, describe, new_event
from masterflow.domain.ids import flow_uuid
from masterflow.domain.interruptions import Suppressed
from masterflow.domain.records.field_texts import own_text
from masterflow.domain.records.phase_text import phase_text
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded
from masterflow.domain.tenant import FlowContext
from masterflow.domain.usage.amounts import Usage, UsageCounted

#: What says where an event stands among the others.
_PLACE: Final = frozenset({"event_id", "occurred_at"})

_PHASE_RECORDS: Final = (PhaseBegan, PhaseEnded)
_VERSION: Final = b'"schema_version":%d,' % SCHEMA_VERSION


def event_text(kind: type[Event], context: FlowContext, flow_id: UUID | str, **fields: Any) -> bytes:
    """Return what `new_event(...).model_dump_json()` would, in a fraction of the time.

    Only what is the kind's own is validated; ids and time are made here, and the context was validated
    when it was made. What is counted is numbered, unless its caller brings a time or an id: that call may
    be a repetition, so it counts by its id, or by the number that it brings. What is malformed is
    InputInvalid, and the message names it.
    """
    if kind not in _PHASE_RECORDS and _says_when(fields):
        return _placed_text(kind, context, flow_id, fields)
    flow = flow_id if type(flow_id) is UUID else flow_uuid(flow_id)
    context = context if type(context) is FlowContext else _checked(context)
    if kind in _PHASE_RECORDS:
        body = phase_text(flow, **fields)
    else:
        body = own_text(kind, flow, fields) or _modelled_text(kind, flow, fields)
    now = clock.tick_microseconds(flow)
    return _written(uuid7_text(now), now, context, flow, body)


def _modelled_text(kind: type[Event], flow: UUID, fields: Mapping[str, Any]) -> bytes:
    """Return what the model of a kind makes of its own fields."""
    validated = _validated(kind, fields)
    if issubclass(kind, CountedEvent) and validated.counted is None:
        validated.counted = counters.number(flow, kind.count_of(validated))
    elif issubclass(kind, UsageReported):
        by, (flow_total, agent_total) = counters.add(flow, ("", kind.name_of(validated)), validated.used)
        validated.counted = UsageCounted.model_construct(
            by=by, agent=Usage(*agent_total), flow=Usage(*flow_total)
        )
    return _own_fields(kind).serializer.to_json(validated)


#: The flow that reported last, its context, and their text.
_last_whose: tuple[UUID | None, FlowContext | None, bytes] = (None, None, b"")


def _placed_text(
    kind: type[Event], context: FlowContext, flow_id: UUID | str, fields: Mapping[str, Any]
) -> bytes:
    """Return the JSON of an event whose caller says when it was; with an id as well, as quickly as any."""
    event_id, at = fields.get("event_id"), fields.get("occurred_at")
    is_placed = isinstance(event_id, UUID) and isinstance(at, datetime) and at.tzinfo is not None
    if not is_placed or kind is UsageReported:
        return new_event(kind, context, flow_id, **fields).model_dump_json().encode()
    own = {name: value for name, value in fields.items() if name not in _PLACE}
    body = _own_fields(kind).serializer.to_json(_validated(kind, own))
    at_microseconds = to_microseconds(fields["occurred_at"])
    return _written(str(event_id), at_microseconds, _checked(context), flow_uuid(flow_id), body)


def _checked(context: FlowContext) -> FlowContext:
    if not isinstance(context, FlowContext):
        raise InputInvalid(
            "A report needs a context: something with the attributes `client_account_id`, `engagement_id`"
            " and `user_id`, such as `masterflow.FlowContext(client_account_id=…, …)`."
        )
    return context


def _validated(kind: type[Event], fields: Mapping[str, Any]) -> Any:
    try:
        return _own_fields(kind).validator.validate_python(fields)
    except ValidationError as error:
        raise InputInvalid(describe(error)) from error


def _written(event_id: str, at: int, context: FlowContext, flow: UUID, body: bytes) -> bytes:
    global _last_whose  # noqa: PLW0603  replaced whole, so that no thread sees half of it
    last_flow, last_context, whose = _last_whose
    if flow is not last_flow or context is not last_context:
        whose = _whose(flow, context.client_account_id, context.engagement_id, context.user_id)
        _last_whose = (flow, context, whose)
    seconds, rest = divmod(at, 1_000_000)
    return b'{"event_id":"%b",%b,"occurred_at":"%b.%06dZ",%b%b' % (
        event_id.encode(), whose, _second(seconds), rest, _VERSION, body[1:]
    )  # fmt: skip


def _says_when(fields: Mapping[str, Any]) -> bool:
    """Return whether the caller brings the event's time or id, of its own or in a collaboration entry."""
    if "occurred_at" in fields or "event_id" in fields:
        return True
    entry = fields.get("entry")
    return entry is not None and isinstance(entry, Mapping) and "timestamp" in entry


@cache
def _own_fields(kind: type[Event]) -> TypeAdapter[Any]:
    """Return what validates and writes a kind's own fields, once it was made.

    It is made in a thread, where no signal handler runs: an error that one raised while pydantic makes it
    would come out as another one.

    Raises:
        InputInvalid: it is no kind of event.
    """
    if not (isinstance(kind, type) and issubclass(kind, Event)):
        raise InputInvalid("What is reported is no kind of event; `masterflow.domain.events` has them.")
    made: list[TypeAdapter[Any]] = []
    if threading.current_thread() is threading.main_thread() and not sys.is_finalizing():
        with Suppressed(RuntimeError):  # No thread can be had now.
            thread = threading.Thread(target=lambda: made.append(_made_fields(kind)), daemon=True)
            thread.start()
            thread.join()
    return made[0] if made else _made_fields(kind)


def _made_fields(kind: type[Event]) -> TypeAdapter[Any]:
    definitions: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in kind.model_fields.items()
        if name not in Event.model_fields
    }
    if kind is UsageReported:
        definitions["counted"] = (UsageCounted | None, None)  # Made here, from what the others say.
    return TypeAdapter(create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **definitions))


@lru_cache(maxsize=1_000)
def _whose(flow_id: UUID, client_account_id: UUID, engagement_id: UUID, user_id: str) -> bytes:
    ids = {
        "flow_id": str(flow_id),
        "client_account_id": str(client_account_id),
        "engagement_id": str(engagement_id),
        "user_id": user_id,
    }
    return json.dumps(ids, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


@lru_cache(maxsize=8)
def _second(seconds: int) -> bytes:
    # Not by `strftime`, which imports a module, and at the end of a process nothing can be imported.
    return from_microseconds(seconds * 1_000_000).replace(tzinfo=None).isoformat().encode()
