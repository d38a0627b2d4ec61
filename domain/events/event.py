"""What every event is: who, when, which flow; and what those have in common that the row counts."""

from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from masterflow.domain.clock import stamp_of, to_microseconds
from masterflow.domain.counting import Counted
from masterflow.domain.payload.fields import UtcTime
from masterflow.domain.tenant import UserId

#: The newest version of the event format that this code writes and reads.
SCHEMA_VERSION: Final = 4

#: What an outbox that is full drops last, and what it drops before.
Lane = Literal["vital", "detail"]


class Event(BaseModel):
    """Something that happened to one flow; it carries its own id, so repeating it changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: False for what still is written while enrichment is switched off.
    is_enrichment: ClassVar[bool] = True

    #: Each kind says its own; a class without one cannot be made.
    lane: ClassVar[Lane]

    event_id: UUID
    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    user_id: UserId
    occurred_at: UtcTime
    schema_version: Literal[1, 2, 3, 4] = SCHEMA_VERSION

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a kind that says no lane.

        Raises:
            TypeError: it has none of its own.
        """
        if "lane" not in cls.__dict__:
            raise TypeError(f'{cls.__name__} says no lane; give it `lane: ClassVar[Lane] = "detail"`.')

    @property
    def stamp(self) -> str:
        """Return the event's place in time as 48 characters that sort as text: microseconds, then id."""
        return stamp_of(to_microseconds(self.occurred_at), self.event_id)

    @property
    def timestamp(self) -> str:
        """Return `occurred_at` as it stands in the row, always 32 characters."""
        return self.occurred_at.isoformat(timespec="microseconds")


class CountedEvent(Event):
    """An event of which the row says how many there were.

    One that its process numbered counts once however often and however late it comes; one without a
    number, such as a repository call, by its id within the newest 256 of its kind.
    """

    lane: ClassVar[Lane] = "detail"

    counted: Counted | None = None

    @staticmethod
    def count_of(fields: Any) -> str:
        """Return the name of the count that an event of these fields belongs to."""
        raise NotImplementedError
