"""What an application and its people do to a row between merges, with statements of their own."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final

from tests.support.events.strategies import BEGIN
from tests.support.model.jsonb import SQL_NULL
from tests.support.rows.legacy import (
    LISTS,
    MAPS,
    STATUSES,
    broken_part,
    legacy_entry,
    legacy_list,
    legacy_map,
    legacy_metadata,
    legacy_times,
)

Row = dict[str, Any]
_JSON_COLUMNS: Final = (*LISTS, *MAPS, "phase_execution_times", "flow_metadata")


def _one_of(random: Random, row: Row, columns: Sequence[str]) -> str:
    """Return a column, if possible one in which something stands."""
    return random.choice([column for column in columns if row[column] not in ([], {}, SQL_NULL)] or columns)


def _status(random: Random, _row: Row, _earlier: Sequence[Row]) -> Row:
    return {"flow_status": random.choice(STATUSES)}


def _stale_column(random: Random, row: Row, earlier: Sequence[Row]) -> Row:
    """An object that was read before the last merges is written back whole."""
    column = _one_of(random, row, (*_JSON_COLUMNS, "flow_persistence_data", "flow_metadata"))
    return {column: random.choice(earlier)[column]}


def _stale_row(random: Random, _row: Row, earlier: Sequence[Row]) -> Row:
    then = random.choice(earlier)
    return {
        column: then[column]
        for column in (*_JSON_COLUMNS, "flow_persistence_data", "flow_status", "retry_count")
    }


def _own_metadata(random: Random, _row: Row, _earlier: Sequence[Row]) -> Row:
    return {"flow_metadata": random.choice([{"owner": "theirs", "key 1": "theirs"}, legacy_metadata(random)])}


def _own_keys(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    column = _one_of(random, row, (*MAPS, "flow_metadata"))
    stored = row[column] if isinstance(row[column], dict) else {}
    return {column: stored | random.choice([{"key 1": "theirs"}, {"key 2": "é" * 4_000, "their own": None}])}


def _nulled(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    return {_one_of(random, row, _JSON_COLUMNS): random.choice((SQL_NULL, None))}


def _appended(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    """Close the last entry of a list and add others, as the application does it."""
    column = _one_of(random, row, LISTS)
    stored = row[column] if isinstance(row[column], list) else []
    if stored and isinstance(stored[-1], dict) and random.random() < 0.3:
        stored = [*stored[:-1], stored[-1] | {"status": "completed", "duration": 1}]
    return {column: [*stored, *(legacy_entry(random) for _ in range(random.choice((0, 1, 2))))]}


def _replaced(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    column = _one_of(random, row, LISTS)
    stored = row[column] if isinstance(row[column], list) else []
    mixed = [*stored[len(stored) // 2 :], *stored[: len(stored) // 2]]
    return {column: random.choice([stored[::-1], stored[::2], stored[:-3], mixed, legacy_list(random)])}


def _odd(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    return {_one_of(random, row, (*LISTS, *MAPS)): random.choice([{"odd": 1}, [1], "odd", 7, True])}


def _broken(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    metadata = row["flow_metadata"] if isinstance(row["flow_metadata"], dict) else {}
    kept = metadata.get("_enrichment")
    return {
        "flow_metadata": metadata
        | {"_enrichment": (kept if isinstance(kept, dict) else {}) | broken_part(random)}
    }


def _others(random: Random, row: Row, _earlier: Sequence[Row]) -> Row:
    return random.choice([
        {"phase_execution_times": legacy_times(random)},
        {random.choice(MAPS): legacy_map(random)},
        {"flow_persistence_data": random.choice([{"theirs": 1}, {"current_phase": "theirs"}, [1]])},
        {"retry_count": random.choice((0, 1, min(row["retry_count"] + 5, 2**31 - 1)))},
    ])  # fmt: skip


_WRITERS: Final[tuple[Callable[[Random, Row, Sequence[Row]], Row], ...]] = (
    _status, _stale_column, _stale_row, _own_metadata, _own_keys, _nulled, _appended,
    _replaced, _odd, _broken, _others,
)  # fmt: skip


def written_by_others(random: Random, row: Row, earlier: Sequence[Row]) -> Row:
    """Return which columns somebody else sets to what, one to three writings at once."""
    changes: Row = {}
    for write in random.sample(_WRITERS, random.choice((1, 1, 2, 3))):
        changes |= write(random, row | changes, earlier)
    after = timedelta(microseconds=random.choice((0, 2, 500, 10**6)))
    return changes | {
        "updated_at": max(row["updated_at"], BEGIN + after + timedelta(days=random.choice((0, 0, 400))))
    }
