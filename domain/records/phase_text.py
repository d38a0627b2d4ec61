"""The JSON of a phase's begin or end, made without a model: what has its default is left out."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json

from masterflow.domain.events import PhaseTimed
from masterflow.domain.records.field_texts import Word, number_text, phase_word, status_word
from masterflow.domain.records.phases import Facts, Message
from masterflow.domain.statuses import FlowStatus

_facts: Final[TypeAdapter[dict[str, object]]] = TypeAdapter(Facts)
_message: Final[TypeAdapter[str]] = TypeAdapter(Message)


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
) -> bytes:
    """Return what a `PhaseBegan` says of its own, or with a status a `PhaseEnded`, which is numbered here.

    A phase or status that is none is InputInvalid.
    """
    word = phase_word(phase)
    if status is None:
        text = b'{"kind":"phase_began","phase":' + word.text
    else:
        text = b'{"kind":"phase_ended","phase":' + word.text + _end(flow_id, word, status, execution_time_ms)
    if metadata:
        text += b',"metadata":' + to_json(_facts.validate_python(metadata))
    return b"%b%b}" % (text, _said(phase, moment))


def _end(flow_id: UUID, word: Word, status: str, execution_time_ms: float | None) -> bytes:
    text = b"" if status == "completed" else b',"status":' + status_word(status).text
    if execution_time_ms is None:
        return text
    text += b',"execution_time_ms":%a' % execution_time_ms
    if status == "cancelled":
        return text
    return b'%b,"counted":%b' % (text, number_text(flow_id, PhaseTimed.count_of(word)))


def _said(phase: str, moment: Moment) -> bytes:
    flow_status, is_status_new, current_phase, progress, message = moment
    text = b""
    if flow_status != "processing":
        text = b',"flow_status":"%b"' % flow_status.encode() if flow_status else b',"flow_status":null'
    if is_status_new:
        text += b',"is_status_new":true'
    if current_phase is not None and current_phase != phase:
        text += b',"current_phase":' + phase_word(current_phase).text
    if progress is not None:
        # Of no other type, such as numpy's, that writes itself in another way.
        text += b',"progress":%a' % (progress if type(progress) in (int, float) else float(progress))
    if message:
        text += b',"message":' + to_json(_message.validate_python(message))
    return text
