"""The statuses of a flow, and how other words for them are understood."""

from typing import Final, Literal, get_args

from masterflow.domain.errors import InputInvalid

FlowStatus = Literal[
    "initialized",
    "active",
    "processing",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "waiting_for_approval",
]

#: What the table's CHECK constraint `chk_valid_flow_status` allows.
FLOW_STATUSES: Final[tuple[FlowStatus, ...]] = get_args(FlowStatus)

#: Nothing leaves these.
FINAL_STATUSES: Final[frozenset[FlowStatus]] = frozenset({"completed", "cancelled"})

#: What a listing of running flows shows.
ACTIVE_STATUSES: Final[frozenset[FlowStatus]] = frozenset(
    {"initialized", "active", "processing", "paused", "waiting_for_approval"}
)

STATUS_ALIASES: Final[dict[str, FlowStatus]] = {
    "awaiting_approval": "waiting_for_approval",
    "waiting_for_user_approval": "waiting_for_approval",
    "awaiting_input": "paused",
    "waiting_for_user": "paused",
    # An error that a tracker reports as the flow's status is a recoverable one: the flow goes on.
    "error": "processing",
    "running": "processing",
    "in_progress": "processing",
    "resumed": "processing",
    "initializing": "initialized",
    "complete": "completed",
    "canceled": "cancelled",
    "deleted": "cancelled",
}


def flow_status(word: str) -> FlowStatus:
    """Return the status that a word stands for.

    Raises:
        InputInvalid: the word is no status and no known alias.
    """
    text = word.strip().lower()
    for status in FLOW_STATUSES:
        if status == text:
            return status
    if text in STATUS_ALIASES:
        return STATUS_ALIASES[text]
    known = ", ".join(FLOW_STATUSES)
    raise InputInvalid(f"{word!r:.80} is no flow status; use one of {known}.")


def flow_status_or_none(word: str) -> FlowStatus | None:
    """Return the status that a word stands for, or None if it stands for none."""
    try:
        return flow_status(word)
    except InputInvalid:
        return None
