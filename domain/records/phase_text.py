"""The JSON of a phase's begin or end, made without a model: what has its default is left out."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from masterflow.domain.counting import counters
from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import PhaseTimed, describe
from masterflow.domain.payload.fields import Phase, PhaseStatus
from masterflow.domain.records.phases import Facts, Message
from masterflow.domain.statuses import FlowStatus

_phase: Final[TypeAdapter[str]] = TypeAdapter(Phase)
_status: Final[TypeAdapter[str]] = TypeAdapter(PhaseStatus)
_facts: Final[TypeAdapter[dict[str, object]]] = TypeAdapter(Facts)
_message: Final[TypeAdapter[str]] = TypeAdapter(Message)


class _Word(NamedTuple):
    """A phase or a status as its model would have it, and its JSON."""

    phase: str
    text: str


class Moment(NamedTuple):
    """What a record says of its flow at that moment; `PhaseRecord` says what each is."""

    flow_status: FlowStatus | None
    is_status_new: bool
    current_phase: str | None
    progress: float | None
    message: str


def phase_text(
    flow_id: UUID,
    *,
    phase: str,
    metadata: Mapping[str, object],
    moment: Moment,
    status: str | None = None,
    execution_time_ms: float | None = None,
) -> str:
    """Return what a `PhaseBegan` says of its own, or with a status a `PhaseEnded`, which is numbered here.

    A phase or status that is none is InputInvalid.
    """
    word = _word(_phase, "phase", phase)
    if status is None:
        text = f'{{"kind":"phase_began","phase":{word.text}'
    else:
        text = f'{{"kind":"phase_ended","phase":{word.text}{_end(flow_id, word, status, execution_time_ms)}'
    if metadata:
        text += f',"metadata":{to_json(_facts.validate_python(metadata)).decode()}'
    return f"{text}{_said(phase, moment)}}}"


def _end(flow_id: UUID, word: _Word, status: str, execution_time_ms: float | None) -> str:
    text = "" if status == "completed" else f',"status":{_word(_status, "status", status).text}'
    if execution_time_ms is None:
        return text
    text += f',"execution_time_ms":{execution_time_ms!r}'
    if status == "cancelled":
        return text
    counted = counters.number(flow_id, PhaseTimed.count_of(word))
    return f'{text},"counted":{{"by":"{counted.by}","number":{counted.number}}}'


def _said(phase: str, moment: Moment) -> str:
    flow_status, is_status_new, current_phase, progress, message = moment
    text = ""
    if flow_status != "processing":
        text = f',"flow_status":"{flow_status}"' if flow_status else ',"flow_status":null'
    if is_status_new:
        text += ',"is_status_new":true'
    if current_phase is not None and current_phase != phase:
        text += f',"current_phase":{_word(_phase, "current_phase", current_phase).text}'
    if progress is not None:
        # Of no other type, such as numpy's, that writes itself in another way.
        text += f',"progress":{progress if type(progress) in (int, float) else float(progress)!r}'
    if message:
        text += f',"message":{to_json(_message.validate_python(message)).decode()}'
    return text


@lru_cache(maxsize=1_000)
def _word(kind: "TypeAdapter[str]", name: str, given: str) -> _Word:
    """Return a phase or a status that a caller gave; few of them come again and again.

    Raises:
        InputInvalid: it is none.
    """
    try:
        word = kind.validate_python(given)
        return _Word(word, to_json(word).decode())
    except ValidationError as error:
        raise InputInvalid(f"{name}: {describe(error)}") from error
