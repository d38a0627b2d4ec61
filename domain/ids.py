"""Ids as callers hand them in."""

from uuid import UUID

from masterflow.domain.errors import InputInvalid


def parse_id(value: UUID | str, *, name: str = "flow id") -> UUID:
    """Return an id as a UUID.

    Raises:
        InputInvalid: it is none; the message names it.
    """
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputInvalid(f"{value!r:.80} is no {name}; pass a UUID.") from error
