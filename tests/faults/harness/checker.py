"""The checker: compares the rows with every event that a hook accepted."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.events import AnyEvent, parse_event
from masterflow.repository.database import session_factory
from masterflow.repository.merge.merges import apply_events
from tests.faults.harness.load import ACCEPTED, FLOWS, flow
from tests.support.events.flows import bytes_of, new_flow
from tests.support.servers.databases import engine_for

_LISTS: Final = ("phase_transitions", "error_history", "agent_collaboration_log")
_AT_ONCE: Final = 500


@dataclass(slots=True)
class Notes:
    """What orchestrators noted: the events whose hook returned, and those it was killed over."""

    accepted: list[AnyEvent] = field(default_factory=list)
    in_doubt: list[AnyEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the rows differ from the serial reference merge."""

    lost: int
    twice: int
    differing_rows: int


AS_IT_SHOULD_BE: Final = Verdict(lost=0, twice=0, differing_rows=0)


def read_notes(paths: Iterable[Path]) -> Notes:
    """Return what stands in the notes of orchestrators, living or killed."""
    notes = Notes()
    for path in paths:
        pending: list[AnyEvent] = []
        whole_lines, _, _ = path.read_bytes().rpartition(b"\n")
        for line in whole_lines.splitlines():
            if line == ACCEPTED:
                notes.accepted.append(pending.pop())
            else:
                pending.append(parse_event(json.loads(line)))
        notes.in_doubt += pending
    return notes


async def judge(database_url: str, notes: Notes) -> Verdict:
    """Compare every row with what all events make of a fresh one, each merged once, in order.

    An event whose orchestrator was killed in its hook may be in the row or not. It is merged into
    both, which changes nothing where it already is.
    """
    engine = engine_for(database_url)
    try:
        async with session_factory(engine)() as session:
            await _merge(session, notes.in_doubt)
            actual = await _rows(session)
            await _renew_flows(session)
            await _merge(session, notes.accepted + notes.in_doubt)
            expected = await _rows(session)
            await session.rollback()
    finally:
        await engine.dispose()
    return _verdict(actual, expected)


async def create_flows(database_url: str) -> None:
    """Insert the rows that the orchestrators report on."""
    engine = engine_for(database_url)
    async with session_factory(engine).begin() as session:
        await _insert_flows(session)
    await engine.dispose()


async def _renew_flows(session: AsyncSession) -> None:
    await session.execute(text("delete from migration.crewai_flow_state_extensions"))
    await _insert_flows(session)


async def _insert_flows(session: AsyncSession) -> None:
    for context, flow_id in map(flow, range(FLOWS)):
        await new_flow(session, context, flow_id)


async def _merge(session: AsyncSession, events: Iterable[AnyEvent]) -> None:
    in_order = sorted(events, key=lambda event: event.stamp)
    for start in range(0, len(in_order), _AT_ONCE):
        outcome = await apply_events(session, in_order[start : start + _AT_ONCE])
        assert not outcome.missing
        assert not outcome.foreign


async def _rows(session: AsyncSession) -> dict[UUID, RowMapping]:
    return {flow_id: await bytes_of(session, flow_id) for _, flow_id in map(flow, range(FLOWS))}


def _verdict(actual: Mapping[UUID, RowMapping], expected: Mapping[UUID, RowMapping]) -> Verdict:
    lost = twice = 0
    for flow_id, row in expected.items():
        counted, wanted = _counts(actual[flow_id]), _counts(row)
        for what in counted.keys() | wanted.keys():
            surplus = counted.get(what, 0) - wanted.get(what, 0)
            lost, twice = lost + max(0, -surplus), twice + max(0, surplus)
    differing_rows = sum(actual[flow_id] != row for flow_id, row in expected.items())
    return Verdict(lost, twice, differing_rows)


def _counts(row: RowMapping) -> dict[str, int]:
    """Return how often each event is counted in a row, as far as a row can tell."""
    counts = {"retries": int(row["retry_count"])}
    for name in _LISTS:
        for entry in _json(row[name], []):
            counts[entry["id"]] = counts.get(entry["id"], 0) + 1
    for phase, timing in _json(row["phase_execution_times"], {}).items():
        counts[f"timings of {phase}"] = timing["attempts"]
    return counts


def _json(value: str | None, default: Any) -> Any:
    return default if value is None else json.loads(value)
