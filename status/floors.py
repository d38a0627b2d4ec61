"""Which numbers are only known from below, and how every reader says so: `at least 100`."""

from collections.abc import Collection, Iterable
from typing import Final

from masterflow.domain.json_shapes import as_list
from masterflow.repository.merge.deltas import MAX_ENTRIES

RETRIES: Final = "retry_count"
TRANSITIONS: Final = "transition_count"
ERRORS: Final = "error_count"
COLLABORATIONS: Final = "collaboration_count"
SKIPPED: Final = "skipped_events"


def attempts_name(phase: str) -> str:
    """Return what the attempts of a phase are called among the floors."""
    return f"attempts:{phase}"


def floors_of(counts: object) -> list[str]:
    """Return the floors among the row's own counts, from the names that its bookkeeping has for them."""
    names = [name for name in as_list(counts) if isinstance(name, str)]
    return [RETRIES if name == "retries" else name for name in names]


def full_lists(lengths: Iterable[tuple[str, int]]) -> list[str]:
    """Return the numbers of entries that are floors: a full list may have lost older ones, uncounted."""
    return [name for name, length in lengths if length >= MAX_ENTRIES]


def figure(number: int | None, name: str, at_least: Collection[str]) -> str:
    """Return a number in the words of all readers; nothing where there is none."""
    if number is None:
        return ""
    return f"at least {number}" if name in at_least else str(number)


def skipped_sentence(count: int | None, at_least: Collection[str]) -> str:
    """Return what all readers say of events that are not in a row; nothing if none is known to be missing."""
    if not count:
        said = "Some events may have been skipped while enrichment was off."
        return said if SKIPPED in at_least else ""
    events = "event was" if count == 1 else "events were"
    return f"{count} {events} skipped while enrichment was off."
