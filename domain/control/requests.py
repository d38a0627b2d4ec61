"""The requests in `flow_metadata.control`, and which of them the flow has not obeyed yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from masterflow.domain.clock import parse_time
from masterflow.domain.events.control import Action
from masterflow.domain.json_shapes import as_list, as_map
from masterflow.domain.statuses import FINAL_STATUSES

_ACTIONS: Final[dict[str, Action]] = {
    "cancel": "cancel",
    "pause": "pause",
    "resume": "resume",
    "answer": "answer",
    "fail": "fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked of a flow."""

    id: UUID
    action: Action
    by: str
    at: datetime
    reason: str | None = None
    #: What an answer answers.
    question_id: UUID | None = None
    answer: Any = None


def control_entries(metadata: object) -> list[dict[str, Any]]:
    """Return the entries of `flow_metadata.control`, the oldest first; what is none of ours is left out."""
    found = [as_map(entry) for entry in as_list(as_map(metadata).get("control"))]
    return sorted(filter(_is_entry, found), key=lambda entry: (entry["timestamp"], entry["id"]))


def _is_entry(entry: dict[str, Any]) -> bool:
    return (
        isinstance(entry.get("kind"), str)
        and uuid_of(entry.get("id")) is not None
        and parse_time(entry.get("timestamp")) is not None
    )


def uuid_of(text: object) -> UUID | None:
    """Return the id that a text of the row is, if it is one."""
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def requests(entries: list[dict[str, Any]]) -> list[Request]:
    """Return the requests among the entries, the oldest first."""
    return list(_requests(entries))


def _requests(entries: list[dict[str, Any]]) -> Iterator[Request]:
    for entry in entries:
        action = _ACTIONS.get(entry["kind"])
        request_id, at = uuid_of(entry["id"]), parse_time(entry["timestamp"])
        if action and request_id and at:
            reason = entry.get("reason")
            yield Request(
                id=request_id,
                action=action,
                by=str(entry.get("by", "")),
                at=at,
                reason=reason if isinstance(reason, str) else None,
                question_id=uuid_of(entry.get("question_id")),
                answer=entry.get("answer"),
            )


def pending_stop(
    entries: list[dict[str, Any]], status: str, *, reopened_at: datetime | None = None
) -> Request | None:
    """Return the first request to cancel, while the flow has not ended.

    What was asked before a failed flow was tried again (`reopened_at`) counts no more.
    """
    if status in FINAL_STATUSES or status == "failed":
        return None
    for request in _requests(entries):
        if request.action == "cancel" and (reopened_at is None or request.at > reopened_at):
            return request
    return None


def pending_pause(entries: list[dict[str, Any]], status: str) -> Request | None:
    """Return the newest request to pause or resume, if the flow's status is not what it asks for."""
    asked = [request for request in _requests(entries) if request.action in ("pause", "resume")]
    newest = asked[-1] if asked else None
    if newest is None or status in FINAL_STATUSES or status == "failed":
        return None
    is_waiting = status in ("paused", "waiting_for_approval")
    return newest if is_waiting == (newest.action == "resume") else None


def paused_by(entries: list[dict[str, Any]], status: str) -> Request | None:
    """Return the request for which a paused flow waits."""
    asked = [request for request in _requests(entries) if request.action in ("pause", "resume")]
    return asked[-1] if asked and asked[-1].action == "pause" and status == "paused" else None
