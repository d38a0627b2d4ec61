"""Whose data it is: the tenant that every read and write is scoped by."""

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from masterflow.domain.errors import InputInvalid

#: Width of `user_id` in both tables.
MAX_USER_CHARS: Final = 255

UserId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_USER_CHARS)]


class FlowContext(BaseModel):
    """The client account, engagement and user on whose behalf something happens; there is no default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_account_id: UUID
    engagement_id: UUID
    user_id: UserId

    if TYPE_CHECKING:  # A type checker would want UUIDs, where texts of them are read too.

        def __init__(
            self, *, client_account_id: UUID | str, engagement_id: UUID | str, user_id: str
        ) -> None: ...


def flow_context(client_account_id: object, engagement_id: object, user_id: object) -> FlowContext:
    """Return a validated context, with a user id cut to what the tables hold.

    Raises:
        InputInvalid: an id is missing or malformed; the message names it.
    """
    fields = {
        "client_account_id": client_account_id,
        "engagement_id": engagement_id,
        "user_id": str(user_id).strip()[:MAX_USER_CHARS] if isinstance(user_id, UUID | str) else user_id,
    }
    try:
        return FlowContext.model_validate(fields)
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]) for item in error.errors())
        raise InputInvalid(
            f"The tenant context needs a valid {names}; pass the ids of the caller's account."
        ) from error
