import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowNotFound, InputInvalid, TenantMismatch
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from tests.support.events.flows import bytes_of, new_context, row_of, without_bookkeeping

_CONTEXT = new_context()

#: Every report with arguments that it takes, and whether it is enrichment.
_REPORTS: list[tuple[str, tuple[Any, ...], bool]] = [
    ("add_phase_transition", ("data_import", "processing", {"rows": 3}), True),
    ("record_phase_execution_time", ("data_import", 12.5), True),
    ("append_agent_collaboration", ({"agent": "a"},), True),
    ("update_memory_usage_metrics", ({"peak_mb": 3},), True),
    ("update_agent_performance_metrics", ({"a": {"calls": 1}},), True),
    ("add_error_entry", ("data_import", "boom", {"line": 3}), True),
    ("increment_retry_count", (), True),
    ("update_flow_metadata", ({"note": "n"},), True),
    ("update_flow_status", ("paused", {"pause_reason": "lunch", "progress_data": {"progress": 3}}), False),
]
_NAMES = [name for name, *_ in _REPORTS]


def repository_of(
    session: AsyncSession, *, enrichment_enabled: bool | None = None, **ids: UUID
) -> CrewAIFlowStateExtensionsRepository:
    return CrewAIFlowStateExtensionsRepository(
        session, **{**_CONTEXT.model_dump(), **ids}, enrichment_enabled=enrichment_enabled
    )


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


@pytest.fixture
async def flow_id(session: AsyncSession) -> UUID:
    flow_id = uuid4()
    await repository_of(session).create_master_flow(flow_id, "discovery")
    return flow_id


async def test_a_new_flow_has_what_it_was_made_with(session: AsyncSession) -> None:
    repository = repository_of(session)
    flow_id = uuid4()
    row = await repository.create_master_flow(
        str(flow_id), "discovery", "someone", "June import", {"source": "csv"}, {"raw_data": [1]}
    )
    assert (row.flow_id, row.flow_type, row.user_id, row.flow_name) == (
        flow_id,
        "discovery",
        "someone",
        "June import",
    )
    assert (row.flow_configuration, row.flow_persistence_data) == ({"source": "csv"}, {"raw_data": [1]})
    assert (row.flow_status, row.retry_count, row.phase_transitions) == ("initialized", 0, [])
    assert (row.client_account_id, row.engagement_id) == (_CONTEXT.client_account_id, _CONTEXT.engagement_id)


async def test_creating_a_flow_again_returns_it_unchanged(session: AsyncSession, flow_id: UUID) -> None:
    repository = repository_of(session)
    await repository.increment_retry_count(flow_id)
    again = await repository.create_master_flow(flow_id, "discovery", flow_name="another name")
    assert (again.retry_count, again.flow_name) == (1, None)


async def test_a_flow_id_of_another_tenant_cannot_be_taken(session: AsyncSession, flow_id: UUID) -> None:
    with pytest.raises(TenantMismatch):
        await repository_of(session, engagement_id=uuid4()).create_master_flow(flow_id, "discovery")


@pytest.mark.parametrize(("flow_type", "flow_name"), [("gardening", None), ("", "x")])
async def test_a_flow_of_no_known_type_is_refused(
    session: AsyncSession, flow_type: str, flow_name: str | None
) -> None:
    with pytest.raises(InputInvalid):
        await repository_of(session).create_master_flow(uuid4(), flow_type, flow_name=flow_name)


async def test_a_row_is_read_by_its_tenant_only(session: AsyncSession, flow_id: UUID) -> None:
    assert await repository_of(session).get_by_flow_id(flow_id)
    assert await repository_of(session, engagement_id=uuid4()).get_by_flow_id(flow_id) is None
    assert await repository_of(session, client_account_id=uuid4()).get_by_flow_id(flow_id) is None


@pytest.mark.parametrize("ids", [(None, uuid4(), "u"), (uuid4(), "not an id", "u"), (uuid4(), uuid4(), " ")])
async def test_there_is_no_tenant_by_default(session: AsyncSession, ids: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InputInvalid):
        CrewAIFlowStateExtensionsRepository(session, *ids)


async def test_every_report_reaches_its_column(session: AsyncSession, flow_id: UUID) -> None:
    repository = repository_of(session)
    for name, arguments, _ in _REPORTS:
        await getattr(repository, name)(flow_id, *arguments)
    row = await row_of(session, flow_id)
    assert row.phase_transitions[0]["metadata"] == {"rows": 3}
    assert row.phase_execution_times["data_import"]["execution_time_ms"] == 12.5
    assert row.agent_collaboration_log[0]["agent"] == "a"
    assert row.memory_usage_metrics == {"peak_mb": 3}
    assert row.agent_performance_metrics == {"a": {"calls": 1}}
    assert (row.error_history[0]["error"], row.error_history[0]["details"]) == ("boom", {"line": 3})
    assert (row.retry_count, row.flow_status) == (1, "paused")
    assert row.flow_persistence_data == {"current_phase": "data_import"}
    assert without_bookkeeping(row.flow_metadata) == {
        "note": "n",
        "pause_reason": "lunch",
        "last_progress_update": {"progress": 3},
        "phase_transitions": ["data_import:processing"],
    }


@pytest.mark.parametrize(("name", "arguments"), [report[:2] for report in _REPORTS], ids=_NAMES)
async def test_a_report_repeated_under_its_id_changes_nothing(
    session: AsyncSession, flow_id: UUID, name: str, arguments: tuple[Any, ...]
) -> None:
    identity = {"event_id": uuid4(), "occurred_at": datetime.now(UTC)}
    rows = []
    for _ in range(3):
        await getattr(repository_of(session), name)(flow_id, *arguments, **identity)
        rows.append(await bytes_of(session, flow_id))
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize(("name", "arguments", "is_enrichment"), _REPORTS, ids=_NAMES)
async def test_with_the_flag_off_only_the_status_is_written(
    session: AsyncSession, flow_id: UUID, name: str, arguments: tuple[Any, ...], is_enrichment: bool
) -> None:
    before = await bytes_of(session, flow_id)
    await getattr(repository_of(session, enrichment_enabled=False), name)(flow_id, *arguments)
    after = await bytes_of(session, flow_id)
    assert (after == before) == is_enrichment


async def test_the_flag_is_read_from_the_environment(
    session: AsyncSession, flow_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_STATE_ENRICHMENT_ENABLED", "false")
    await repository_of(session).increment_retry_count(flow_id)
    monkeypatch.delenv("MASTER_STATE_ENRICHMENT_ENABLED")
    await repository_of(session).increment_retry_count(flow_id)
    assert (await row_of(session, flow_id)).retry_count == 1


@pytest.mark.parametrize(("name", "arguments"), [report[:2] for report in _REPORTS], ids=_NAMES)
async def test_a_missing_a_foreign_and_a_malformed_flow_are_three_errors(
    session: AsyncSession, flow_id: UUID, name: str, arguments: tuple[Any, ...]
) -> None:
    before = await bytes_of(session, flow_id)
    with pytest.raises(FlowNotFound):
        await getattr(repository_of(session), name)(uuid4(), *arguments)
    with pytest.raises(TenantMismatch):
        await getattr(repository_of(session, engagement_id=uuid4()), name)(flow_id, *arguments)
    with pytest.raises(InputInvalid):
        await getattr(repository_of(session), name)(" ", *arguments)
    assert await bytes_of(session, flow_id) == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("add_phase_transition", ("", "processing")),
        ("record_phase_execution_time", ("p", -1)),
        ("record_phase_execution_time", ("p", float("nan"))),
        ("update_memory_usage_metrics", ("no map",)),
        ("update_flow_metadata", ({"_enrichment": {}},)),
        ("update_flow_metadata", ({"phase_transitions": []},)),
        ("update_flow_status", ("on fire",)),
    ],
)
async def test_input_that_makes_no_sense_is_refused_and_spoils_nothing(
    session: AsyncSession, flow_id: UUID, name: str, arguments: tuple[Any, ...]
) -> None:
    repository = repository_of(session)
    await repository.increment_retry_count(flow_id)
    with pytest.raises(InputInvalid):
        await getattr(repository, name)(flow_id, *arguments)
    await repository.increment_retry_count(flow_id)
    assert (await row_of(session, flow_id)).retry_count == 2


async def test_an_entry_keeps_its_own_time(session: AsyncSession, flow_id: UUID) -> None:
    await repository_of(session).append_agent_collaboration(
        flow_id, {"agent": "a", "timestamp": "2025-08-14T20:33:53.697025", "id": "mine"}
    )
    entry = (await row_of(session, flow_id)).agent_collaboration_log[0]
    assert entry["timestamp"] == "2025-08-14T20:33:53.697025+00:00"
    assert entry["reported_id"] == "mine"


async def test_every_status_is_accepted_by_the_tables_check_and_without_it(
    session: AsyncSession, flow_id: UUID
) -> None:
    await repository_of(session).update_flow_status(flow_id, "awaiting_approval")
    await session.execute(
        text("alter table migration.crewai_flow_state_extensions drop constraint chk_valid_flow_status")
    )
    await repository_of(session).update_flow_status(flow_id, "awaiting_input")
    assert (await row_of(session, flow_id)).flow_status == "paused"


def test_the_signatures_are_those_people_call() -> None:
    def names(method: str) -> list[str]:
        parameters = inspect.signature(
            getattr(CrewAIFlowStateExtensionsRepository, method)
        ).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]

    assert {method: names(method) for method in [*_NAMES, "create_master_flow", "get_by_flow_id"]} == {
        "create_master_flow": [
            "flow_id",
            "flow_type",
            "user_id",
            "flow_name",
            "flow_configuration",
            "initial_state",
        ],
        "get_by_flow_id": ["flow_id"],
        "update_flow_status": ["flow_id", "status", "metadata"],
        "add_phase_transition": ["flow_id", "phase", "status", "metadata"],
        "record_phase_execution_time": ["flow_id", "phase", "execution_time_ms"],
        "append_agent_collaboration": ["flow_id", "entry"],
        "update_memory_usage_metrics": ["flow_id", "metrics"],
        "update_agent_performance_metrics": ["flow_id", "metrics"],
        "add_error_entry": ["flow_id", "phase", "error", "details"],
        "increment_retry_count": ["flow_id"],
        "update_flow_metadata": ["flow_id", "metadata_updates"],
    }
