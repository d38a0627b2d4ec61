"""Whatever callers, other writers and stale objects do in whatever order, the row is the slow model's."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow import CrewAIFlowStateExtensionsRepository, PostgresFlowStateStore
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.database import session_factory
from masterflow.repository.secure_cache import SecureCache
from masterflow.repository.settings import RedisSettings
from masterflow.repository.tables import CrewAIFlowStateExtensions
from tests.support.events.flows import new_context
from tests.support.events.reference_model import row_after
from tests.support.events.strategies import BEGIN
from tests.support.rows.legacy import fresh_row
from tests.support.rows.other_writers import written_by_others
from tests.support.rows.stored import differences, insert_rows, printed, printed_row, read_row, write
from tests.support.servers.databases import engine_for, temporary_database

_CONTEXT = new_context()
_IS_DEEP = settings().max_examples > 1_000

Row = dict[str, Any]
Call = tuple[Callable[[Any, UUID, Row], Awaitable[None]], type[Any], Row]

_phases = st.sampled_from(["import", "mapping"])
_values = st.dictionaries(st.sampled_from(["key 1", "key 2", "ä"]), st.sampled_from([1, "x", None, [2]]))


def _call(method: str, kind: type[Any], names: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Call]:
    """Draw a call of a repository's method, and the event that it stands for."""

    async def call(repo: Any, flow_id: UUID, values: Row) -> None:
        await getattr(repo, method)(flow_id, **values)

    return st.fixed_dictionaries(names).map(lambda values: (call, kind, values))


_text = st.sampled_from(["timeout", "é", ""])
_calls = st.one_of(
    _call("update_flow_status", StatusChanged, {
        "status": st.sampled_from(["processing", "paused", "failed", "completed", "cancelled", "active"]),
        "metadata": _values,
    }),
    _call("add_phase_transition", PhaseTransitioned, {
        "phase": _phases, "status": st.sampled_from(["processing", "completed"]), "metadata": _values,
    }),
    _call("record_phase_execution_time", PhaseTimed, {
        "phase": _phases, "execution_time_ms": st.integers(0, 9_000),
    }),
    _call("append_agent_collaboration", AgentCollaborated, {"entry": _values}),
    _call("update_memory_usage_metrics", MemoryMeasured, {"metrics": _values}),
    _call("update_agent_performance_metrics", AgentPerformanceMeasured, {"metrics": _values}),
    _call("add_error_entry", ErrorOccurred, {"phase": _phases, "error": _text, "details": _values}),
    _call("increment_retry_count", FlowRetried, {}),
    _call("update_flow_metadata", MetadataUpdated, {"metadata_updates": _values}),
)  # fmt: skip


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[Call, int, int, bool]]:
    """Draw calls, each with its time, its id (few, so that some come again), and whether it is undone."""
    return draw(
        st.lists(
            st.tuples(_calls, st.integers(0, 5), st.integers(0, 9), st.booleans()), min_size=1, max_size=4
        )
    )


class _Flow(RuleBasedStateMachine):
    """One row, and all who touch it."""

    runner: asyncio.Runner
    engine: AsyncEngine
    cache: SecureCache

    @initialize()
    def begin(self) -> None:
        self.flow_id = uuid4()
        self.row = fresh_row()
        self.earlier = [self.row]
        #: What each id stands for; a repetition is the same event.
        self.known: dict[int, tuple[Call, int, AnyEvent]] = {}
        self.held: CrewAIFlowStateExtensions | None = None
        self.reader = session_factory(self.engine)()
        self._run(self._insert)

    def _run(self, act: Callable[[AsyncSession], Awaitable[None]], level: str = "READ COMMITTED") -> None:
        async def run() -> None:
            async with session_factory(self.engine)() as session:
                await session.connection(execution_options={"isolation_level": level})
                await act(session)

        self.runner.run(run())

    async def _insert(self, session: AsyncSession) -> None:
        await insert_rows(session, _CONTEXT, [self.flow_id], self.row)
        await session.commit()

    @rule(
        steps=_steps(),
        level=st.sampled_from(["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]),
        is_kept=st.sampled_from([True, True, False]),
        holds_row=st.booleans(),
    )
    def report(
        self, steps: list[tuple[Call, int, int, bool]], level: str, is_kept: bool, holds_row: bool
    ) -> None:
        """Call the repository in one transaction, with savepoints that are rolled back."""

        async def act(session: AsyncSession) -> None:
            repo = CrewAIFlowStateExtensionsRepository(session, **_CONTEXT.model_dump())
            if holds_row:
                await repo.get_by_flow_id(self.flow_id)
            before = self.row
            for call, second, number, is_undone in steps:
                await self._report(session, repo, call, second, number, is_undone=is_undone)
            if is_kept:
                await session.commit()
            else:
                await session.rollback()
                self.row = before

        self._run(act, level)
        self._check()

    async def _report(
        self, session: AsyncSession, repo: Any, call: Call, second: int, number: int, *, is_undone: bool
    ) -> None:
        call, second, event = self.known.setdefault(number, (call, second, self._event(call, second)))
        perform, _, values = call
        identity = {"event_id": event.event_id, "occurred_at": event.occurred_at}
        savepoint = await session.begin_nested()
        await perform(repo, self.flow_id, {**values, **identity})
        if is_undone:
            await savepoint.rollback()
        else:
            await savepoint.commit()
            self.row = row_after(self.row, [event])
            await self._note_time(session)

    def _event(self, call: Call, second: int) -> AnyEvent:
        _, kind, values = call
        values = {{"metadata_updates": "updates"}.get(name, name): value for name, value in values.items()}
        event: AnyEvent = new_event(
            kind,
            _CONTEXT,
            self.flow_id,
            event_id=uuid4(),
            occurred_at=BEGIN + timedelta(seconds=second),
            **values,
        )
        return event

    async def _note_time(self, session: AsyncSession) -> None:
        found = await session.execute(
            text("select updated_at from migration.crewai_flow_state_extensions where flow_id = :flow_id"),
            {"flow_id": self.flow_id},
        )
        self.row = self.row | {"updated_at": found.scalar_one()}

    @rule(random=st.randoms(use_true_random=False), is_kept=st.booleans())
    def write_by_hand(self, random: Any, is_kept: bool) -> None:
        """Set columns with a statement, as others do."""
        changes = written_by_others(random, self.row, self.earlier)
        if changes.get("flow_status", "active") not in FLOW_STATUSES:
            return

        async def act(session: AsyncSession) -> None:
            await write(session, [self.flow_id], changes)
            if is_kept:
                await session.commit()
                self.row = self.row | changes

        self._run(act)
        self._check()

    @rule()
    def hold_object(self) -> None:
        """Read the row into a session that is kept."""

        async def read() -> None:
            repo = CrewAIFlowStateExtensionsRepository(self.reader, **_CONTEXT.model_dump())
            self.held = await repo.get_by_flow_id(self.flow_id)
            await self.reader.commit()

        self.runner.run(read())

    @rule(column=st.sampled_from(["memory_usage_metrics", "agent_performance_metrics", "flow_status"]))
    def write_stale_object(self, column: str) -> None:
        """Write what was read long ago, with a change, through the ORM."""
        held = self.held
        if held is None:
            return
        stored = held.__dict__.get(column)
        value = (
            "active"
            if column == "flow_status"
            else {**(stored if isinstance(stored, dict) else {}), "orm": 1}
        )
        is_changed = stored != value

        async def act() -> None:
            setattr(held, column, value)
            await self.reader.commit()

        self.runner.run(act())
        if is_changed:
            self.row = self.row | {column: value}
        self._check()

    @rule(state=_values, phase=_phases)
    def save_state(self, state: Row, phase: str) -> None:
        """Save, load and keep a state, beside all that is reported; it touches no list and no map."""

        async def act(session: AsyncSession) -> None:
            store = PostgresFlowStateStore(session, _CONTEXT, self.cache)
            await store.save_state(self.flow_id, state, phase)
            checkpoint = await store.create_checkpoint(self.flow_id, phase)
            await session.commit()
            loaded = await store.load_state(self.flow_id)
            assert loaded
            assert {name: loaded[name] for name in state} == state
            assert loaded["current_phase"] == phase
            kept = await store.recover_from_checkpoint(checkpoint)
            assert {name: kept[name] for name in state} == state
            await session.commit()
            [found] = await printed(session, [self.flow_id])
            stored = read_row(found)
            self.row = self.row | {name: stored[name] for name in ("flow_persistence_data", "flow_metadata")}
            await self._note_time(session)

        if isinstance(self.row["flow_persistence_data"], dict):
            self._run(act)
            self._check()

    def _check(self) -> None:
        async def act(session: AsyncSession) -> None:
            [found] = await printed(session, [self.flow_id])
            assert differences(found, printed_row(self.row)) == {}

        self._run(act)
        self.earlier = [*self.earlier[-5:], self.row]

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            self.runner.run(self.reader.close())


@pytest.fixture
def machine(
    postgres_server: str, database_template: str, redis_url: str
) -> Iterator[type[RuleBasedStateMachine]]:
    with (
        asyncio.Runner() as runner,
        temporary_database(postgres_server, template=database_template) as url,
    ):
        engine = engine_for(url)
        cache = SecureCache(RedisSettings(redis_url=redis_url, cache_keys=b64encode(bytes(32)).decode()))
        yield type("Flow", (_Flow,), {"runner": runner, "engine": engine, "cache": cache})
        runner.run(cache.close())
        runner.run(engine.dispose())


@pytest.mark.timeout(6 * 3_600 if _IS_DEEP else 120)
def test_the_row_is_the_models_whoever_touches_it(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings().max_examples if _IS_DEEP else 25,
            stateful_step_count=12,
            deadline=None,
            # Making a failing example small takes minutes; the deep profile does it.
            phases=[phase for phase in Phase if _IS_DEEP or phase is not Phase.shrink],
        ),
    )
