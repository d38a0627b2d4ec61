"""Ids as callers hand them in."""

from typing import Annotated, Final
from uuid import UUID, uuid5

from pydantic import AfterValidator

from masterflow.domain.errors import InputInvalid

#: A flow whose id is no UUID has the row `uuid5(FLOW_NAMESPACE, id)`; this number never changes.
FLOW_NAMESPACE: Final = UUID("6d617374-6572-5666-8c6f-772d69647331")

#: Key of `flow_metadata` under which the id that is no UUID is kept.
EXTERNAL_ID_KEY: Final = "external_flow_id"


def _checked(text: str) -> str:
    UUID(text)
    return text


#: The text of a UUID that is used as it was written, in a form that is checked strictly.
IdText = Annotated[str, AfterValidator(_checked)]


def parse_id(value: UUID | str, *, name: str) -> UUID:
    """Return an id as a UUID.

    Raises:
        InputInvalid: it is none; the message names it.
    """
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputInvalid(f"{value!r:.80} is no {name}; pass a UUID.") from error


def flow_uuid(flow_id: UUID | str | int) -> UUID:
    """Return the id of a flow's row: a UUID is its own, `"my-run-7"` and `7` have their uuid5.

    What is empty, or neither UUID, text nor number, raises InputInvalid.
    """
    return flow_id if isinstance(flow_id, UUID) else _read(flow_id)[0]


def external_id(flow_id: UUID | str | int) -> dict[str, str]:
    """Return what `flow_metadata` keeps of an id that is no UUID: `{"external_flow_id": "my-run-7"}`.

    Of a UUID it is nothing; what is no id at all raises InputInvalid.
    """
    name = None if isinstance(flow_id, UUID) else _read(flow_id)[1]
    return {EXTERNAL_ID_KEY: name} if name else {}


def _read(flow_id: str | int) -> tuple[UUID, str | None]:
    is_number = isinstance(flow_id, int) and not isinstance(flow_id, bool)
    text = flow_id if isinstance(flow_id, str) else str(flow_id) if is_number else ""
    # Without what Postgres cannot store.
    name = text.encode(errors="ignore").decode().replace("\0", "").strip()
    if not name:
        raise InputInvalid(f"{flow_id!r:.80} is no flow id; pass the flow's UUID, or a text that names it.")
    try:
        return UUID(name), None
    except ValueError:
        return uuid5(FLOW_NAMESPACE, name), name
