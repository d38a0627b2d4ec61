"""Signs of life that somebody wrote who has nothing but Redis."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from masterflow.domain.liveness import is_lost
from masterflow.domain.redis_keys import ALIVE_KEY, WATCH_KEY, holds_key
from tests.support.processes.watch_rounds import HOLDER as EVE
from tests.support.processes.watch_rounds import make_rounds, tell
from tests.support.processes.workplace import Workplace

IN_2999 = 32_472_144_000_000_000
DEADLINE_IN_1970: dict[str, Any] = {"flow_deadline_at": 1}


@pytest.fixture
def place(make_workplace: Callable[..., Workplace]) -> Iterator[Workplace]:
    place = make_workplace(ENRICHMENT_LOST_AFTER_S="15")
    with place.worker():
        yield place


def test_a_sign_from_the_year_2999_makes_no_flow_lost_or_overdue(place, context):
    flow_id = place.new_flow(context)
    tell(place, context, flow_id, moment=IN_2999, **DEADLINE_IN_1970)
    make_rounds(place, 5)
    row = place.row(flow_id)
    assert not is_lost(row["flow_status"], row["flow_metadata"])
    assert "2999" not in json.dumps(row["flow_metadata"])
    assert "overdue" not in (row["flow_metadata"] or {})


MALFORMED: dict[str, dict[str, Any]] = {
    "a moment beyond all years": {"moment": 10**30},
    "a deadline beyond all years": {"flow_deadline_at": 10**30},
    "a deadline that is text": {"flow_deadline_at": "soon"},
    "a beginning without end": {"since": float("inf")},
    "a phase's deadline that is a list": {"phases": {"one": [1, [1]]}},
    "phases that are a list": {"phases": [1]},
    "a flow type that is a list": {"flow_type": ["discovery"]},
    "a beginning before all years": {"since": -(10**20)},
}


def test_malformed_signs_cost_no_other_flow_its_watch(place, context):
    for number, forged in enumerate(MALFORMED.values()):
        tell(place, context, place.new_flow(context), sender=f"{EVE}-{number}", **forged)
    nested = f"{EVE}-nested"
    tell(place, context, place.new_flow(context), sender=nested)
    place.redis.hset(holds_key(nested), str(UUID(int=1)), "[" * 100_000)
    honest = place.new_flow(context)
    tell(place, context, honest, sender="host-2-honest", **DEADLINE_IN_1970)
    make_rounds(place, 1)
    assert [one["phase"] for one in place.row(honest)["flow_metadata"]["overdue"]] == [None]


NOTES = [
    "",
    "::::",
    "x:1:1:1",
    "1:x:1:1",
    "1:-1000000:0:0",
    f"1:{10**400}:0:0",
    f"1:1:{10**400}:0",
    "1:1:1:inf",
]


def test_no_junk_among_the_notes_of_the_watch_stops_its_rounds(place, context):
    junk: dict[str | bytes, str | bytes] = {f"sender:{EVE}-{n}": text for n, text in enumerate(NOTES)}
    junk |= {"": "x", b"\xff": b"\xff", b"sender:\xff": b"1:\xff", "rounds": "-5", "sender:": "9" * 5_000}
    place.redis.zadd(ALIVE_KEY, {f"{EVE}-{n}": 1 for n in range(len(NOTES))})
    for name, text in junk.items():
        place.redis.hset(WATCH_KEY, name, text)
    place.redis.hset(WATCH_KEY, "round_at", "nan")
    place.redis.hset(WATCH_KEY, "sender:host-2-honest", f"0:{-(10**9)}:0:0")
    honest = place.new_flow(context)
    tell(place, context, honest, sender="host-2-honest")
    make_rounds(place, 5)
    assert is_lost(place.row(honest)["flow_status"], place.row(honest)["flow_metadata"])
