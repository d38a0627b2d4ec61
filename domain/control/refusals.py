"""The one rule of what may be asked of a flow, and the sentence that says why not."""

from datetime import datetime
from typing import Any, Final, Literal, assert_never

from masterflow.domain.control.questions import Question
from masterflow.domain.control.requests import pending_pause, pending_stop
from masterflow.domain.events.control import Action
from masterflow.domain.liveness import Liveness
from masterflow.domain.statuses import FINAL_STATUSES


def refusal(
    action: Action,
    *,
    status: str,
    liveness: Liveness | None,
    entries: list[dict[str, Any]],
    question: Question | None = None,
    answer: Any = None,
    now: datetime | None = None,
) -> str | None:
    """Return why this cannot be asked of the flow now, in a sentence for whoever asks; None if it can.

    `entries` are the flow's (`control_entries`), `question` is the one that is answered, and `now` the
    time by which an answer may come too late.
    """
    if status in FINAL_STATUSES:
        return f"The flow is {status}; nothing can be asked of it any more."
    if status == "failed" and action != "answer":
        return f"The flow has failed already; there is nothing to {action}."
    match action:
        case "answer":
            return _answer_refusal(question, answer, now)
        case "fail":
            return _WAITS if status in ("paused", "waiting_for_approval") else _FAIL_REFUSALS.get(liveness)
        case "cancel" | "pause" | "resume":
            return _way_refusal(action, status, liveness, entries)
        case _:
            assert_never(action)


def _way_refusal(
    action: Literal["cancel", "pause", "resume"],
    status: str,
    liveness: Liveness | None,
    entries: list[dict[str, Any]],
) -> str | None:
    stop = pending_stop(entries, status)
    if stop and action != "cancel":
        return f"{stop.by} asked to cancel the flow; it can only stop now."
    # Where no process is left that could obey, asking again ends the flow.
    if stop and liveness in ("alive", "silent"):
        return f"{stop.by} asked to cancel the flow already; it stops where it can."
    if action == "cancel":
        return None
    is_pause = action == "pause"
    return _pause_refusal(status, liveness, entries) if is_pause else _resume_refusal(status, entries)


# Its process may live and wait: it would take an answer and run on, in a row that says "failed".
_WAITS: Final = "The flow waits for a person: answer it, or cancel it, which ends it at once."

_FAIL_REFUSALS: Final[dict[Liveness | None, str]] = {
    "alive": "The flow's process lives: cancel the flow instead.",
    "silent": "The flow's process is silent, which is no verdict: wait until it is lost, or cancel the flow.",
}


def _pause_refusal(status: str, liveness: Liveness | None, entries: list[dict[str, Any]]) -> str | None:
    if status in ("paused", "waiting_for_approval"):
        return "The flow waits already."
    if liveness == "lost":
        return "The flow is lost: no process is there that could pause it."
    pending = pending_pause(entries, status)
    if pending and pending.action == "pause":
        return f"{pending.by} asked to pause the flow already; it pauses where it can."
    return None


def _resume_refusal(status: str, entries: list[dict[str, Any]]) -> str | None:
    pending = pending_pause(entries, status)
    if status == "paused":
        return f"{pending.by} asked to resume the flow already." if pending else None
    if status == "waiting_for_approval":
        return "The flow waits for an answer: answer its question."
    return None if pending else "The flow is not paused."


def _answer_refusal(question: Question | None, answer: Any, now: datetime | None) -> str | None:
    if question is None:
        return "The flow asks no such question."
    if question.state == "answered":
        who = f" by {question.answered_by}" if question.answered_by else ""
        return f"The question has been answered{who} already."
    if question.state == "withdrawn":
        return "The question is over: the flow needs no answer any more."
    if question.state == "timed_out" or (now and question.expires_at and question.expires_at < now):
        return "The question is over: nobody answered in time."
    if question.options and answer not in question.options:
        return f"{answer!r:.80} is none of the options: {', '.join(question.options)}."
    return None
