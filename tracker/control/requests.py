"""What a flow can be told, and how its code learns that it is to stop."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from masterflow.domain import InputInvalid
from masterflow.domain.clock import parse_time

#: What somebody asked of the flow; `asked` tells a process of a question that it asks, and that was asked
#: before.
Action = Literal["cancel", "pause", "resume", "answer", "asked"]

_ACTIONS: Final = frozenset({"cancel", "pause", "resume", "answer", "asked"})


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody wants the flow to end."""

    request_id: UUID
    by: str
    reason: str | None
    at: datetime

    def __str__(self) -> str:
        return f"{self.by} asked it to stop" + (f": {self.reason}" if self.reason else ".")

    @property
    def row_metadata(self) -> dict[str, str | None]:
        """Return what the row says of a flow that ended because of it."""
        return {
            "cancelled_by": self.by,
            "cancel_reason": self.reason,
            "cancel_request": str(self.request_id),
        }


class FlowStopped(Exception):
    """Somebody asked the flow to stop, and its code was where it said that it would.

    Let it pass: leaving `with tracker:` by it ends the flow as `cancelled`.
    """

    def __init__(self, request: StopRequest, flow_id: UUID | str) -> None:
        super().__init__(request, flow_id)
        self.request = request
        self.flow_id = flow_id

    def __str__(self) -> str:
        return str(self.request)


@dataclass(frozen=True, slots=True)
class Message:
    """One request, as a worker tells it to the processes of its tenant."""

    request_id: UUID
    action: Action
    by: str
    at: datetime
    reason: str | None = None
    question_id: UUID | None = None
    answer: Any = None
    #: How the question ended that was asked before; None while it is open.
    outcome: str | None = None

    @property
    def place(self) -> tuple[datetime, UUID]:
        """Return where it stands among others: of two, the later one counts."""
        return self.at, self.request_id

    @property
    def as_stop(self) -> StopRequest:
        """Return it as the code of the flow sees it."""
        return StopRequest(self.request_id, self.by, self.reason, self.at)


def read_message(text: str) -> Message:
    """Return what a message says; keys that are not known are of a newer worker.

    Raises:
        InputInvalid: it is none, or asks for what no process does.
    """
    try:
        said = json.loads(text)
        at, action = parse_time(said["at"]), said["action"]
        if at is None or action not in _ACTIONS:
            raise InputInvalid(f"A flow cannot be told {action!r:.40} at {said['at']!r:.40}.")
        question_id = said.get("question_id")
        return Message(
            request_id=UUID(said["request_id"]),
            action=action,
            by=str(said["by"]),
            at=at,
            reason=None if said.get("reason") is None else str(said["reason"]),
            question_id=None if question_id is None else UUID(question_id),
            answer=said.get("answer"),
            outcome=said.get("outcome"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputInvalid(f"What a flow is told makes no sense: {type(error).__name__}: {error}") from error
