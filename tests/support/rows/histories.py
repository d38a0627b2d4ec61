"""Hypothesis strategies for what happens to a row: events in batches, other writers in between."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import strategies as st

from masterflow.domain import FlowContext
from masterflow.domain.events import AnyEvent, CountedEvent, UsageReported
from masterflow.domain.payload.fields import USAGE_SEPARATOR
from tests.support.events.strategies import chance, crowded_events, wide_event_sets
from tests.support.rows.legacy import fresh_row, rows

_LONGEST_CHARS = 20_000
_MOST_COUNTERS = 32
_MOST_OF_A_MODEL = 16


@dataclass(frozen=True)
class Stage:
    """Events that reach a row before somebody else writes into it."""

    events: list[AnyEvent]
    #: The seed of what others write afterwards.
    others: int


@dataclass(frozen=True)
class History:
    """A row, and what happens to it."""

    before: dict[str, Any]
    stages: list[Stage]
    #: The seed of how events are delivered.
    delivery: int

    def __repr__(self) -> str:
        text = f"History({self.before}, {self.stages}, {self.delivery})"
        return text if len(text) < _LONGEST_CHARS else f"{text[:_LONGEST_CHARS]}…"


@st.composite
def histories(draw: st.DrawFn, context: FlowContext) -> History:
    """Draw a row, and up to three stages; what has been delivered may come again in a later one."""
    before = draw(rows)
    events = draw(wide_event_sets(context))
    random = draw(chance)
    random.shuffle(events)
    count = draw(st.sampled_from([2, 1, 3]))
    if _are_many_counters(events):
        # Where others took the bookkeeping away, the law ends at 32 counters (of a model 16): docs/adr/0001.
        before, count = fresh_row(), 1
    cuts = [0, *sorted(random.randrange(len(events) + 1) for _ in range(count - 1)), len(events)]
    stages = [
        Stage(
            events[start:end] + random.sample(events[:start], min(start, random.choice((0, 2, 9, 90)))),
            random.getrandbits(32),
        )
        for start, end in pairwise(cuts)
    ]
    return History(before, stages, random.getrandbits(32))


def crowded_history(context: FlowContext, crowd: str, seed: int) -> History:
    """Return a fresh row and a crowd of events that reach a bound of it, many of them at the same time."""
    random = Random(seed)
    events = crowded_events(context, crowd, random)
    return History(fresh_row(), [Stage(events, seed)], seed)


def _are_many_counters(events: Iterable[AnyEvent]) -> bool:
    counters: dict[str, set[str]] = {}
    for event in events:
        if isinstance(event, CountedEvent) and event.counted:
            counters.setdefault(event.count_of(event), set()).add(event.counted.by)
        elif isinstance(event, UsageReported):
            counters.setdefault("usage", set()).add(event.counted.by)
            counters.setdefault(event.name_of(event), set()).add(event.counted.by)
    most = {name: _MOST_OF_A_MODEL if USAGE_SEPARATOR in name else _MOST_COUNTERS for name in counters}
    return any(len(found) > most[name] for name, found in counters.items())


def deliveries(events: Sequence[AnyEvent], random: Random) -> list[list[AnyEvent]]:
    """Return a way to deliver the events: any order, some twice, in batches of any size."""
    delivered = [*events, *random.choices(events, k=len(events) // 3)] if events else []
    random.shuffle(delivered)
    size = random.choice(
        [1, 2, 5, 50] if len(events) < 12 else [4, 9, 50] if len(events) < 40 else [20, 60, 90]
    )
    return [delivered[start : start + size] for start in range(0, len(delivered), size)]


def orderly(events: Sequence[AnyEvent], random: Random) -> list[list[AnyEvent]]:
    """Return the events as they happened, in one batch or a few."""
    in_order = sorted(events, key=lambda event: event.stamp)
    size = random.choice([1, 3, 40] if len(events) < 12 else [20, 40])
    return [in_order[start : start + size] for start in range(0, len(in_order), size)]
