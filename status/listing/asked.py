"""What is asked of the list, from the words of a query, a form or a command line to a filter."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, get_args
from uuid import UUID

from masterflow.domain import InputInvalid
from masterflow.domain.clock import parse_time
from masterflow.domain.fleet.matching import Counted, Span
from masterflow.domain.liveness import Liveness
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.status.wanted import SORTS, FlowFilter, Sort

#: What stands before a key of `flow_metadata` that is asked for: `meta.source=nightly`.
META: Final = "meta."

_RESERVED: Final = "_enrichment"
_WORD_CHARS: Final = 200
_CAUSE_CHARS: Final = 400
_MOST_KEYS: Final = 5
_FLAGS: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "": False,
}

Words = Mapping[str, Sequence[str]]


def filter_of(words: Words) -> FlowFilter:
    """Return the filter that words stand for; what is empty or unknown does not matter.

    Raises InputInvalid for a word that is not understood; the message says which, and what would be.
    """
    text = _word(words, "text")
    return FlowFilter(
        statuses=_choices(words, "status", FLOW_STATUSES),
        flow_type=_word(words, "type", most=50),
        flow_id=_as_flow_id(text),
        phase=_word(words, "phase"),
        user_id=_word(words, "user", most=255),
        since=_time(words, "since"),
        until=_time(words, "until"),
        text=text,
        liveness=_choices(words, "liveness", get_args(Liveness)),
        is_overdue=_flag(words, "overdue"),
        is_waiting=_flag(words, "waiting"),
        metadata=_metadata(words),
        counted=Counted(
            ended=Span(_time(words, "ended_since"), _time(words, "ended_until")),
            ran=_word(words, "ran"),
            ran_at=Span(_time(words, "ran_since"), _time(words, "ran_until")),
            cause=_word(words, "cause", most=_CAUSE_CHARS),
            seen_at=Span(_time(words, "seen_since"), _time(words, "seen_until")),
        ),
    )


def sort_of(words: Words) -> Sort:
    """Return the order that words ask for; raises InputInvalid for one that there is not."""
    chosen = _choices(words, "sort", SORTS)
    return next((sort for sort in SORTS if sort in chosen), "created")


def _word(words: Words, name: str, *, most: int = _WORD_CHARS) -> str | None:
    found = next((value for value in words.get(name, ()) if value.strip()), None)
    if found is not None and len(found) > most:
        raise InputInvalid(f"`{name}` has at most {most} characters.")
    return found.replace("\0", "").strip() or None if found else None


def _choices(words: Words, name: str, known: Sequence[str]) -> tuple[Any, ...]:
    found = tuple(dict.fromkeys(value for value in words.get(name, ()) if value))
    if unknown := [value for value in found if value not in known]:
        raise InputInvalid(f"`{name}` is one of {', '.join(known)}, not {unknown[0][:50]!r}.")
    return found


def _time(words: Words, name: str) -> datetime | None:
    found = _word(words, name)
    at = None if found is None else parse_time(found)
    if found is not None and at is None:
        raise InputInvalid(f"`{name}` is a time like 2026-11-02T09:30:00Z, not {found[:50]!r}.")
    return at


def _flag(words: Words, name: str) -> bool:
    found = (_word(words, name) or "").lower()
    if found not in _FLAGS:
        raise InputInvalid(f"`{name}` is true or false, not {found[:50]!r}.")
    return _FLAGS[found]


def _metadata(words: Words) -> tuple[tuple[str, str], ...]:
    asked = []
    for name in words:
        key = name.removeprefix(META).replace("\0", "")
        if not name.startswith(META) or not words[name] or not any(words[name]):
            continue
        if not key or len(name) > _WORD_CHARS or len(words[name]) > 1 or len(words[name][0]) > _WORD_CHARS:
            raise InputInvalid(
                f"Ask for a key of flow_metadata as `{META}KEY=VALUE`, each key once, with at most"
                f" {_WORD_CHARS} characters."
            )
        if key.partition(".")[0] == _RESERVED:
            raise InputInvalid(f"`{_RESERVED}` is bookkeeping of ours; ask for another key.")
        asked.append((key, words[name][0].replace("\0", "")))
    if len(asked) > _MOST_KEYS:
        raise InputInvalid(f"At most {_MOST_KEYS} keys of flow_metadata can be asked for at once.")
    return tuple(sorted(asked))


def _as_flow_id(text: str | None) -> UUID | None:
    """Return the flow that a text names whole."""
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
