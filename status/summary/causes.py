"""The errors of one flow folded by their causes, as the overview of a fleet folds those of all flows."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, JsonValue

from masterflow.domain.clock import parse_time
from masterflow.domain.fleet.causes import READ_CHARS, cause_of
from masterflow.domain.fleet.facts import NAME_CHARS
from masterflow.status.entry_texts import entry_text


class ErrorCause(BaseModel):
    """Errors of a flow whose texts differ in numbers, ids, times and hosts alone."""

    cause: str
    errors: int
    phases: list[str]
    #: Null where no time is known.
    first_seen_at: datetime | None
    last_seen_at: datetime | None


def cause_of_entry(entry: Mapping[str, Any]) -> str:
    """Return the cause of an entry of `error_history`."""
    error = entry.get("error")
    text = error if isinstance(error, str) else "" if error is None else json.dumps(error, ensure_ascii=False)
    return cause_of(text[:READ_CHARS])


def causes_of(entries: Iterable[Mapping[str, JsonValue]]) -> list[ErrorCause]:
    """Return the causes of these errors, those with the most errors first."""
    by_cause: dict[str, list[Mapping[str, JsonValue]]] = {}
    for entry in entries:
        by_cause.setdefault(cause_of_entry(entry), []).append(entry)
    found = [_folded(cause, those) for cause, those in by_cause.items()]
    return sorted(found, key=lambda one: (-one.errors, one.cause))


def _folded(cause: str, entries: list[Mapping[str, JsonValue]]) -> ErrorCause:
    times = [at for entry in entries if (at := parse_time(entry.get("timestamp"))) is not None]
    return ErrorCause(
        cause=cause,
        errors=len(entries),
        phases=sorted({text for entry in entries if (text := entry_text(entry.get("phase"))[:NAME_CHARS])}),
        first_seen_at=min(times, default=None),
        last_seen_at=max(times, default=None),
    )
