"""Where a page of a list ends, as an opaque word; it names a place, and gives no access to anything.

A word of the list of flows is bound to what was asked for and to who may see what: with another filter it
would name a place in another list.
"""

import base64
import binascii
import hashlib
import struct
from typing import Final
from uuid import UUID

from masterflow.domain import InputInvalid
from masterflow.domain.errors import PermanentError
from masterflow.repository.status.flow_list import ListPlace
from masterflow.repository.status.reads import FlowScope, Place

#: What every cursor of the inbox looks like: 8 bytes of time and 16 of an id. Whatever looks so is a place.
PATTERN: Final = "^[A-Za-z0-9_-]{32}$"

#: What every cursor of the list looks like.
LIST_PATTERN: Final = "^[A-Za-z0-9_-]{92}$"

_TIME_BYTES: Final = 8
_NO_TIME: Final = -(2**63)

# Flags, what it is bound to, where looking begins, where among what is sorted, until when, how many so far.
_LIST: Final = struct.Struct(">B8sq16sq16sqI")
_IS_NEWER, _HAS_START, _HAS_KEY = 1, 2, 4
_MOST_SEARCHED: Final = 2**32 - 1
_NOBODY: Final = bytes(16)


class CursorElsewhere(PermanentError):
    """A cursor names a place in another list."""

    reason = "cursor_of_another_list"


def binding_of(scope: FlowScope, asked: str) -> bytes:
    """Return what stands for a list: whose flows, and what is asked for."""
    whose = f"{scope.arguments}\n{asked}"
    return hashlib.blake2b(whose.encode("utf-8", "replace"), digest_size=8).digest()


def list_cursor_of(place: ListPlace, binding: bytes) -> str:
    """Return the word for a place in the list that a binding stands for."""
    start = place.start
    flags = place.is_newer * _IS_NEWER | (start is not None) * _HAS_START | (place.key is not None) * _HAS_KEY
    raw = _LIST.pack(
        flags,
        binding,
        _NO_TIME if start is None or start.created_us is None else start.created_us,
        start.flow_id.bytes if start else _NOBODY,
        place.key or 0,
        place.key_id.bytes if place.key_id else _NOBODY,
        place.now_us,
        min(place.searched, _MOST_SEARCHED),
    )
    return base64.urlsafe_b64encode(raw).decode()


def list_place_of(cursor: str, binding: bytes) -> ListPlace:
    """Return the place that a word stands for.

    Raises:
        InputInvalid: it is no such word.
        CursorElsewhere: it belongs to another list.
    """
    raw = _bytes_of(cursor)
    if len(raw) != _LIST.size:
        raise InputInvalid(_NONE_OF_OURS)
    flags, bound_to, created_us, flow_id, key, key_id, now_us, searched = _LIST.unpack(raw)
    if bound_to != binding:
        raise CursorElsewhere(
            "The cursor belongs to another list: ask with the filter and the order that it came with, or"
            " without it."
        )
    start = Place(None if created_us == _NO_TIME else created_us, UUID(bytes=flow_id))
    has_key = bool(flags & _HAS_KEY)
    return ListPlace(
        start=start if flags & _HAS_START else None,
        key=key if has_key else None,
        key_id=UUID(bytes=key_id) if has_key else None,
        is_newer=bool(flags & _IS_NEWER),
        now_us=now_us,
        searched=searched,
    )


def cursor_of(place: Place) -> str:
    """Return the word for a place in the inbox."""
    created_us = _NO_TIME if place.created_us is None else place.created_us
    return base64.urlsafe_b64encode(
        created_us.to_bytes(_TIME_BYTES, signed=True) + place.flow_id.bytes
    ).decode()


def place_of(cursor: str) -> Place:
    """Return the place in the inbox that a word stands for.

    Raises:
        InputInvalid: it is no such word.
    """
    raw = _bytes_of(cursor)
    if len(raw) != _TIME_BYTES + len(_NOBODY):
        raise InputInvalid(_NONE_OF_OURS)
    created_us = int.from_bytes(raw[:_TIME_BYTES], signed=True)
    return Place(None if created_us == _NO_TIME else created_us, UUID(bytes=raw[_TIME_BYTES:]))


_NONE_OF_OURS: Final = "The cursor is none of ours; take it from `next_cursor` of a page."


def _bytes_of(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputInvalid(_NONE_OF_OURS) from error
