"""What can never be applied, and why."""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from masterflow.domain.errors import InputInvalid, PermanentError
from masterflow.domain.payload.safe import safe_object, safe_text

_EXCERPT_CHARS: Final = 2_000
_MAX_EVENT_BYTES: Final = 64_000


class MessageTooLarge(InputInvalid):
    """A message is larger than any sender of ours makes it."""

    reason = "too_large"


class MessageUnreadable(InputInvalid):
    """A message is not the JSON it must be."""

    reason = "unreadable"


class TaskUnknown(PermanentError):
    """No task has this name."""

    reason = "unknown_task"


class WorkerLost(PermanentError):
    """The worker ended each time it tried."""

    reason = "worker_lost"


class DataRefused(PermanentError):
    """Postgres refuses the values of an event."""

    reason = "data_refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event, or something that is none, and the reason it is set aside."""

    error: PermanentError
    #: The event's JSON object, or `{"excerpt": text}` of what is no event.
    subject: dict[str, JsonValue]

    @property
    def is_event(self) -> bool:
        """Return whether the subject is whole, so that it can be tried again."""
        return "excerpt" not in self.subject


def refuse(subject: object, error: PermanentError) -> Refusal:
    """Return a refusal that holds an event whole if it is not too large, with secrets masked."""
    if isinstance(subject, dict):
        kept = safe_object(subject, max_bytes=_MAX_EVENT_BYTES)
        return Refusal(error, kept)
    return Refusal(error, {"excerpt": safe_text(subject, max_chars=_EXCERPT_CHARS)})
