from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow import (
    CrewAIFlowStateExtensionsRepository,
    DiscoveryFlowRepository,
    FlowNotFound,
    PostgresFlowStateStore,
)
from masterflow.domain.errors import FlowHidden, RightsMissing
from masterflow.domain.events import FlowRetried, new_event
from masterflow.repository.database import session_factory as make_session_factory
from masterflow.repository.merge.merges import MergeOutcome, apply_events
from masterflow.repository.rights.row_security import check_reach, check_sight, read_row_security
from masterflow.status.manager import FlowStatusManager
from tests.support.events.flows import new_context, new_flow
from tests.support.servers.databases import engine_for
from tests.support.servers.limited import limited_role, page_grants

pytestmark = pytest.mark.anyio

_CONTEXT, _OTHER = new_context(), new_context()
_MASTER, _CHILD = "migration.crewai_flow_state_extensions", "migration.discovery_flows"
_OWN = f"client_account_id = '{_CONTEXT.client_account_id}'"
_IDS = (_CONTEXT.client_account_id, _CONTEXT.engagement_id, _CONTEXT.user_id)


class Limited:
    """A session of a role under row-level security; all of it goes with the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def begin(self, *policies: str) -> UUID:
        """Make a flow, and become the role that these policies hold for; return the flow's id."""
        flow_id = await new_flow(self.session, _CONTEXT)
        await new_flow(self.session, _OTHER)
        await self.run(
            "create role limited",
            "grant usage on schema migration to limited",
            f"grant select, insert, update on {_MASTER}, {_CHILD} to limited",
            f"alter table {_MASTER} enable row level security",
            f"alter table {_CHILD} enable row level security",
            *(f"create policy p{number} on {_MASTER} {policy}" for number, policy in enumerate(policies)),
            "set local role limited",
        )
        return flow_id

    async def run(self, *statements: str) -> None:
        for statement in statements:
            await self.session.execute(text(statement))

    async def outcome(self, flow_id: UUID) -> MergeOutcome:
        return await apply_events(self.session, [new_event(FlowRetried, _CONTEXT, flow_id)])


@pytest.fixture
async def limited(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[Limited]:
    async with session_factory() as session:
        yield Limited(session)


EVERYTHING = "for all to limited using (true)"
_OWN_ONLY = f"for all to limited using ({_OWN})"


@pytest.mark.parametrize(
    ("policies", "hides_rows", "hides_all", "limits_updates", "refuses_updates"),
    [
        ([EVERYTHING], False, False, False, False),
        (["for select to limited using (true)", "for update to public using (true)"], *[False] * 4),
        ([], True, True, True, True),
        (["for all to postgres using (true)"], True, True, True, True),
        (["for all using (current_setting('app.client_id', true) = 'x')"], True, True, True, False),
        ([_OWN_ONLY], True, False, True, False),
        ([_OWN_ONLY, EVERYTHING], False, False, False, False),
        ([EVERYTHING, f"as restrictive for all using ({_OWN})"], True, False, True, False),
        (["for select using (true)"], False, False, True, True),
        (["for select using (true)", f"for update using ({_OWN})"], False, False, True, False),
    ],
)
async def test_what_policies_do_to_a_role_is_known(
    limited: Limited,
    policies: list[str],
    hides_rows: bool,
    hides_all: bool,
    limits_updates: bool,
    refuses_updates: bool,
) -> None:
    await limited.begin(*policies)
    found = await read_row_security(limited.session)
    assert (found.role, found.name) == ("limited", _MASTER)
    assert (found.hides_rows, found.hides_all) == (hides_rows, hides_all)
    assert (found.limits_updates, found.refuses_updates) == (limits_updates, refuses_updates)
    await limited.run("set local role none")
    assert not (await read_row_security(limited.session)).limits


async def test_an_empty_table_hides_nothing(limited: Limited) -> None:
    await limited.run(f"truncate {_MASTER} cascade")
    await limited.run(
        "create role limited",
        "grant usage on schema migration to limited",
        f"grant select, update on {_MASTER} to limited",
        f"alter table {_MASTER} enable row level security",
        "set local role limited",
    )
    await check_sight(limited.session)
    await check_reach(limited.session)


@pytest.mark.parametrize(
    "policies", [[], ["for select using (true)"], ["for all using (false)"], [f"for all using (not {_OWN})"]]
)
async def test_a_hidden_row_is_neither_missing_nor_foreign(limited: Limited, policies: list[str]) -> None:
    flow_id = await limited.begin(*policies)
    assert await limited.outcome(flow_id) == MergeOutcome(hidden=frozenset({flow_id}))


async def test_what_is_not_there_is_missing_where_nothing_is_hidden(limited: Limited) -> None:
    flow_id, missing = await limited.begin(EVERYTHING), uuid4()
    assert await limited.outcome(missing) == MergeOutcome(missing=frozenset({missing}))
    assert await limited.outcome(flow_id) == MergeOutcome()


async def test_a_policy_that_refuses_what_the_merge_writes_is_a_missing_right(limited: Limited) -> None:
    flow_id = await limited.begin("for all using (true) with check (false)")
    with pytest.raises(RightsMissing, match=r"row-level security.*`flowctl doctor`"):
        await limited.outcome(flow_id)


@pytest.mark.parametrize("policies", [[], ["for select using (true)"]])
async def test_a_worker_that_reaches_no_row_lacks_a_right(limited: Limited, policies: list[str]) -> None:
    await limited.begin(*policies)
    with pytest.raises(RightsMissing, match=r"limited.*BYPASSRLS"):
        await check_reach(limited.session)


async def test_the_repository_says_that_a_policy_may_hide_a_row(limited: Limited) -> None:
    flow_id = await limited.begin()
    repository = CrewAIFlowStateExtensionsRepository(limited.session, *_IDS)
    children = DiscoveryFlowRepository(limited.session, *_IDS)
    store = PostgresFlowStateStore(limited.session, _CONTEXT)
    for call in (
        repository.increment_retry_count(flow_id),
        children.update_phase_completion(flow_id, "data_import"),
        store.save_state(flow_id, {"a": 1}, "data_import"),
        store.create_checkpoint(flow_id, "data_import"),
    ):
        with pytest.raises(FlowHidden, match="a row-level security policy may hide it") as caught:
            await call
        assert isinstance(caught.value, FlowNotFound)
    assert await store.load_state(flow_id) is None
    assert await repository.get_by_flow_id(flow_id) is None


async def test_a_row_that_a_policy_lets_nobody_make_is_a_missing_right(limited: Limited) -> None:
    await limited.begin("for select using (true)")
    with pytest.raises(RightsMissing):
        await CrewAIFlowStateExtensionsRepository(limited.session, *_IDS).create_master_flow(
            uuid4(), "discovery"
        )


async def test_who_reads_is_told_what_is_hidden(limited: Limited) -> None:
    flow_id = await limited.begin()
    manager = FlowStatusManager(limited.session, _CONTEXT)
    for call in (manager.list_flows(), manager.get_flow_status(flow_id), manager.get_errors(uuid4())):
        with pytest.raises(RightsMissing, match=r"hides every row.*limited.*BYPASSRLS"):
            await call


async def test_who_sees_others_is_told_that_one_may_be_hidden(limited: Limited) -> None:
    flow_id = await limited.begin(f"for all using (not {_OWN})")
    manager = FlowStatusManager(limited.session, _CONTEXT)
    with pytest.raises(FlowHidden, match=str(flow_id)):
        await manager.get_flow_status(flow_id)
    assert (await manager.list_flows()).flows == []


async def test_the_rights_of_the_page_are_enough_for_a_repository(database_url: str) -> None:
    with limited_role(database_url, *page_grants("enrichment_orchestrator")) as role:
        engine, flow_id = engine_for(role.url), uuid4()
        async with make_session_factory(engine).begin() as session:
            await CrewAIFlowStateExtensionsRepository(session, *_IDS).create_master_flow(flow_id, "discovery")
            children = DiscoveryFlowRepository(session, *_IDS)
            await children.create_discovery_flow(flow_id, master_flow_id=flow_id)
            await children.update_phase_completion(flow_id, "data_import", {"rows": 1}, completed=True)
            store = PostgresFlowStateStore(session, _CONTEXT)
            await store.save_state(flow_id, {"a": 1}, "data_import")
            await store.recover_from_checkpoint(await store.create_checkpoint(flow_id, "data_import"))
            assert (await store.load_state(flow_id) or {})["a"] == 1
        await engine.dispose()
