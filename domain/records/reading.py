"""Every record that a message may hold, and the events that it says."""

from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import AnyEvent, describe
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded, PhaseRecord

#: One thing that happened, as it stands in an outbox and in a message.
AnyRecord = Annotated[AnyEvent | PhaseBegan | PhaseEnded, Field(discriminator="kind")]

_any_record: Final[TypeAdapter[AnyRecord]] = TypeAdapter(AnyRecord)


def read_events(fields: object) -> tuple[AnyEvent, ...]:
    """Return the events that a decoded record says; those of one record are all of one flow and time.

    Raises:
        InputInvalid: it is no record of a known kind and version; the message names what is wrong.
    """
    try:
        record = _any_record.validate_python(fields)
    except (ValidationError, RecursionError) as error:
        raise InputInvalid(describe(error)) from error
    return tuple(record.parts()) if isinstance(record, PhaseRecord) else (record,)
