from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import (
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    FlowLost,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    new_event,
)
from tests.support.events.flows import bytes_of, merged, new_context, new_flow

_CONTEXT = new_context()
_BEGIN = datetime(2026, 11, 27, 9, tzinfo=UTC)
_COLUMN_BYTES = 256 * 1024

Fields = tuple[type[Any], dict[str, Any]]


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def _asked_of_the_flow() -> Iterator[Fields]:
    """Yield more of everything that is asked than the row keeps, each as large as it may be."""
    person, long = "é" * 59, {"x": "y" * 1_980}
    for number in range(40):
        question_id = UUID(int=number)
        yield ControlRequested, {"action": "cancel", "by": person, "reason": "é" * 349}
        yield (
            ControlRequested,
            {
                "action": "answer",
                "by": person,
                "reason": "é" * 349,
                "question_id": question_id,
                "answer": long,
            },
        )
        yield (
            QuestionAsked,
            {
                "key": person,
                "question": "é" * 600,
                "options": [f"{number:03d}{'x' * 97}" for number in range(20)],
                "has_default": True,
                "default": "x" * 290,
                "phase": "p" * 100,
                "expires_at": _BEGIN,
            },
        )
        settled = {"question_id": question_id, "outcome": "answered", "request_id": question_id}
        yield QuestionSettled, settled | {"value": long}
        yield DeadlinePassed, {"phase": "p" * 100, "deadline_at": _BEGIN, "started_at": _BEGIN}


def _reported() -> Iterator[Fields]:
    """Yield more of everything that stands in `flow_metadata` than it keeps."""
    for number in range(110):
        yield MetadataUpdated, {"updates": {f"{number:03d}{'k' * 21}": "x" * 2_058}}
        yield PhaseTransitioned, {"phase": "é" * 100, "status": "s" * 40}
    yield MetadataUpdated, {"updates": {f"{number}{'k' * 23}": "x" * 3_880 for number in range(2)}}
    outside = ("progress_snapshot", "resume_data", "pause_reason", "usage_budget")
    yield MetadataUpdated, {"updates": dict.fromkeys(outside, "x" * 3880)}
    yield ProgressReported, {"snapshot": {"message": "x" * 3_200}}
    for kind, name in ((MemoryMeasured, "metrics"), (AgentPerformanceMeasured, "metrics")):
        yield kind, {name: {f"{number:03d}{'k' * 21}": number for number in range(100)}}
    for _ in range(256):
        yield FlowRetried, {}
        yield PhaseTimed, {"phase": "p", "execution_time_ms": 1}
    sign = {"last_sign_at": _BEGIN, "phase": "p" * 100}
    yield FlowLost, {"cause": "witnessed", "holder": "é" * 59, "host": "é" * 59} | sign


def _events(flow_id: UUID, fields: Iterator[Fields], *, later: float = 0) -> list[AnyEvent]:
    return [
        new_event(kind, _CONTEXT, flow_id, occurred_at=_BEGIN + timedelta(seconds=later + number), **said)
        for number, (kind, said) in enumerate(fields)
    ]


@pytest.mark.parametrize("is_asked_first", [True, False])
async def test_all_that_can_be_asked_and_reported_at_once_stays_within_its_bound(
    session: AsyncSession, is_asked_first: bool
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    asked, reported = _events(flow_id, _asked_of_the_flow()), _events(flow_id, _reported())
    batches = [asked, reported] if is_asked_first else [reported, asked]
    row = await merged(session, flow_id, *batches)
    size = len((await bytes_of(session, flow_id)).flow_metadata.encode())
    kinds = [entry["kind"] for entry in row.flow_metadata["control"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "cancel": 20,
        "answer": 20,
        "asked": 20,
        "settled": 30,
    }
    assert size <= _COLUMN_BYTES


async def test_what_was_asked_takes_the_place_of_the_oldest_keys_and_of_no_more_than_36(
    session: AsyncSession,
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    keys = _events(flow_id, ((MetadataUpdated, {"updates": {f"key {n}": n}}) for n in range(100)))
    row = await merged(session, flow_id, keys)
    assert len(row.flow_metadata) == 101
    few = [(ControlRequested, {"action": "cancel", "by": "ana"})] * 3
    row = await merged(session, flow_id, _events(flow_id, iter(few), later=200))
    assert [f"key {number}" in row.flow_metadata for number in (2, 3, 99)] == [False, True, True]
    row = await merged(session, flow_id, _events(flow_id, _asked_of_the_flow()))
    assert sum(key.startswith("key ") for key in row.flow_metadata) == 64


async def test_that_a_flow_is_lost_is_known_however_many_keys_are_newer(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    sign: dict[str, Any] = {"holder": "host-7", "host": "host", "last_sign_at": _BEGIN}
    lost = _events(flow_id, iter([(FlowLost, {"cause": "silent"} | sign)]))
    keys = _events(flow_id, ((MetadataUpdated, {"updates": {f"key {n}": n}}) for n in range(120)), later=1)
    row = await merged(session, flow_id, lost, keys)
    assert row.flow_metadata["lost"]["holder"] == "host-7"
    assert sum(key.startswith("key ") for key in row.flow_metadata) == 100
