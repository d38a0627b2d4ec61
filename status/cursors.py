"""Where a page of the list ends, as an opaque word; it names a place, and gives no access to anything."""

import base64
import binascii
from typing import Final
from uuid import UUID

from masterflow.domain import InputInvalid
from masterflow.repository.status.reads import Place

#: What every cursor looks like: 8 bytes of time and 16 of an id. Whatever looks so stands for a place.
PATTERN: Final = "^[A-Za-z0-9_-]{32}$"

_TIME_BYTES: Final = 8
_NO_TIME: Final = -(2**63)


def cursor_of(place: Place) -> str:
    """Return the word for a place."""
    created_us = _NO_TIME if place.created_us is None else place.created_us
    return base64.urlsafe_b64encode(
        created_us.to_bytes(_TIME_BYTES, signed=True) + place.flow_id.bytes
    ).decode()


def place_of(cursor: str) -> Place:
    """Return the place a word stands for.

    Raises:
        InputInvalid: it is no such word.
    """
    try:
        raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        flow_id = UUID(bytes=raw[_TIME_BYTES:])
    except (binascii.Error, ValueError) as error:
        raise InputInvalid("The cursor is none of ours; take it from `next_cursor` of a page.") from error
    created_us = int.from_bytes(raw[:_TIME_BYTES], signed=True)
    return Place(None if created_us == _NO_TIME else created_us, flow_id)
