import asyncio
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update

from masterflow.domain import InputInvalid
from masterflow.repository.flow_state_store import CheckpointNotFound, PostgresFlowStateStore
from masterflow.repository.secure_cache import SecureCache
from masterflow.repository.settings import RedisSettings
from masterflow.repository.tables import CrewAIFlowStateExtensions as Master
from tests.support.events.stores import TENANT, Sessions, add_flow, load, read_row, save, store_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cache(redis_url: str):
    cache = SecureCache(RedisSettings(redis_url=redis_url, cache_keys="k" * 43))
    yield cache
    await cache.close()


async def test_a_checkpoint_brings_state_and_phase_back(
    session_factory: Sessions, cache: SecureCache
) -> None:
    flow_id = await add_flow(session_factory, flow_persistence_data={"validated_data": [1]})
    await save(session_factory, flow_id, {"n": 1, "early": True})
    async with store_of(session_factory, cache) as store:
        checkpoint_id = await store.create_checkpoint(flow_id, "data_import")
    await save(session_factory, flow_id, {"n": 2, "late": True})

    for version in (3, 4):
        async with store_of(session_factory, cache) as store:
            recovered = await store.recover_from_checkpoint(checkpoint_id)
        assert recovered["n"] == 1
        loaded = await load(session_factory, flow_id, cache)
        assert loaded == recovered
        assert loaded == {"n": 1, "early": True, "validated_data": [1], "current_phase": "data_import"}
        assert (await read_row(session_factory, flow_id)).flow_configuration["version"] == version


async def test_a_checkpoint_of_a_given_state_does_not_touch_the_saved_one(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"n": 1})
    async with store_of(session_factory) as store:
        state = {"n": (7, {b"raw"}), "at": datetime(2026, 1, 2), "rows": {7: Decimal("1.10")}}  # noqa: DTZ001
        checkpoint_id = await store.create_checkpoint(flow_id, "data_cleansing", state)
        assert await store.load_state(flow_id) == {"n": 1, "current_phase": "data_import"}
        recovered = await store.recover_from_checkpoint(checkpoint_id)
        assert recovered == {**state, "current_phase": "data_cleansing"}
        assert await store.load_state(flow_id) == recovered
        again = await store.create_checkpoint(flow_id, "data_import")
        assert await store.recover_from_checkpoint(again) == {**state, "current_phase": "data_import"}


async def test_a_checkpoint_of_what_would_come_back_changed_is_refused(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, flow_persistence_data={})
    async with store_of(session_factory) as store:
        for state, path in (
            ({"a": [object()]}, r"\$\.a\[0\]"),
            ({"checkpoints": ["own"]}, r"\$\.checkpoints"),
        ):
            with pytest.raises(InputInvalid, match=path):
                await store.create_checkpoint(flow_id, "data_import", state)
        assert await store.list_checkpoints(flow_id) == []


async def test_the_newest_ten_checkpoints_are_kept_and_hold_no_checkpoints(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    await save(session_factory, flow_id, {"data": "x" * 1000})
    sizes, ids = [], []
    for n in range(12):
        async with store_of(session_factory) as store:
            ids.append(await store.create_checkpoint(flow_id, f"phase {n}"))
        sizes.append(len(str((await read_row(session_factory, flow_id)).flow_persistence_data)))

    growth = [after - before for before, after in pairwise(sizes)]
    assert max(growth) < 1.2 * min(growth[:9])
    assert sizes[11] < sizes[9] * 1.01
    async with store_of(session_factory) as store:
        listed = await store.list_checkpoints(flow_id)
        assert [entry["checkpoint_id"] for entry in listed] == ids[2:]
        assert [entry["phase"] for entry in listed] == [f"phase {n}" for n in range(2, 12)]
        assert "state_snapshot" not in listed[0]
        assert listed[0]["created_at"].endswith("+00:00")
        with pytest.raises(CheckpointNotFound):
            await store.recover_from_checkpoint(ids[0])
    assert "checkpoints" not in (await load(session_factory, flow_id))


async def test_checkpoints_survive_saves_of_what_was_loaded(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    async with store_of(session_factory) as store:
        checkpoint_id = await store.create_checkpoint(flow_id, "data_import", {"n": 1})
    loaded = await load(session_factory, flow_id)

    await save(session_factory, flow_id, loaded)
    with pytest.raises(InputInvalid, match=r"\$\.checkpoints is a key of other writers"):
        await save(session_factory, flow_id, {**loaded, "checkpoints": []})

    async with store_of(session_factory) as store:
        assert [entry["checkpoint_id"] for entry in await store.list_checkpoints(flow_id)] == [checkpoint_id]


async def test_checkpoints_created_at_the_same_time_are_all_there(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)

    async def create() -> str:
        async with store_of(session_factory) as store:
            checkpoint_id: str = await store.create_checkpoint(flow_id, "data_import", {})
        return checkpoint_id

    created = await asyncio.gather(*(create() for _ in range(10)))
    async with store_of(session_factory) as store:
        listed = await store.list_checkpoints(flow_id)
    assert {entry["checkpoint_id"] for entry in listed} == set(created)


async def test_a_checkpoint_that_was_rolled_back_cannot_be_recovered(
    session_factory: Sessions, cache: SecureCache
) -> None:
    flow_id = await add_flow(session_factory)
    async with session_factory() as db:
        checkpoint_id = await PostgresFlowStateStore(db, TENANT, cache).create_checkpoint(
            flow_id, "a", {"n": 1}
        )
        await db.rollback()
    async with store_of(session_factory, cache) as store:
        with pytest.raises(CheckpointNotFound):
            await store.recover_from_checkpoint(checkpoint_id)


async def test_the_first_implementations_nested_checkpoints_are_recovered_without_the_nesting(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(session_factory)
    old = {"checkpoint_id": f"{flow_id}_data_import_1755165237", "phase": "data_import"}
    nested = {**old, "state_snapshot": {"n": 1, "checkpoints": [{**old, "state_snapshot": {}}]}}
    async with session_factory.begin() as db:
        await db.execute(
            update(Master)
            .where(Master.flow_id == flow_id)
            .values(flow_persistence_data={"checkpoints": [nested, 7]})
        )
    async with store_of(session_factory) as store:
        recovered = await store.recover_from_checkpoint(old["checkpoint_id"])
        assert recovered == {"n": 1, "current_phase": "data_import"}
        assert len(await store.list_checkpoints(flow_id)) == 1


async def test_a_checkpoint_of_others_that_holds_no_state_is_told_as_such(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory)
    empty = {"checkpoint_id": f"{flow_id}_a", "phase": "a", "state_snapshot": "gone"}
    async with session_factory.begin() as db:
        kept = {"checkpoints": [empty]}
        await db.execute(update(Master).where(Master.flow_id == flow_id).values(flow_persistence_data=kept))
    async with store_of(session_factory) as store:
        with pytest.raises(InputInvalid, match="holds no state; take another one"):
            await store.recover_from_checkpoint(empty["checkpoint_id"])


@pytest.mark.parametrize("checkpoint_id", ["", "nonsense", None])
async def test_what_is_no_checkpoint_id_is_not_found(session_factory: Sessions, checkpoint_id: Any) -> None:
    async with store_of(session_factory) as store:
        with pytest.raises(CheckpointNotFound):
            await store.recover_from_checkpoint(checkpoint_id)
