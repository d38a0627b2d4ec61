import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.domain import FlowNotFound, InputInvalid, TenantMismatch
from masterflow.domain.tenant import flow_context
from masterflow.repository.discovery_flow import DiscoveryFlowRepository
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.tables import CrewAIFlowStateExtensions as Master
from masterflow.repository.tables import DiscoveryFlow as Child

pytestmark = pytest.mark.anyio

Sessions = async_sessionmaker[AsyncSession]
CLIENT, ENGAGEMENT = uuid4(), uuid4()


async def add_flow(sessions: Sessions, *, master_flow_id: UUID | None = None, **columns: Any) -> UUID:
    """Add a child and its master, whose id is the child's unless another is given."""
    flow_id = uuid4()
    own = {"client_account_id": CLIENT, "engagement_id": ENGAGEMENT, "user_id": "ana"}
    async with sessions.begin() as db:
        await db.execute(
            insert(Master).values({"flow_id": master_flow_id or flow_id, "flow_type": "discovery", **own})
        )
        child = {
            "flow_id": flow_id,
            "master_flow_id": master_flow_id,
            "flow_name": "a flow",
            **own,
            **columns,
        }
        await db.execute(insert(Child).values(child))
    return flow_id


async def update_phase(sessions: Sessions, flow_id: UUID, phase: str, **arguments: Any) -> None:
    async with sessions.begin() as db:
        await DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana").update_phase_completion(
            flow_id, phase, **arguments
        )


async def child_of(sessions: Sessions, flow_id: UUID) -> Child:
    async with sessions() as db:
        row = await DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT).get_by_flow_id(flow_id)
        assert row is not None
        return row


async def master_of(sessions: Sessions, flow_id: UUID) -> Master:
    async with sessions() as db:
        row = await db.scalar(select(Master).where(Master.flow_id == flow_id))
        assert row is not None
        return row


async def test_a_completed_phase_is_in_the_child_and_in_the_master(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)

    await update_phase(session_factory, flow_id, "data_import", data={"records_valid": 405})
    await update_phase(
        session_factory,
        flow_id,
        "data_import",
        data={"records_failed": 7},
        completed=True,
        duration_ms=1234.5,
    )

    child, master = await child_of(session_factory, flow_id), await master_of(session_factory, flow_id)
    assert child.data_import_completed is True
    assert child.current_phase == "data_import"
    assert child.progress_percentage == pytest.approx(100 / 6)
    assert child.crewai_state_data == {"data_import": {"records_valid": 405, "records_failed": 7}}
    assert master.phase_transitions is not None
    assert [(entry["phase"], entry["status"]) for entry in master.phase_transitions] == [
        ("data_import", "processing"),
        ("data_import", "completed"),
    ]
    assert master.phase_execution_times is not None
    assert master.phase_execution_times["data_import"]["execution_time_ms"] == 1234.5
    assert master.flow_persistence_data == {"current_phase": "data_import"}
    assert master.flow_status == "initialized"
    assert "records_valid" not in str(master.phase_transitions)


@pytest.mark.parametrize(
    ("phase", "column"),
    [
        ("data_import", "data_import_completed"),
        ("data_validation", "data_validation_completed"),
        ("field_mapping", "field_mapping_completed"),
        ("attribute_mapping", "field_mapping_completed"),
        ("field_mapping_approval", "field_mapping_completed"),
        ("data_cleansing", "data_cleansing_completed"),
        ("inventory", "asset_inventory_completed"),
        ("dependencies", "dependency_analysis_completed"),
        (" Tech_Debt ", "tech_debt_assessment_completed"),
        ("sixr_strategy", None),
        ("a phase of their own", None),
    ],
)
async def test_each_phase_completes_its_own_column(
    session_factory: Sessions, phase: str, column: str | None
) -> None:
    flow_id = await add_flow(session_factory)

    await update_phase(session_factory, flow_id, phase, completed=True)

    async with session_factory() as db:
        row = (await db.execute(select(Child.__table__).where(Child.flow_id == flow_id))).mappings().one()
    complete = {name for name, value in row.items() if name.endswith("_completed") and value is True}
    assert complete == ({column} if column else set())
    assert row["current_phase"] == phase.strip()


async def test_progress_reaches_a_hundred_and_never_goes_back(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, progress_percentage=0.15)
    phases = ["tech_debt", "data_import", "field_mapping", "data_cleansing", "inventory", "dependencies"]
    seen: list[float] = []
    for phase in [*phases, "data_import"]:
        await update_phase(session_factory, flow_id, phase, completed=phase != "data_import" or not seen)
        seen.append((await child_of(session_factory, flow_id)).progress_percentage)
    assert seen == sorted(seen)
    assert seen[-3:] == [pytest.approx(200 / 3), pytest.approx(250 / 3), pytest.approx(250 / 3)]

    await update_phase(session_factory, flow_id, "finalization", completed=True)
    await update_phase(session_factory, flow_id, "data_import")
    assert (await child_of(session_factory, flow_id)).progress_percentage == 100


V3 = ("data_import", "data_validation", "field_mapping", "data_cleansing", "asset_inventory")


async def test_a_flow_of_the_newest_version_is_done_after_five_phases(session_factory: Sessions) -> None:
    flow_id, seen = await add_flow(session_factory, progress_percentage=float("nan")), []
    for phase in V3:
        async with session_factory.begin() as db:
            flows = DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana", course="v3")
            await flows.update_phase_completion(flow_id, phase, completed=True)
        seen.append((await child_of(session_factory, flow_id)).progress_percentage)
    assert seen == [20, 40, 60, 80, 100]


async def test_a_table_without_the_columns_of_old_counts_as_the_newest_version_does(
    engine: AsyncEngine, session_factory: Sessions
) -> None:
    flow_id = await add_flow(session_factory)
    async with engine.begin() as connection:
        await connection.execute(
            text("alter table migration.discovery_flows drop tech_debt_assessment_completed")
        )
    await update_phase(session_factory, flow_id, "data_import", completed=True)
    async with engine.connect() as connection:
        shown = await connection.scalar(text("select progress_percentage from migration.discovery_flows"))
    assert shown == 20


def test_a_version_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputInvalid, match="'v2' is no course; use 2025 or v3"):
        DiscoveryFlowRepository(None, CLIENT, ENGAGEMENT, course="v2")  # type: ignore[arg-type]


async def test_a_phase_that_goes_on_stays_complete(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    await update_phase(session_factory, flow_id, "data_import")
    assert (await child_of(session_factory, flow_id)).data_import_completed is True


async def test_new_insights_are_told_once_and_in_a_few_words(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    insights: list[Any] = [
        {"agent": "Schema Expert", "insight": "two hostname columns " + "x" * 1000, "confidence": 0.77},
        {
            "insight_id": "7f",
            "title": "Coverage",
            "category": "mapping",
            "confidence_score": 71.4,
            "metadata": {},
        },
        "a bare remark: password=hunter2",
    ]
    for reported in (insights[:2], insights[:2], [*insights, insights[2]]):
        await update_phase(session_factory, flow_id, "field_mapping", agent_insights=reported)

    child, master = await child_of(session_factory, flow_id), await master_of(session_factory, flow_id)
    assert child.crewai_state_data["agent_insights"] == insights
    assert master.agent_collaboration_log is not None
    first, second, third = master.agent_collaboration_log
    assert first["agent"] == "Schema Expert"
    assert first["insight"].startswith("two hostname columns")
    assert len(first["insight"]) < 400
    assert first["phase"] == "field_mapping"
    assert first["confidence"] == 0.77
    assert second["insight"] == "Coverage"
    assert second["insight_type"] == "mapping"
    assert "metadata" not in second
    assert third["insight"].startswith("a bare remark")
    assert "hunter2" not in str(master.agent_collaboration_log)


async def test_no_more_than_twenty_insights_of_one_call_reach_the_master(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    await update_phase(
        session_factory, flow_id, "inventory", agent_insights=[f"remark {n}" for n in range(30)]
    )
    master = await master_of(session_factory, flow_id)
    assert master.agent_collaboration_log is not None
    assert [entry["insight"] for entry in master.agent_collaboration_log] == [
        f"remark {n}" for n in range(10, 30)
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([1, 2], {"displaced": [1, 2], "data_import": {"n": 1}}),
        ({"data_import": ["odd"]}, {"data_import": {"displaced": ["odd"], "n": 1}}),
        ({"data_import": None, "inventory": []}, {"data_import": {"n": 1}, "inventory": []}),
        ({"data_import": {"n": 0, "kept": True}}, {"data_import": {"n": 1, "kept": True}}),
    ],
)
async def test_what_the_child_holds_already_is_not_lost(
    session_factory: Sessions, document: Any, expected: Any
) -> None:
    flow_id = await add_flow(session_factory, crewai_state_data=document)
    await update_phase(session_factory, flow_id, "data_import", data={"n": 1})
    assert (await child_of(session_factory, flow_id)).crewai_state_data == expected


async def test_an_update_without_data_leaves_the_document_as_it_is(session_factory: Sessions) -> None:
    document = {"data_import": {"n": 1}, "agent_insights": {"odd": True}}
    flow_id = await add_flow(session_factory, crewai_state_data=document)
    await update_phase(session_factory, flow_id, "data_import", completed=True)
    assert (await child_of(session_factory, flow_id)).crewai_state_data == document


async def test_updates_at_the_same_time_lose_nothing(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    phases = ["data_import", "field_mapping", "data_cleansing", "inventory", "dependencies", "tech_debt"]

    await asyncio.gather(
        *(
            update_phase(
                session_factory,
                flow_id,
                phase,
                data={f"key {n}": n},
                completed=True,
                duration_ms=n,
                agent_insights=[f"{phase} {n}"],
            )
            for phase in phases
            for n in range(3)
        )
    )

    child, master = await child_of(session_factory, flow_id), await master_of(session_factory, flow_id)
    assert {phase: child.crewai_state_data[phase] for phase in phases} == {
        phase: {f"key {n}": n for n in range(3)} for phase in phases
    }
    assert child.progress_percentage == 100
    assert len(child.crewai_state_data["agent_insights"]) == 18
    assert len(master.phase_transitions or []) == 18
    assert len(master.agent_collaboration_log or []) == 18


async def test_the_master_is_found_by_master_flow_id_first(session_factory: Sessions) -> None:
    master_flow_id = uuid4()
    flow_id = await add_flow(session_factory, master_flow_id=master_flow_id)
    await update_phase(session_factory, flow_id, "data_import")
    assert len((await master_of(session_factory, master_flow_id)).phase_transitions or []) == 1


async def test_child_and_master_change_together_or_not_at_all(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    async with session_factory() as db:
        repository = DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana")
        await repository.update_phase_completion(flow_id, "data_import", {"n": 1}, True)
        await db.rollback()
    assert (await child_of(session_factory, flow_id)).current_phase is None
    assert (await master_of(session_factory, flow_id)).phase_transitions == []


async def test_a_missing_or_foreign_master_is_told_apart(session_factory: Sessions) -> None:
    for change, error in (({"flow_id": uuid4()}, FlowNotFound), ({"engagement_id": uuid4()}, TenantMismatch)):
        flow_id = await add_flow(session_factory)
        async with session_factory.begin() as db:
            await db.execute(update(Master).where(Master.flow_id == flow_id).values(**change))
        with pytest.raises(error):
            await update_phase(session_factory, flow_id, "data_import")
        assert (await child_of(session_factory, flow_id)).current_phase is None


async def test_an_unknown_child_and_another_tenants_child_are_told_apart(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    with pytest.raises(FlowNotFound):
        await update_phase(session_factory, uuid4(), "data_import")
    for client, engagement in ((uuid4(), ENGAGEMENT), (CLIENT, uuid4())):
        async with session_factory() as db:
            stranger = DiscoveryFlowRepository(db, client, engagement, "eve")
            assert await stranger.get_by_flow_id(flow_id) is None
            with pytest.raises(TenantMismatch):
                await stranger.update_phase_completion(flow_id, "data_import")
            with pytest.raises(TenantMismatch):
                await stranger.create_discovery_flow(flow_id)


async def test_a_child_belongs_to_the_tenant_of_its_master(session_factory: Sessions) -> None:
    flow_id, engagement = uuid4(), uuid4()
    async with session_factory.begin() as db:
        owner = CrewAIFlowStateExtensionsRepository(db, CLIENT, ENGAGEMENT, "ana")
        await owner.create_master_flow(flow_id, "discovery")
    for client, other in ((uuid4(), ENGAGEMENT), (CLIENT, engagement)):
        async with session_factory.begin() as db:
            eve = DiscoveryFlowRepository(db, client, other, "eve")
            # With the flow's own id, and under its master.
            for ids in ((flow_id, None), (flow_id, flow_id), (uuid4(), flow_id)):
                with pytest.raises(TenantMismatch):
                    await eve.create_discovery_flow(ids[0], master_flow_id=ids[1])
    async with session_factory.begin() as db:
        ana = DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana")
        await ana.create_discovery_flow(flow_id, master_flow_id=flow_id)
        await ana.update_phase_completion(flow_id, "data_import", {"n": 1}, True)


async def test_whether_another_tenant_has_a_flow_shows_in_no_word(session_factory: Sessions) -> None:
    theirs, nobodys = await add_flow(session_factory), uuid4()
    async with session_factory() as db:
        who = (uuid4(), uuid4(), "eve")
        masters, children = CrewAIFlowStateExtensionsRepository(db, *who), DiscoveryFlowRepository(db, *who)
        states = PostgresFlowStateStore(db, flow_context(*who))
        tries: list[Callable[[UUID], Awaitable[object]]] = [
            masters.increment_retry_count,
            lambda flow_id: masters.update_flow_status(flow_id, "processing"),
            lambda flow_id: children.update_phase_completion(flow_id, "data_import"),
            lambda flow_id: states.create_checkpoint(flow_id, "data_import", {}),
            lambda flow_id: states.save_state(flow_id, {}, "data_import"),
        ]
        for attempt in tries:
            said = []
            for flow_id in (theirs, nobodys):
                # Both are of one kind, so that whoever tells people what to do about it tells the same.
                with pytest.raises(FlowNotFound) as error:
                    await attempt(flow_id)
                said.append(str(error.value).replace(str(flow_id), "ID"))
            assert said[0] == said[1]


async def test_whether_another_tenant_has_a_flow_shows_in_no_statement(
    session_factory: Sessions, engine: AsyncEngine
) -> None:
    """What is asked of Postgres, and so the time that it takes, is the same for their flow and for none."""
    theirs, context = await add_flow(session_factory), flow_context(uuid4(), uuid4(), "eve")
    who = (context.client_account_id, context.engagement_id, "eve")
    asked: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *parts: asked.append(parts[2]))

    async def statements(call: str, flow_id: UUID, *arguments: Any) -> list[str]:
        async with session_factory() as db:
            objects = {
                "masters": CrewAIFlowStateExtensionsRepository(db, *who),
                "children": DiscoveryFlowRepository(db, *who),
                "states": PostgresFlowStateStore(db, context),
            }
            owner, name = call.split(".")
            asked.clear()
            with suppress(FlowNotFound):
                await getattr(objects[owner], name)(flow_id, *arguments)
        return list(asked)

    calls: list[tuple[Any, ...]] = [
        ("masters.get_by_flow_id",),
        ("masters.increment_retry_count",),
        ("masters.update_flow_status", "processing"),
        ("masters.add_phase_transition", "data_import", "completed"),
        ("children.get_by_flow_id",),
        ("children.update_phase_completion", "data_import"),
        ("states.create_checkpoint", "data_import", {}),
        ("states.save_state", {}, "data_import"),
        ("states.load_state",),
    ]
    for call, *arguments in calls:
        of_theirs = await statements(call, theirs, *arguments)
        assert of_theirs, call
        assert of_theirs == await statements(call, uuid4(), *arguments), call


async def test_a_created_flow_is_read_back_with_its_defaults(session_factory: Sessions) -> None:
    flow_id, master_flow_id = uuid4(), uuid4()
    async with session_factory.begin() as db:
        repository = DiscoveryFlowRepository(db, str(CLIENT), str(ENGAGEMENT), uuid4())
        created = await repository.create_discovery_flow(
            str(flow_id),
            "Q2 import",
            master_flow_id=str(master_flow_id),
            initial_state={"raw_data": [{"a": 1}]},
        )
        again = await repository.create_discovery_flow(flow_id, "another name")
    assert again is created
    row = await child_of(session_factory, flow_id)
    assert (row.flow_name, row.master_flow_id, row.status) == ("Q2 import", master_flow_id, "active")
    assert row.crewai_state_data == {"raw_data": [{"a": 1}]}


async def test_a_row_held_by_the_session_is_read_anew(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    async with session_factory.begin() as db:
        repository = DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana")
        held = await repository.get_by_flow_id(flow_id)
        await repository.update_phase_completion(flow_id, "data_import", completed=True)
        assert await repository.get_by_flow_id(flow_id) is held
        assert held is not None
        assert held.data_import_completed is True


async def test_an_older_table_without_the_later_column_works(
    engine: AsyncEngine, session_factory: Sessions
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("alter table migration.discovery_flows drop data_validation_completed"))
    flow_id = await add_flow(session_factory)
    async with session_factory.begin() as db:
        await DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT, "ana").create_discovery_flow(uuid4())
    await update_phase(session_factory, flow_id, "data_validation", completed=True)
    assert (await child_of(session_factory, flow_id)).current_phase == "data_validation"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "a"), "flow id"),
        ((uuid4(), ""), "phase"),
        ((uuid4(), None), "phase"),
    ],
)
async def test_nonsense_is_refused_with_its_name(
    session_factory: Sessions, arguments: tuple[Any, Any], message: str
) -> None:
    with pytest.raises(InputInvalid, match=message):
        await update_phase(session_factory, *arguments)


async def test_what_a_phase_did_is_a_mapping(session_factory: Sessions) -> None:
    with pytest.raises(InputInvalid, match="mapping"):
        await update_phase(session_factory, uuid4(), "data_import", data=[1])


async def test_there_is_no_default_tenant_and_no_default_user(session_factory: Sessions) -> None:
    async with session_factory() as db:
        for client, engagement in ((None, ENGAGEMENT), (CLIENT, ""), ("x", ENGAGEMENT)):
            with pytest.raises(InputInvalid, match="id"):
                DiscoveryFlowRepository(db, client, engagement)  # type: ignore[arg-type]
        with pytest.raises(InputInvalid, match="user_id"):
            await DiscoveryFlowRepository(db, CLIENT, ENGAGEMENT).create_discovery_flow(uuid4())
