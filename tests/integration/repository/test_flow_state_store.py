import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pprint import pformat
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update

from masterflow.domain import FlowNotFound, InputInvalid, TenantMismatch, VersionConflict
from masterflow.domain.clock import clock
from masterflow.domain.errors import UpdateSkipped
from masterflow.domain.events import PhaseTransitioned, StatusChanged, new_event
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.database import session_factory as make_session_factory
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.secure_cache import SecureCache
from masterflow.repository.settings import RedisSettings
from masterflow.repository.tables import CrewAIFlowStateExtensions as Master
from masterflow.repository.tables import create_tables
from tests.support.events.stores import TENANT, Sessions, add_flow, blocked, load, read_row, save, store_of
from tests.support.servers.databases import engine_for, temporary_database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cache(redis_url: str):
    cache = SecureCache(RedisSettings(redis_url=redis_url, cache_keys="k" * 43))
    yield cache
    await cache.close()


async def test_a_saved_state_is_loaded_as_it_was(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    deep = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"resume_token": "abc"}}}}}}}}}}
    rows = [{"host": "db-02", "ram": 64.5, "tags": None, "note": "password=changeme"}] * 500
    state = {"rows": rows, "deep": deep, "note": "naïve ✓", "status": "crunching"}

    assert await save(session_factory, flow_id, state) == 1

    assert await load(session_factory, flow_id) == {**state, "current_phase": "data_import"}
    assert (await read_row(session_factory, flow_id)).flow_persistence_data["current_phase"] == "data_import"


ODD: dict[str, Any] = {
    "floats": [1e22, -1.7e308, 5e-324, 0.1 + 0.2, 1.0, -0.0, float("inf"), 1e15],
    "ints": [10**400, -(2**70), 0, True],
    "texts": ["a\0b", "a\ud83d b", "naïve ✓", "back\\slash", ""],
    "times": (datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), date(2026, 1, 2)),  # noqa: DTZ001
    "nested": {
        "set": {(2, 3)},
        "words": frozenset({"a"}),
        "bytes": b"\xff\0",
        "cost": Decimal("1.10"),
        "ids": [UUID(int=7)],
    },
    "by row": {7: "seven", 8: timedelta(days=1, microseconds=1)},
    "": frozenset(),
}


@pytest.mark.parametrize("cached", [False, True])
async def test_what_json_does_not_know_comes_back_as_it_was(
    session_factory: Sessions, cache: SecureCache, cached: bool
) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, ODD)
    for _ in ("from the row", "from the cache"):
        loaded = await load(session_factory, flow_id, cache if cached else None)
        assert loaded.pop("current_phase") == "data_import"
        assert pformat(loaded) == pformat(ODD)
    await save(session_factory, flow_id, {"plain": 1})
    assert await load(session_factory, flow_id) == {"plain": 1, "current_phase": "data_import"}


async def test_the_first_state_of_a_flow_comes_back_as_it_was(session_factory: Sessions) -> None:
    flow_id = uuid4()
    tenant = TENANT.client_account_id, TENANT.engagement_id, TENANT.user_id
    async with session_factory.begin() as db:
        repository = CrewAIFlowStateExtensionsRepository(db, *tenant)
        with pytest.raises(InputInvalid, match=r"\$\.rows\[1\] is a object"):
            await repository.create_master_flow(flow_id, "discovery", initial_state={"rows": [1, object()]})
        await repository.create_master_flow(flow_id, "discovery", initial_state={"cost": Decimal("1.10")})
    assert await load(session_factory, flow_id) == {"cost": Decimal("1.10")}


async def test_what_would_come_back_changed_is_refused_and_nothing_is_written(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"n": 1})
    for state, path in (
        ({"a": {"b": [0, object()]}}, r"\$\.a\.b\[1\]"),
        ({"checkpoints": []}, r"\$\.checkpoints"),
    ):
        with pytest.raises(InputInvalid, match=path):
            await save(session_factory, flow_id, state)
    assert await load(session_factory, flow_id) == {"n": 1, "current_phase": "data_import"}


async def test_a_trigger_that_keeps_the_row_is_no_version_conflict(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, flow_persistence_data={})
    async with session_factory.begin() as db:
        await db.execute(
            text(
                "create function migration.keep() returns trigger language plpgsql"
                " as 'begin return null; end'"
            )
        )
        await db.execute(
            text(
                "create trigger keep before update on migration.crewai_flow_state_extensions"
                " for each row execute function migration.keep()"
            )
        )
    async with store_of(session_factory) as store:
        for attempt in (
            store.save_state(flow_id, {}, "data_import"),
            store.save_state(flow_id, {}, "data_import", 0),
            store.create_checkpoint(flow_id, "data_import", {}),
        ):
            with pytest.raises(UpdateSkipped, match="trigger or a policy"):
                await attempt


async def test_what_the_database_has_no_room_for_is_told_as_such(postgres_server: str) -> None:
    with temporary_database(postgres_server, encoding="LATIN1") as url:
        engine = engine_for(url)
        await create_tables(engine)
        sessions = make_session_factory(engine)
        flow_id = await add_flow(sessions)
        with pytest.raises(InputInvalid, match=r"Postgres does not take this state .*LATIN1"):
            await save(sessions, flow_id, {"note": "✓"})
        await engine.dispose()


@pytest.mark.parametrize(
    "beyond", ["1" + "0" * 5000, '{"a":' * 3000 + "1" + "}" * 3000], ids=["long", "deep"]
)
async def test_what_others_wrote_and_python_cannot_read_is_told_as_such(
    session_factory: Sessions, beyond: str
) -> None:
    flow_id = await add_flow(session_factory)
    checkpoint = f'{{"checkpoint_id": "{flow_id}_a", "state_snapshot": {{"x": {beyond}}}}}'
    document = f'{{"x": {beyond}, "checkpoints": [{checkpoint}]}}'
    async with session_factory.begin() as db:
        await db.execute(
            text(
                "update migration.crewai_flow_state_extensions"
                " set flow_persistence_data = cast(:document as jsonb) where flow_id = :flow_id"
            ),
            {"document": document, "flow_id": flow_id},
        )
    async with store_of(session_factory) as store:
        for attempt in (store.load_state(flow_id), store.recover_from_checkpoint(f"{flow_id}_a")):
            with pytest.raises(InputInvalid, match=r"holds is no JSON that Python reads .*; mend its row"):
                await attempt
        assert await store.save_state(flow_id, {"x": 1}, "data_import") == 1


async def test_a_key_that_the_next_state_lacks_is_gone(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"error": "no file", "step": 1})

    await save(session_factory, flow_id, {"step": 2})

    assert await load(session_factory, flow_id) == {"step": 2, "current_phase": "data_import"}


async def test_what_others_keep_in_the_same_columns_survives_a_save(session_factory: Sessions) -> None:
    configuration = {"retention_days": 30, "phase": "theirs", "nested": {"a": [1]}}
    kept = {
        "validated_data": [1, 2],
        "lifecycle_events": [{"event": "created"}],
        "archived_states": {"v1": {}},
    }
    flow_id = await add_flow(
        session_factory,
        flow_configuration=configuration,
        flow_persistence_data={**kept, "step": 0},
        flow_metadata={"owner": "ops", "_enrichment": {"retries": ["r"]}},
    )

    await save(session_factory, flow_id, {"step": 1})
    await save(session_factory, flow_id, {"step": 2})

    row = await read_row(session_factory, flow_id)
    assert row.flow_configuration == {**configuration, "version": 2}
    assert row.flow_persistence_data == {**kept, "step": 2, "current_phase": "data_import"}
    assert row.flow_metadata is not None
    assert row.flow_metadata["owner"] == "ops"
    assert row.flow_metadata["_enrichment"]["retries"] == ["r"]


async def test_odd_columns_are_set_aside_and_not_lost(session_factory: Sessions) -> None:
    flow_id = await add_flow(
        session_factory, flow_persistence_data=["odd"], flow_configuration="text", flow_metadata=None
    )

    await save(session_factory, flow_id, {"step": 1})

    row = await read_row(session_factory, flow_id)
    assert row.flow_persistence_data == {"step": 1, "current_phase": "data_import"}
    assert row.flow_configuration == {"version": 1}
    assert row.flow_metadata is not None
    assert row.flow_metadata["_enrichment"]["displaced"] == {
        "flow_persistence_data": ["odd"],
        "flow_configuration": "text",
    }


async def test_a_configured_version_that_is_no_number_moves_aside(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, flow_configuration={"version": "2.1-beta"})

    assert await save(session_factory, flow_id, {}, version=0) == 1

    row = await read_row(session_factory, flow_id)
    assert row.flow_configuration == {"version": 1, "configured_version": "2.1-beta"}


async def test_a_stale_writer_is_refused_and_overwrites_nothing(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    assert await save(session_factory, flow_id, {"by": "first"}, version=0) == 1

    with pytest.raises(VersionConflict, match="no longer at version 0 but at 1"):
        await save(session_factory, flow_id, {"by": "stale"}, version=0)

    assert (await load(session_factory, flow_id))["by"] == "first"
    assert await save(session_factory, flow_id, {"by": "next"}, version=1) == 2


async def test_the_version_to_save_under_comes_with_the_state(
    session_factory: Sessions, cache: SecureCache
) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"n": 1})
    for _ in range(2):
        async with store_of(session_factory, cache) as store:
            loaded = await store.load_versioned(flow_id)
        assert loaded is not None
        assert loaded.state["n"] == 1
        assert loaded.version == 1


async def outcomes(*attempts: Awaitable[int]) -> list[int | BaseException]:
    return await asyncio.gather(*attempts, return_exceptions=True)


async def test_of_two_savers_of_one_version_exactly_one_wins_a_hundred_times(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(session_factory)
    for version in range(100):
        results = await outcomes(
            *(save(session_factory, flow_id, {"by": by, "of": version}, version=version) for by in ("a", "b"))
        )
        won = [by for by, result in zip("ab", results, strict=True) if result == version + 1]
        lost = [result for result in results if isinstance(result, VersionConflict)]
        assert (len(won), len(lost)) == (1, 1), results
        loaded = await load(session_factory, flow_id)
        assert (loaded["by"], loaded["of"]) == (won[0], version)


async def test_a_saver_that_waited_for_the_other_one_is_refused(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    async with session_factory() as slow, session_factory() as fast:
        await PostgresFlowStateStore(fast, TENANT).save_state(flow_id, {"by": "fast"}, "data_import", 0)
        waiting = asyncio.create_task(
            PostgresFlowStateStore(slow, TENANT).save_state(flow_id, {"by": "slow"}, "data_import", 0)
        )
        await blocked(session_factory)
        await fast.commit()
        with pytest.raises(VersionConflict):
            await waiting
    assert (await load(session_factory, flow_id))["by"] == "fast"


async def test_a_save_that_waited_keeps_what_was_written_meanwhile(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    async with session_factory() as other, session_factory() as saver:
        changed = {"validated_data": [1], "checkpoints": [{"checkpoint_id": "theirs"}]}
        await other.execute(
            update(Master).where(Master.flow_id == flow_id).values(flow_persistence_data=changed)
        )
        await other.execute(
            update(Master).where(Master.flow_id == flow_id).values(flow_metadata={"noted": True})
        )
        waiting = asyncio.create_task(
            PostgresFlowStateStore(saver, TENANT).save_state(flow_id, {"step": 1}, "data_import")
        )
        await blocked(session_factory)
        await other.commit()
        assert await waiting == 1
        await saver.commit()

    row = await read_row(session_factory, flow_id)
    assert row.flow_persistence_data == {**changed, "step": 1, "current_phase": "data_import"}
    assert row.flow_metadata is not None
    assert row.flow_metadata["noted"] is True


async def test_saves_without_a_version_all_count(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    versions = await outcomes(*(save(session_factory, flow_id, {"n": n}) for n in range(20)))
    assert sorted(version for version in versions if isinstance(version, int)) == list(range(1, 21))


async def test_a_save_joins_the_callers_transaction(session_factory: Sessions, cache: SecureCache) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"n": 1})
    async with session_factory() as db:
        store = PostgresFlowStateStore(db, TENANT, cache)
        await store.save_state(flow_id, {"n": 2}, "data_cleansing")
        assert await store.load_state(flow_id) == {"n": 2, "current_phase": "data_cleansing"}
        await store.save_state(flow_id, {"n": 3}, "data_cleansing")
        assert await store.load_state(flow_id) == {"n": 3, "current_phase": "data_cleansing"}
        assert (await load(session_factory, flow_id, cache))["n"] == 1
        await db.rollback()

    assert await load(session_factory, flow_id, cache) == {"n": 1, "current_phase": "data_import"}
    assert await save(session_factory, flow_id, {"n": 4}, version=1) == 2
    assert (await load(session_factory, flow_id, cache))["n"] == 4


async def test_a_cached_state_is_used_while_the_row_stays_as_it_is(
    session_factory: Sessions, cache: SecureCache, caplog: pytest.LogCaptureFixture
) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"n": 1})
    first = await load(session_factory, flow_id, cache)
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine")

    assert await load(session_factory, flow_id, cache) == first

    assert not any("jsonb_build_array" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("cached", [False, True])
async def test_a_status_change_is_visible_to_the_next_load(
    session_factory: Sessions, cache: SecureCache, cached: bool
) -> None:
    used = cache if cached else None
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"status": "running"})
    assert (await load(session_factory, flow_id, used))["status"] == "running"

    async with store_of(session_factory, used) as store:
        await store.update_flow_status(flow_id, "paused")

    assert (await load(session_factory, flow_id, used))["status"] == "paused"
    assert (await read_row(session_factory, flow_id)).flow_status == "paused"
    await save(session_factory, flow_id, {"status": "running"})
    assert (await load(session_factory, flow_id, used))["status"] == "running"


async def test_a_save_is_later_than_a_status_by_a_clock_that_is_ahead(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    async with session_factory.begin() as db:
        await apply_events(db, [new_event(StatusChanged, TENANT, flow_id, occurred_at=soon, status="paused")])
    await save(session_factory, flow_id, {"status": "running"})
    assert (await load(session_factory, flow_id))["status"] == "running"


async def test_a_phase_that_started_before_the_save_does_not_take_current_phase_back(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(session_factory)
    older = new_event(PhaseTransitioned, TENANT, flow_id, phase="data_import", status="processing")
    async with store_of(session_factory) as store:
        await store.save_state(flow_id, {}, "data_cleansing")
    newer = new_event(PhaseTransitioned, TENANT, flow_id, phase="asset_inventory", status="processing")

    for event, phase in ((older, "data_cleansing"), (newer, "asset_inventory")):
        async with session_factory.begin() as db:
            await apply_events(db, [event])
        assert (await load(session_factory, flow_id))["current_phase"] == phase


async def test_a_load_sets_the_clock_of_the_flow_past_what_the_row_knows(
    session_factory: Sessions, cache: SecureCache
) -> None:
    flow_id = await add_flow(session_factory)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    event = new_event(PhaseTransitioned, TENANT, flow_id, occurred_at=soon, phase="a", status="processing")
    async with session_factory.begin() as db:
        await apply_events(db, [event])
    for _ in ("from the row", "from the cache"):
        clock._floors.pop(flow_id, None)
        await load(session_factory, flow_id, cache)
        assert clock.tick(flow_id) > soon


async def test_a_time_far_ahead_in_the_row_does_not_move_the_clock(session_factory: Sessions) -> None:
    years_ahead = {"timestamp": "2099-01-01T00:00:00", "phase": "a", "status": "processing"}
    flow_id = await add_flow(session_factory, phase_transitions=[years_ahead])

    await load(session_factory, flow_id)

    assert clock.tick(flow_id) < datetime.now(UTC) + timedelta(minutes=1)


async def test_there_is_no_state_of_an_unknown_flow(session_factory: Sessions) -> None:
    async with store_of(session_factory) as store:
        assert await store.load_state(uuid4()) is None
        for attempt in (
            store.save_state(uuid4(), {}, "data_import"),
            store.create_checkpoint(uuid4(), "data_import"),
            store.list_checkpoints(uuid4()),
            store.update_flow_status(uuid4(), "paused"),
            store.recover_from_checkpoint(f"{uuid4()}_x"),
        ):
            with pytest.raises(FlowNotFound):
                await attempt


@pytest.mark.parametrize("other", ["client_account_id", "engagement_id"])
async def test_another_tenant_neither_reads_nor_writes(
    session_factory: Sessions, cache: SecureCache, other: str
) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"secret": 1})
    async with store_of(session_factory) as store:
        checkpoint_id = await store.create_checkpoint(flow_id, "data_import")
    await load(session_factory, flow_id, cache)
    before = await read_row(session_factory, flow_id)
    stranger = TENANT.model_copy(update={other: uuid4()})

    attempts: list[Callable[[PostgresFlowStateStore], Awaitable[Any]]] = [
        lambda store: store.load_state(flow_id),
        lambda store: store.save_state(flow_id, {}, "data_import"),
        lambda store: store.update_flow_status(flow_id, "paused"),
        lambda store: store.create_checkpoint(flow_id, "data_import"),
        lambda store: store.list_checkpoints(flow_id),
        lambda store: store.recover_from_checkpoint(checkpoint_id),
    ]
    for attempt in attempts:
        async with store_of(session_factory, cache, stranger) as store:
            with pytest.raises(TenantMismatch):
                await attempt(store)

    after = await read_row(session_factory, flow_id)
    assert after.flow_persistence_data == before.flow_persistence_data
    assert after.updated_at == before.updated_at


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", {}, "a"), "flow id"),
        ((None, {}, "a"), "flow id"),
        ((uuid4(), {}, " "), "phase"),
        ((uuid4(), ["list"], "a"), "mapping"),
        ((uuid4(), {}, "a", "7"), "is no version"),
        ((uuid4(), {}, "a", True), "is no version"),
    ],
)
async def test_nonsense_is_refused_with_its_name(
    session_factory: Sessions, arguments: tuple[Any, ...], message: str
) -> None:
    async with store_of(session_factory) as store:
        with pytest.raises(InputInvalid, match=message):
            await store.save_state(*arguments)
