"""One notice: what happened to which flow, under an id that stays the same however often it is told."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict

from masterflow.domain.clock import to_microseconds
from masterflow.domain.events import (
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    FlowLost,
    QuestionAsked,
    StatusChanged,
)
from masterflow.domain.json_shapes import as_map
from masterflow.domain.payload.masking import mask_text
from masterflow.domain.shown.harmless import harmless
from masterflow.domain.statuses import FINAL_STATUSES
from masterflow.tasks.control.requests import OWN_WORDS
from masterflow.tasks.notices.receivers import NoticeEvent

# Any UUID will do, so long as it stays the same.
_IDS: Final = UUID("a9d6a1b4-7d0c-5c53-9a3f-0e5b3a6f8c11")

_MOST_CHARS: Final = 500
_MOST_NAME_CHARS: Final = 200

_OF_STATUSES: Final[Mapping[str, NoticeEvent]] = {
    "failed": "failed",
    "completed": "completed",
    "cancelled": "cancelled",
    "waiting_for_approval": "waiting",
}

_SENTENCES: Final[Mapping[NoticeEvent, str]] = {
    "failed": "failed",
    "lost": "is lost: nobody runs it any more",
    "overdue": "is past a deadline",
    "waiting": "waits for a human",
    "over_budget": "is over its budget",
    "completed": "is completed",
    "cancelled": "was cancelled",
}


class Notice(BaseModel):
    """What receivers are told; the fields are those of `data` in a webhook's body."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    event: NoticeEvent
    #: When it happened; a lost flow was last heard of then.
    at: AwareDatetime
    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    flow_type: str
    flow_name: str | None = None
    phase: str | None = None
    #: The newest error, the question, or why it was asked to stop, cut to 500 characters.
    detail: str | None = None
    is_test: bool = False

    @property
    def sentence(self) -> str:
        """Return all of it in one line."""
        name = f"{self.flow_name} ({self.flow_id})" if self.flow_name else str(self.flow_id)
        phase = f" in {self.phase}" if self.phase else ""
        test = "This is a test. " if self.is_test else ""
        detail = f": {self.detail}" if self.detail else ""
        said = f"{test}The {self.flow_type} flow {name} {_SENTENCES[self.event]}{phase}{detail}"
        return " ".join(said.split())

    @property
    def named(self) -> str:
        """Return how the Standard Webhooks name what happened."""
        return f"flow.{self.event}"


def event_of(event: AnyEvent) -> NoticeEvent | None:
    """Return what receivers may be told of an event."""
    match event:
        case StatusChanged():
            return _OF_STATUSES.get(event.status)
        case FlowLost():
            return "lost"
        case DeadlinePassed():
            return "overdue"
        case QuestionAsked():
            return "waiting"
        case ControlRequested() if event.by in OWN_WORDS:
            return "over_budget"
        case _:
            return None


def notices_of(
    events: Iterable[AnyEvent], rows: Mapping[UUID, Mapping[str, Any]], *, is_sure: bool = True
) -> Iterator[Notice]:
    """Return what is to be told of committed events, by the rows of their flows from read_notices.sql.

    What the rows disprove is left out: it is about another tenant's flow, which is not lost, or had ended
    before. Without `is_sure` the row has to show it, for the event may never have been committed.
    """
    events = list(events)
    asking = {event.flow_id for event in events if isinstance(event, QuestionAsked)}
    for event in events:
        name, row = event_of(event), rows.get(event.flow_id)
        is_same = isinstance(event, StatusChanged) and name == "waiting" and event.flow_id in asking
        if name is None or row is None or is_same or not _is_shown(event, name, row, is_sure=is_sure):
            continue
        yield Notice(
            id=_id(event, name),
            event=name,
            at=_moment(event),
            flow_id=event.flow_id,
            client_account_id=row["client_account_id"],
            engagement_id=row["engagement_id"],
            flow_type=str(row["flow_type"]),
            flow_name=_cut(row["flow_name"], _MOST_NAME_CHARS),
            phase=_phase(event, name, row),
            detail=_detail(event, name, row),
        )


def _is_shown(event: AnyEvent, name: NoticeEvent, row: Mapping[str, Any], *, is_sure: bool) -> bool:
    if (event.client_account_id, event.engagement_id) != (row["client_account_id"], row["engagement_id"]):
        return False
    status = row["flow_status"]
    if name == "lost":
        return bool(row["is_lost"])
    if status == name or not is_sure:
        return bool(status == name)
    if status not in FINAL_STATUSES:
        return True
    # It ended in another way since: a failure before is true all the same, an end is not.
    ended = str(row["ended"] or "")[:16]
    is_before = ended.isdecimal() and to_microseconds(event.occurred_at) <= int(ended)
    return is_before and name not in FINAL_STATUSES


def _cut(found: object, most: int) -> str | None:
    # An application writes names and errors into rows too, and masks nothing.
    text = harmless(mask_text(str(found))) if found else ""
    return (text or None) if len(text) <= most else f"{text[: most - 1]}…"


def _id(event: AnyEvent, name: NoticeEvent) -> UUID:
    # Two witnesses of one death tell it under ids of their own.
    what = event.last_sign_at.isoformat() if isinstance(event, FlowLost) else event.event_id
    return uuid5(_IDS, f"{event.flow_id}:{name}:{what}")


def _moment(event: AnyEvent) -> datetime:
    return event.last_sign_at if isinstance(event, FlowLost) else event.occurred_at


def _phase(event: AnyEvent, name: NoticeEvent, row: Mapping[str, Any]) -> str | None:
    own = getattr(event, "phase", None)
    if own is None and name in {"failed", "lost", "waiting"}:
        own = as_map(row["last_error"]).get("phase") if name == "failed" else row["current_phase"]
    return _cut(own, _MOST_NAME_CHARS)


def _detail(event: AnyEvent, name: NoticeEvent, row: Mapping[str, Any]) -> str | None:
    match event:
        case QuestionAsked():
            found: object = event.question
        case ControlRequested():
            found = event.reason
        case _:
            found = as_map(row["last_error"]).get("error") if name == "failed" else None
    return _cut(found, _MOST_CHARS)
