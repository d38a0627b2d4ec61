"""Hypothesis strategies for rows as others have left them: older writers, mistakes, broken bookkeeping."""

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from tests.support.events.strategies import BEGIN, chance
from tests.support.events.texts import NAMES, ODD_TEXTS, long_text
from tests.support.model.jsonb import SQL_NULL

LISTS: Final = ("phase_transitions", "error_history", "agent_collaboration_log")
MAPS: Final = ("memory_usage_metrics", "agent_performance_metrics")

#: The application knows two more statuses than trackers do.
STATUSES: Final = (
    "initialized",
    "active",
    "processing",
    "paused",
    "failed",
    "completed",
    "cancelled",
    "archived",
    "deleted",
)

_OFFSETS: Final = (
    timedelta(hours=5, minutes=30),
    timedelta(hours=-8),
    timedelta(0),
    timedelta(hours=-23, minutes=-59),
)


def legacy_time(random: Random) -> Any:
    """Return a time near the events' in one of the forms in which it stands in rows, or what is none."""
    at = BEGIN + timedelta(
        microseconds=random.choice((random.randrange(6), random.randrange(10**6), -(10**12)))
    )
    seconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    elsewhere = at.astimezone(timezone(random.choice(_OFFSETS)))
    return random.choice([
        at.replace(tzinfo=None).isoformat(), at.strftime("%Y-%m-%dT%H:%M:%S"), at.strftime("%Y-%m-%d %H:%M"),
        at.strftime("%Y-%m-%d"), at.strftime("%Y-%m-%d %H:%M:%S.%fZ"), at.strftime("%Y-%m-%dT%H:%M:%S,%f+00"),
        at.isoformat(timespec="microseconds"), elsewhere.isoformat(), elsewhere.strftime("%Y-%m-%dT%H:%M%z"),
        f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}789Z",
        seconds, int(seconds), int(seconds * 1_000), int(seconds * 10**6), str(int(seconds)), -5, 0,
        "1969-07-20T20:17:40Z", "2026-02-30T00:00:00", "yesterday", "", None, [], {}, True, 10**40,
    ])  # fmt: skip


def legacy_entry(random: Random) -> Any:
    """Return an entry of a list as somebody else writes it."""
    if random.random() < 0.1:
        return random.choice([1, "two", None, [3], "x" * 1_500, ["é" * 900], *ODD_TEXTS[2:5]])
    entry: dict[str, Any] = {
        "phase": random.choice(["data_import", "p" * 90, 5, None]),
        "status": "completed",
    }
    if random.random() < 0.9:
        entry["timestamp"] = legacy_time(random)
    if random.random() < 0.3:
        entry["id"] = random.choice(
            [f"{random.getrandbits(64):x}", random.randrange(99), None, "", f"{random.getrandbits(128):032x}"]
        )
    if random.random() < 0.3:
        entry[random.choice(NAMES).replace("\0", "").replace("\ud800", "")] = random.choice(
            [None, 1, {"a": None}]
        )
    if random.random() < 0.2:
        entry["metadata"] = {"text": long_text(random)}
    return entry


def legacy_list(random: Random) -> Any:
    """Return what may stand in a list column."""
    odd = [SQL_NULL, None, [], [1, "two", None], {"not": "a list"}, "text", 3]
    if random.random() < 0.4:
        return random.choice(odd)
    entries = [legacy_entry(random) for _ in range(random.choice((1, 3, 8, 60, 105, 180)))]
    if random.random() < 0.3:
        entries *= random.choice((1, 2))
    return entries


def _mixed_entries() -> list[Any]:
    """Return entries of `control` of which some are as ours."""
    placed = {"id": "0b1f6d3e-8a52-4c1c-9a34-5f2b7c1d9e10", "timestamp": "2026-11-01T00:00:00.000002+00:00"}
    return [
        placed,
        placed | {"kind": "cancel", "by": "ana"},
        placed | {"kind": ["cancel"]},
        placed | {"kind": "cancel", "by": "bo"},
        placed | {"kind": "asked", "id": "short"},
        placed | {"kind": "settled", "timestamp": 5},
    ]


def legacy_map(random: Random) -> Any:
    """Return what may stand in a map column."""
    maps = [
        {},
        {"key 1": 5, "unknown": [1, None]},
        {"key 2": "x" * 5_000, "…": 1},
        {f"old {number}": number for number in range(120)},
        {
            "usage": {
                "calls": 3,
                "cost_usd": 0.25,
                "note": "theirs",
                "Schema Expert": 5,
                "legacy": {"m": {"calls": 2}},
            },
            "usage_budget": 5,
        },
        {
            "usage": random.choice(
                [None, 7, {"Schema Expert": {"m": {"calls": "many", "input_tokens": 2.50}}}]
            )
        },
        {
            "lost": random.choice(["and found", None, {"cause": "theirs"}]),
            "control": random.choice(["theirs", None, {}, [1], _mixed_entries()]),
            "overdue": random.choice([True, None, [], _mixed_entries()]),
        },
    ]
    return random.choice([SQL_NULL, None, *maps, *maps, ["not a map"], "text"])


def legacy_times(random: Random) -> Any:
    """Return what may stand in the column of phases' times."""
    timed = {"execution_time_ms": 5, "recorded_at": legacy_time(random), "note": "kept"}
    own = {
        "execution_time_ms": 7,
        "completed_at": legacy_time(random),
        "attempts": random.choice((1, 4, 2.5, "many", None)),
    }
    maps = [
        {},
        {"data_import": timed, "task": 12},
        {"data_import": 7},
        {"data_import": own},
        {"data_import": [None, {"a": None}]},
    ]
    return random.choice([SQL_NULL, None, *maps, *maps, ["not a map"], 5])


def broken_part(random: Random) -> dict[str, Any]:
    """Return a part of the bookkeeping that somebody has broken."""
    name = random.choice(
        (
            "clocks",
            "counts",
            "usage",
            "status",
            "retries",
            "timings",
            "sorted",
            "phase",
            "newest",
            "since",
            "displaced",
        )
    )
    forms: dict[str, list[Any]] = {
        "clocks": [
            {"flow_metadata": []},
            {"memory_usage_metrics": {"key 1": 5}},
            {"flow_metadata": {"key 1": "garbage"}},
        ],
        "counts": [
            {"retries": []},
            {"retries": {"base": "1"}},
            {"retries": {"by": {"a": "2"}}},
            {"retries": {"base": 2, "by": {}, "from": []}},
        ],
        "usage": [
            {"": {"by": {"a": [1, 2]}}},
            {"a\x1fb": {"base": "5"}},
            {"": {"base": [1, 2, 3, 4, "5"]}},
            {"": {"from": {"a": 5}}},
        ],
        "status": [{"latest": {}}, {"latest": [1]}, {"wrote": 5}, {"final": "completed"}],
        "retries": [{}, [1], "x"],
        "timings": [{"a": []}, [None]],
    }
    return {
        name: random.choice(
            [
                *forms.get(name, []),
                None,
                5,
                "x" if name not in ("phase", "newest", "since") else [],
                {} if name != "displaced" else [],
            ]
        )
    }


def legacy_metadata(random: Random) -> Any:
    """Return what may stand in `flow_metadata`."""
    if random.random() < 0.2:
        broken: Any = random.choice(
            [None, [], "x", broken_part(random), broken_part(random) | broken_part(random)]
        )
        return {"key 1": "theirs", "_enrichment": broken}
    if random.random() < 0.1:
        return {"phase_transitions": random.choice([5, {}, ["a:b"]]), "key 3": 1}
    return legacy_map(random)


def legacy_row(random: Random) -> dict[str, Any]:
    """Return the columns of a row that was there before this project."""
    return {
        **{name: legacy_list(random) for name in LISTS},
        **{name: legacy_map(random) for name in MAPS},
        "phase_execution_times": legacy_times(random),
        "flow_metadata": legacy_metadata(random),
        # A column without NULL.
        "flow_persistence_data": random.choice([{}, {"raw": [1], "current_phase": "theirs"}, ["odd"], None]),
        "flow_status": random.choice(STATUSES),
        "retry_count": random.choice((0, 0, 3, 2**31 - 2)),
        "created_at": BEGIN - timedelta(days=30),
        "updated_at": BEGIN
        + random.choice((timedelta(days=-30), timedelta(0), timedelta(microseconds=3), timedelta(days=1))),
    }


def fresh_row() -> dict[str, Any]:
    """Return the columns of a row in which nothing stands yet."""
    empty: dict[str, Any] = {name: [] for name in LISTS}
    empty |= {name: {} for name in (*MAPS, "phase_execution_times", "flow_metadata", "flow_persistence_data")}
    begun = {"created_at": BEGIN - timedelta(days=30), "updated_at": BEGIN - timedelta(days=30)}
    return empty | {"flow_status": "initialized", "retry_count": 0} | begun


#: Rows to begin with.
rows: Final = st.one_of(st.builds(fresh_row), chance.map(legacy_row))
