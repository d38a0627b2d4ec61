"""The JSON of the own fields of kinds that are reported often, made without a model, in less time."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from masterflow.domain.counting import counters
from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import (
    AgentCollaborated,
    CountedEvent,
    ErrorOccurred,
    Event,
    FlowRetried,
    MemoryMeasured,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    describe,
)
from masterflow.domain.events.reports import without_own_keys
from masterflow.domain.payload.fields import (
    DETAILS_BYTES,
    ENTRY_BYTES,
    ERROR_BYTES,
    ERROR_CHARS,
    METADATA_BYTES,
    MOST_MILLISECONDS,
    Phase,
    PhaseStatus,
)
from masterflow.domain.payload.safe import safe_map, safe_object, safe_text

_phase: Final[TypeAdapter[str]] = TypeAdapter(Phase)
_status: Final[TypeAdapter[str]] = TypeAdapter(PhaseStatus)
# To refuse its first value pydantic imports `enum`; where a process ends it could not, and would panic.
with suppress(ValidationError):
    _phase.validate_python(None)


class Word(NamedTuple):
    """A phase or a status as its model would have it, and its JSON."""

    phase: str
    text: bytes


@lru_cache(maxsize=1_000)
def phase_word(given: str) -> Word:
    """Return a phase that a caller gave, or raise InputInvalid; few of them come again and again."""
    return _word(_phase, "phase", given)


@lru_cache(maxsize=1_000)
def status_word(given: str) -> Word:
    """Return a phase's status that a caller gave, or raise InputInvalid."""
    return _word(_status, "status", given)


def _word(kind: "TypeAdapter[str]", name: str, given: str) -> Word:
    try:
        word = kind.validate_python(given)
    except ValidationError as error:
        raise InputInvalid(f"{name}: {describe(error)}") from error
    return Word(word, to_json(word))


def number_text(flow_id: UUID, what: str) -> bytes:
    """Return the next number of what a flow counts."""
    return b'{"by":"%b","number":%d}' % counters.next_number(flow_id, what)


def _milliseconds(value: float) -> bytes:
    if type(value) not in (int, float) or not 0 <= value <= MOST_MILLISECONDS:
        raise InputInvalid("It is no time in milliseconds.")
    return repr(float(value)).encode()


def _object(max_bytes: int) -> Callable[[Any], bytes]:
    return lambda value: to_json(safe_object(value, max_bytes=max_bytes))


def _error(value: object) -> bytes:
    return to_json(safe_text(value, max_chars=ERROR_CHARS, max_bytes=ERROR_BYTES))


def _entry(value: object) -> bytes:
    return to_json(safe_object(without_own_keys(value), max_bytes=ENTRY_BYTES))


def _phase_text(value: str) -> bytes:
    return phase_word(value).text


def _status_text(value: str) -> bytes:
    return status_word(value).text


_metadata: Final = _object(METADATA_BYTES)
_details: Final = _object(DETAILS_BYTES)

#: How each field is written; of those with a third part, what stands where it is not given.
_FIELDS: Final[dict[type[Event], tuple[tuple[str, Callable[[Any], bytes], bytes], ...]]] = {
    PhaseTransitioned: (
        ("phase", _phase_text, b""),
        ("status", _status_text, b""),
        ("metadata", _metadata, b"{}"),
    ),
    PhaseTimed: (("phase", _phase_text, b""), ("execution_time_ms", _milliseconds, b"")),
    AgentCollaborated: (("entry", _entry, b""),),
    MemoryMeasured: (("metrics", lambda value: to_json(safe_map(value)), b""),),
    ErrorOccurred: (("phase", _phase_text, b""), ("error", _error, b""), ("details", _details, b"{}")),
    FlowRetried: (),
    ProgressReported: (("snapshot", _metadata, b""),),
}


class _Plan(NamedTuple):
    head: bytes
    fields: tuple[tuple[str, bytes, Callable[[Any], bytes], bytes], ...]
    count_of: Callable[[Any], str] | None


def _plan(kind: type[Event]) -> _Plan:
    head = to_json({"kind": kind.model_fields["kind"].default})[:-1]
    fields = tuple((name, b',"%b":' % name.encode(), write, rest) for name, write, rest in _FIELDS[kind])
    return _Plan(head, fields, kind.count_of if issubclass(kind, CountedEvent) else None)


_PLANS: Final = {kind: _plan(kind) for kind in _FIELDS}


def own_text(kind: object, flow_id: UUID, fields: Mapping[str, Any]) -> bytes | None:
    """Return a JSON object of a kind's own fields, numbered; None where only its model can say what to do."""
    # A caller may hand in anything.
    plan: _Plan | None = _PLANS.get(kind) if isinstance(kind, type) else None
    if plan is None:
        return None
    text, left = plan.head, len(fields)
    try:
        for name, key, write, rest in plan.fields:
            if name in fields:
                text += key + write(fields[name])
                left -= 1
            elif rest:
                text += key + rest
            else:
                return None
    except (InputInvalid, TypeError):
        return None
    if left:
        return None
    if plan.count_of:
        phase = phase_word(fields["phase"]) if "phase" in fields else None
        text += b',"counted":' + number_text(flow_id, plan.count_of(phase))
    return text + b"}"
