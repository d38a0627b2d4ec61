import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings

from masterflow.domain import FlowContext
from masterflow.domain.event_text import event_text
from masterflow.domain.events import AnyEvent, MetadataUpdated, ProgressReported, new_event, parse_event
from masterflow.domain.records.superseded import without_superseded
from masterflow.repository.merge.deltas import sum_up
from tests.support.events.flows import new_context
from tests.support.events.reference_model import row_after
from tests.support.events.reported import CONTEXT, FLOW_ID
from tests.support.rows.histories import History, deliveries, histories
from tests.support.rows.legacy import fresh_row

_CONTEXT = new_context()


def snapshot(percent: int, context: FlowContext = CONTEXT, flow_id: UUID = FLOW_ID, **more: Any) -> bytes:
    return event_text(ProgressReported, context, flow_id, snapshot={"progress": percent}, **more)


def percents(events: list[bytes]) -> list[int]:
    return [json.loads(event)["snapshot"]["progress"] for event in without_superseded(events)]


def test_of_the_snapshots_of_a_flow_the_newest_travels_wherever_it_stands() -> None:
    events = [snapshot(number) for number in range(4)]
    assert percents(events) == [3]
    assert percents(events[::-1]) == [3]
    assert percents([events[2]]) == [2]
    assert without_superseded([]) == []


def test_the_time_decides_and_then_the_id() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    early = snapshot(1, occurred_at=at, event_id=UUID(int=2))
    late = snapshot(2, occurred_at=at + timedelta(microseconds=1), event_id=UUID(int=1))
    same = snapshot(3, occurred_at=at + timedelta(microseconds=1), event_id=UUID(int=0))
    assert percents([late, early, same]) == [2]


def test_a_snapshot_stands_in_for_none_of_another_flow_or_tenant_or_user() -> None:
    other = CONTEXT.model_copy(update={"engagement_id": uuid4()})
    user = CONTEXT.model_copy(update={"user_id": 'an"n,"occurred_at":"2026-11-27T23:58:06.737065Z"'})
    events = [snapshot(1), snapshot(2, other), snapshot(3, user), snapshot(4, flow_id=uuid4())]
    assert percents(events) == [1, 2, 3, 4]
    assert percents([*events, snapshot(5, user)]) == [1, 2, 4, 5]


def test_a_snapshot_ahead_of_the_clock_stands_in_for_none() -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    assert percents([snapshot(1), snapshot(2, occurred_at=ahead, event_id=uuid4())]) == [1, 2]


@pytest.mark.parametrize(
    "event",
    [
        event_text(MetadataUpdated, CONTEXT, FLOW_ID, updates={"a": {"kind": "progress_reported"}}),
        b'{"kind":"progress_reported","event_id":"x"}',
        b'"kind":"progress_reported"',
    ],
    ids=["of another kind", "of nobody", "no JSON"],
)
def test_what_is_no_snapshot_of_ours_travels(event: bytes) -> None:
    events = [event, snapshot(1), event]
    assert without_superseded(events) == events


def written(batch: Sequence[AnyEvent]) -> list[bytes]:
    return [event.model_dump_json().encode() for event in batch]


def read(texts: Sequence[bytes]) -> list[AnyEvent]:
    return [parse_event(json.loads(text)) for text in texts]


def effect_of(batch: Sequence[AnyEvent]) -> Any:
    return {delta.key: delta.document() for delta in sum_up(batch)}


@settings(max_examples=60, deadline=None)
@given(histories(_CONTEXT))
def test_the_row_is_the_same_without_them(history: History) -> None:
    events = [event for stage in history.stages for event in stage.events]
    texts = [written(batch) for batch in deliveries(events, Random(history.delivery))]
    batches = [read(batch) for batch in texts]
    kept = [read(without_superseded(batch)) for batch in texts]
    assert [effect_of(batch) for batch in kept] == [effect_of(batch) for batch in batches]
    assert row_after(history.before, chain(*kept)) == row_after(history.before, chain(*batches))


def test_the_row_of_many_snapshots_is_the_same_without_most_of_them() -> None:
    random, at = Random(7), datetime(2026, 11, 1, microsecond=7, tzinfo=UTC)
    events: list[AnyEvent] = []
    for number in range(300):
        time = at + timedelta(seconds=random.randrange(40))
        if number % 3:
            events.append(
                new_event(
                    ProgressReported, _CONTEXT, FLOW_ID, occurred_at=time, snapshot={"progress": number}
                )
            )
        else:
            updates = {"last_progress_update": number} if number % 2 else {"a": number}
            events.append(new_event(MetadataUpdated, _CONTEXT, FLOW_ID, occurred_at=time, updates=updates))
    kept = read(without_superseded(written(events)))
    assert len(kept) == 101
    assert effect_of(kept) == effect_of(events)
    assert row_after(fresh_row(), kept) == row_after(fresh_row(), events)
