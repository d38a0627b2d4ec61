import inspect
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import FlowRetried, new_event
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.retention.ended import Ended, EndedFlows
from masterflow.repository.sql import source
from masterflow.repository.tables import CrewAIFlowStateExtensions as Master
from masterflow.tasks.retention import archive as archives
from masterflow.tasks.retention.archive import Archive
from masterflow.tasks.retention.restoring import restore_archive
from masterflow.tasks.retention.rounds import run_rounds
from tests.integration.retention.conftest import BEFORE, OLD, add_old, archived_ids, old_flows, rows_of
from tests.support.events.stores import TENANT, Sessions, read_row

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """What ends a run at a place, as a kill would: nothing may handle it."""


def heavy() -> dict[str, Any]:
    """Return what tells apart what JSON and Python would take for the same."""
    return {
        "flow_persistence_data": {"current_phase": "data_import", "state": {"n": [1.10, "é\u2028", None]}},
        "phase_transitions": [{"id": "1", "phase": "a", "status": "completed", "metadata": {"deep": [[1]]}}],
        "error_history": None,
        "collection_quality_score": 0.1 + 0.2,
        "flow_metadata": {"big": 12345678901234567890123, "text": "say \\ \"'"},
    }


async def test_what_is_archived_is_gone_and_comes_back_as_it_was(
    session_factory: Sessions, tmp_path: Path
) -> None:
    for _ in range(3):
        await add_old(session_factory, **heavy())
    before, place = await rows_of(session_factory), Archive.at(f"{tmp_path}/flows.jsonl")
    outcome = await run_rounds(old_flows(session_factory), place, thins=False, most=2)

    assert (outcome.done, outcome.kept) == (3, 0)
    assert await rows_of(session_factory) == {}
    assert sorted(archived_ids(place.path)) == sorted(before)
    assert place.path.stat().st_mode & 0o777 == 0o600
    assert not list(place.path.parent.glob("*.part"))

    result = await restore_archive(session_factory, place)
    assert (result.restored, result.there, result.damaged) == (3, 0, 0)
    assert await rows_of(session_factory) == before
    again = await restore_archive(session_factory, place)
    assert (again.restored, again.there) == (0, 3)
    assert await rows_of(session_factory) == before


@pytest.mark.parametrize(
    "columns",
    [
        *({"status": word} for word in ("initialized", "active", "processing", "paused")),
        {"status": "waiting_for_approval"},
        {"updated_at": BEFORE},
        {"updated_at": None},
        {"created_at": None},
    ],
)
async def test_what_is_open_or_of_late_or_of_no_known_age_stays(
    session_factory: Sessions, tmp_path: Path, columns: dict[str, Any]
) -> None:
    await add_old(session_factory, **columns)
    before = await rows_of(session_factory)
    for thins in (False, True):
        flows = old_flows(session_factory, to_thin=thins)
        assert await flows.count() == []
        assert (await run_rounds(flows, Archive.at(f"{tmp_path}/"), thins=thins)).done == 0
    assert await rows_of(session_factory) == before
    assert archived_ids(tmp_path) == []


async def test_a_folder_has_a_file_for_each_tenant_and_day_and_tenants_are_kept_apart(
    session_factory: Sessions, tmp_path: Path
) -> None:
    ours, other = await add_old(session_factory), uuid4()
    later = await add_old(session_factory, "failed", updated_at=OLD + timedelta(days=1))
    foreign = await add_old(session_factory, "cancelled", client_account_id=other)
    before, place = await rows_of(session_factory), Archive.at(f"{tmp_path}/")
    mine = {"client_account_id": TENANT.client_account_id, "engagement_id": TENANT.engagement_id}

    assert [(one.flows, one.named) for one in await old_flows(session_factory, **mine).count()] == [(2, 0)]
    assert (await run_rounds(old_flows(session_factory, **mine), place, thins=False)).done == 2
    assert list(await rows_of(session_factory)) == [str(foreign)]
    await run_rounds(old_flows(session_factory), place, thins=False)
    engagement = TENANT.engagement_id
    files = {str(path.relative_to(tmp_path)): archived_ids(path) for path in place.files()}
    assert files == {
        f"{TENANT.client_account_id}/{engagement}/2026-03-04.jsonl": [str(ours)],
        f"{TENANT.client_account_id}/{engagement}/2026-03-05.jsonl": [str(later)],
        f"{other}/{engagement}/2026-03-04.jsonl": [str(foreign)],
    }
    assert (await restore_archive(session_factory, place, client_account_id=other)).restored == 1
    assert list(await rows_of(session_factory)) == [str(foreign)]
    assert (await restore_archive(session_factory, place)).restored == 2
    assert await rows_of(session_factory) == before


async def test_a_file_of_several_tenants_gives_back_one_alone(
    session_factory: Sessions, tmp_path: Path
) -> None:
    await add_old(session_factory)
    engagement = uuid4()
    foreign = await add_old(session_factory, engagement_id=engagement)
    place = Archive.at(f"{tmp_path}/flows.jsonl")
    await run_rounds(old_flows(session_factory), place, thins=False)
    assert (await restore_archive(session_factory, place, engagement_id=engagement)).restored == 1
    assert list(await rows_of(session_factory)) == [str(foreign)]


STEPS = {
    "add": archives.Written,
    "_sync": archives,
    "_replace": archives,
    "_sync_folder": archives,
    "delete": EndedFlows,
}


@pytest.mark.parametrize("name", STEPS)
async def test_whatever_ends_a_run_no_row_is_lost_and_the_next_one_goes_on(
    session_factory: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    step = getattr(STEPS[name], name)
    for place in (Archive.at(f"{tmp_path}/{number}/") for number in range(4)):
        number = int(place.path.name)
        ids = [str(await add_old(session_factory, updated_at=OLD + timedelta(days=n % 2))) for n in range(3)]
        before = await rows_of(session_factory)
        # At the first call or the second one, just before it or just after.
        monkeypatch.setattr(STEPS[name], name, killed(step, call=number // 2 + 1, after=bool(number % 2)))
        with pytest.raises(Killed):
            await run_rounds(old_flows(session_factory), place, thins=False, most=2)
        monkeypatch.setattr(STEPS[name], name, step)

        left = await rows_of(session_factory)
        assert {*archived_ids(place.path), *left} == set(ids)
        assert left.items() <= before.items()
        await run_rounds(old_flows(session_factory), place, thins=False, most=2)
        assert await rows_of(session_factory) == {}
        assert sorted(archived_ids(place.path)) == sorted(ids)
    await restore_archive(session_factory, place)
    assert await rows_of(session_factory) == before


def killed(work: Callable[..., Any], *, call: int, after: bool) -> Callable[..., Any]:
    """Return it with a kill."""
    calls = count(1)

    def plain(*args: Any, **options: Any) -> Any:
        is_last = next(calls) == call
        if is_last and not after:
            raise Killed
        result = work(*args, **options)
        if is_last:
            raise Killed
        return result

    async def waited_for(*args: Any, **options: Any) -> Any:
        is_last = next(calls) == call
        if is_last and not after:
            raise Killed
        result = await work(*args, **options)
        if is_last:
            raise Killed
        return result

    return waited_for if inspect.iscoroutinefunction(work) else plain


async def test_a_row_that_changes_after_it_was_read_stays_whatever_its_time_says(
    session_factory: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, quiet = await add_old(session_factory), await add_old(session_factory)
    locked = await add_old(session_factory)
    flows, place = old_flows(session_factory), Archive.at(f"{tmp_path}/flows.jsonl")
    delete, is_first = flows.delete, True

    async def meanwhile(digests: Any) -> Any:
        nonlocal is_first
        if is_first:
            async with session_factory.begin() as db:
                await db.execute(
                    text(f"update {Master.__table__} set flow_name = 'x' where flow_id = :id"),
                    {"id": changed},
                )
        is_first = False
        return await delete(digests)

    monkeypatch.setattr(flows, "delete", meanwhile)
    async with session_factory.begin() as other:
        await other.execute(
            text("select from migration.crewai_flow_state_extensions where flow_id = :id for key share"),
            {"id": locked},
        )
        outcome = await run_rounds(flows, place, thins=False, most=3)
        # The changed one went with the next round, as it is now.
        assert (outcome.done, outcome.kept) == (2, 1)
    assert list(await rows_of(session_factory)) == [str(locked)]
    assert (await restore_archive(session_factory, place)).restored == 2
    assert '"flow_name": "x"' in (await rows_of(session_factory))[str(changed)]
    assert str(quiet) in await rows_of(session_factory)


async def test_a_flow_that_others_name_goes_after_them_and_comes_back_with_them(
    session_factory: Sessions, tmp_path: Path
) -> None:
    parent = await add_old(session_factory)
    child = await add_old(session_factory, parent_flow_id=parent, updated_at=OLD + timedelta(days=1))
    is_named = await add_old(session_factory)
    await add_old(session_factory, "processing", parent_flow_id=is_named)
    before, place = await rows_of(session_factory), Archive.at(f"{tmp_path}/")
    flows = old_flows(session_factory)
    assert [(one.flows, one.named) for one in await flows.count()] == [(3, 2)]
    assert (await run_rounds(flows, place, thins=False)).done == 2
    assert await rows_of(session_factory) == {
        one: row for one, row in before.items() if one not in (str(parent), str(child))
    }
    result = await restore_archive(session_factory, place)
    assert (result.restored, result.parents_missing) == (2, 0)
    assert await rows_of(session_factory) == before


async def test_a_flow_that_somebody_names_after_it_was_read_stays(
    session_factory: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = await add_old(session_factory)
    flows = old_flows(session_factory)
    delete = flows.delete

    async def meanwhile(digests: Any) -> Any:
        await add_old(session_factory, "processing", parent_flow_id=named)
        return await delete(digests)

    monkeypatch.setattr(flows, "delete", meanwhile)
    outcome = await run_rounds(flows, Archive.at(f"{tmp_path}/"), thins=False)
    assert (outcome.done, outcome.kept) == (0, 1)
    assert len(await rows_of(session_factory)) == 2


async def test_who_is_named_is_found_by_a_join_and_not_row_by_row(session_factory: Sessions) -> None:
    [key] = await old_flows(session_factory).references()
    assert (key.is_own, key.is_indexed) == (True, False)
    explain = text(f"explain {source('find_named', named=key.named)}")
    arguments = Ended(before=BEFORE).arguments
    async with session_factory() as db:
        plan = "\n".join((await db.execute(explain, arguments)).scalars())
    assert "SubPlan" not in plan
    assert "Join" in plan or "Nested Loop" in plan


async def test_a_flow_that_names_itself_goes(session_factory: Sessions, tmp_path: Path) -> None:
    flow_id = await add_old(session_factory)
    async with session_factory.begin() as db:
        await db.execute(text(f"update {Master.__table__} set parent_flow_id = flow_id"))
    before, place = await rows_of(session_factory), Archive.at(f"{tmp_path}/")
    assert (await run_rounds(old_flows(session_factory), place, thins=False)).done == 1
    assert archived_ids(tmp_path) == [str(flow_id)]
    await restore_archive(session_factory, place)
    assert await rows_of(session_factory) == before


async def test_a_late_report_finds_no_flow_until_it_is_restored(
    session_factory: Sessions, tmp_path: Path
) -> None:
    flow_id, place = await add_old(session_factory, "failed"), Archive.at(f"{tmp_path}/")
    await run_rounds(old_flows(session_factory), place, thins=False)
    late = [new_event(FlowRetried, TENANT, flow_id)]
    async with session_factory.begin() as db:
        assert (await apply_events(db, late)).missing == {flow_id}
    await restore_archive(session_factory, place)
    async with session_factory.begin() as db:
        assert (await apply_events(db, late)).missing == set()
    # It was heard of, so it is old no more.
    assert (await read_row(session_factory, flow_id)).retry_count == 1
    assert (await run_rounds(old_flows(session_factory), place, thins=False)).done == 0


async def test_no_row_of_another_table_goes_along(session_factory: Sessions, tmp_path: Path) -> None:
    named, free = await add_old(session_factory), await add_old(session_factory)
    async with session_factory.begin() as db:
        await db.execute(
            text(
                'create table migration."odd:name" (master uuid references'
                " migration.crewai_flow_state_extensions (flow_id) on delete cascade)".replace(":", r"\:")
            )
        )
        await db.execute(text(r'insert into migration."odd\:name" values (:id)'), {"id": named})
    place = Archive.at(f"{tmp_path}/flows.jsonl")
    assert (await run_rounds(old_flows(session_factory), place, thins=False)).done == 1
    assert list(await rows_of(session_factory)) == [str(named)]
    assert archived_ids(place.path) == [str(free)]


async def test_what_is_damaged_is_told_and_left_and_no_archive_is_told_too(
    session_factory: Sessions, tmp_path: Path
) -> None:
    first, second = await add_old(session_factory), await add_old(session_factory)
    place = Archive.at(f"{tmp_path}/flows.jsonl")
    await run_rounds(old_flows(session_factory), place, thins=False)
    lines = place.path.read_text().splitlines(keepends=True)
    lines = [line.replace("completed", "cancelled") if str(first) in line else line for line in lines]
    place.path.write_text("".join(lines))
    result = await restore_archive(session_factory, place)
    assert (result.restored, result.damaged, result.first_damaged) == (1, 1, first)
    assert list(await rows_of(session_factory)) == [str(second)]
    place.path.write_text("".join([*lines, '{"v": 1}\n']))
    with pytest.raises(InputInvalid, match=r"Line 3 of .* is no row"):
        await restore_archive(session_factory, place)
    with pytest.raises(InputInvalid, match="There is no archive"):
        await restore_archive(session_factory, Archive.at(f"{tmp_path}/none"))


async def test_two_runs_do_not_write_the_same_archive(session_factory: Sessions, tmp_path: Path) -> None:
    place = Archive.at(f"{tmp_path}/")
    with place.written(), pytest.raises(InputInvalid, match="Another process writes"):
        await run_rounds(old_flows(session_factory), place, thins=False)
