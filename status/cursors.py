"""Where a page of the list ends, as an opaque word; it names a place, and gives no access to anything."""

import base64
import binascii
from uuid import UUID

from domain import InputInvalid
from domain.clock import from_microseconds, to_microseconds
from repository.status_reads import Place

_TIME_BYTES = 8


def cursor_of(place: Place) -> str:
    """Return the word for a place."""
    microseconds = to_microseconds(place.created_at) if place.created_at else -(2**63)
    raw = microseconds.to_bytes(_TIME_BYTES, signed=True) + place.flow_id.bytes
    return base64.urlsafe_b64encode(raw).decode()


def place_of(cursor: str) -> Place:
    """Return the place a word stands for.

    Raises:
        InputInvalid: it is no such word.
    """
    try:
        raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        microseconds = int.from_bytes(raw[:_TIME_BYTES], signed=True)
        flow_id = UUID(bytes=raw[_TIME_BYTES:])
        return Place(None if microseconds == -(2**63) else from_microseconds(microseconds), flow_id)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise InputInvalid("The cursor is none of ours; take it from `next_cursor` of a page.") from error
