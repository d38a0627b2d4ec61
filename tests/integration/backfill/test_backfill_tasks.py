import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.scripts.embedded import EmbeddedPostgres
from masterflow.scripts.maintenance.backfill_master_state_from_child import backfill
from masterflow.scripts.supervise.supervisor import children, send
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

MakeWorkplace = Callable[..., Workplace]

_SCRIPT = "masterflow.scripts.maintenance.backfill_master_state_from_child"
_ADD_FLOWS = """
with flow as (
    insert into migration.crewai_flow_state_extensions
    (id, flow_id, client_account_id, engagement_id, user_id, flow_type)
    select gen_random_uuid(), gen_random_uuid(), %(client)s, %(engagement)s, 'tester', 'discovery'
    from generate_series(1, %(flows)s)
    returning flow_id
)
insert into migration.discovery_flows (id, flow_id, client_account_id, engagement_id, user_id, flow_name,
    data_import_completed, current_phase, crewai_state_data)
select gen_random_uuid(), flow_id, %(client)s, %(engagement)s, 'tester', 'a flow', true, 'inventory', '{}'
from flow
returning flow_id
"""


def add_flows(place: Workplace, context: FlowContext, flows: int) -> list[UUID]:
    with place.database() as database:
        values = {"client": context.client_account_id, "engagement": context.engagement_id, "flows": flows}
        return [found["flow_id"] for found in database.execute(_ADD_FLOWS, values).fetchall()]


_COUNT = """
select count(*) as flows
from migration.crewai_flow_state_extensions
where client_account_id = %(client)s and flow_metadata #> '{_enrichment,backfill}' is not null
"""
_COUNT_WRONG = """
select count(*) as flows
from migration.crewai_flow_state_extensions
where client_account_id = %(client)s
    and (jsonb_array_length(phase_transitions) <> 2 or not flow_metadata ? 'progress_snapshot')
"""
_HOLD = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"


def count(place: Workplace, context: FlowContext, query: str) -> int:
    with place.database() as database:
        found = database.execute(query, {"client": context.client_account_id}).fetchone()
    assert found is not None
    return int(found["flows"])


def caught_up(place: Workplace, context: FlowContext) -> int:
    return count(place, context, _COUNT)


def wrong(place: Workplace, context: FlowContext) -> int:
    """Return how many flows have not just the two transitions and the snapshot that they must have."""
    return count(place, context, _COUNT_WRONG)


def is_done(place: Workplace, task_id: str) -> bool:
    return f"[{task_id}] succeeded" in place.log.read_text()


def script(place: Workplace, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
        ["env", "--default-signal=INT", sys.executable, "-m", _SCRIPT, *options],
        env=place.environment,
        cwd=place.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, json.loads(out), err


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, make_workplace: MakeWorkplace) -> Callable[..., Result]:
    """What runs the script in this process, without a broker."""
    command = typer.Typer(add_completion=False)
    command.command()(backfill)

    def run(place: Workplace, *options: str) -> Result:
        for name, value in place.environment.items():
            monkeypatch.setitem(os.environ, name, value)
        return CliRunner().invoke(command, options)

    return run


def test_beat_finds_what_is_behind_and_the_workers_catch_it_up(
    workplace: Workplace, context: FlowContext
) -> None:
    add_flows(workplace, context, 500)
    beat = {"ENRICHMENT_BACKFILL_INTERVAL_S": "1"}
    with workplace.celery("beat", **beat), workplace.celery("beat", **beat):
        eventually(lambda: caught_up(workplace, context) == 500, timeout_s=60)
        [later] = add_flows(workplace, context, 1)
        eventually(lambda: caught_up(workplace, context) == 501, timeout_s=60)
    snapshot = workplace.row(later)["flow_metadata"]["progress_snapshot"]
    assert snapshot["current_phase"] == "asset_inventory"
    assert wrong(workplace, context) == 0
    assert workplace.counters()["backfill:changed"] >= 501


def test_a_run_ends_at_once_while_another_is_going_on(workplace: Workplace, context: FlowContext) -> None:
    add_flows(workplace, context, 3)
    with workplace.database() as database, database.transaction():
        database.execute("select pg_advisory_xact_lock(%s)", [0x6261636B66696C6C])
        task_id = workplace.send_task("backfill.run")
        eventually(lambda: is_done(workplace, task_id), timeout_s=30)
        assert caught_up(workplace, context) == 0
    workplace.send_task("backfill.run")
    eventually(lambda: caught_up(workplace, context) == 3, timeout_s=30)


@pytest.mark.parametrize("fields", [{"nonsense": 1}, {"flow_ids": []}, {"flow_ids": ["x"]}])
def test_a_chunk_that_is_none_is_dropped(workplace: Workplace, fields: dict[str, Any]) -> None:
    task_id = workplace.send_task("backfill.apply_chunk", **fields)
    eventually(lambda: is_done(workplace, task_id), timeout_s=30)


@pytest.mark.long
def test_chunks_are_left_alone_while_enrichment_is_switched_off_and_the_script_hears_of_it(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_ids = [str(flow_id) for flow_id in add_flows(place, context, 250)]
    # Only the worker's is off, as when the flag is switched between the script's look at it and the worker's.
    with place.worker(MASTER_STATE_ENRICHMENT_ENABLED="false"):
        code, summary, err = outcome(script(place, "--json"))
    assert (code, err) == (1, "")
    assert summary["skipped"] == dict.fromkeys(flow_ids, "enrichment is switched off")
    assert caught_up(place, context) == 0


def test_the_script_lets_the_workers_do_it_and_hears_from_them(
    workplace: Workplace, context: FlowContext
) -> None:
    add_flows(workplace, context, 450)
    code, summary, err = outcome(script(workplace, "--json", "--client", str(context.client_account_id)))
    assert (code, summary["changed"], err) == (0, 450, "")
    assert wrong(workplace, context) == 0


def test_a_killed_worker_is_continued_by_the_next_run_and_nothing_is_double(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    held = sorted(add_flows(place, context, 1_000))[500]
    live = place.new_flow(context)
    with place.worker() as worker, place.database() as database:
        with database.transaction():
            database.execute(_HOLD, [held])
            place.send_task("backfill.run")
            eventually(lambda: caught_up(place, context) > 0, timeout_s=60)
            send([*children(worker.pid), worker.pid], signal.SIGKILL)
            worker.wait(20)
        assert 0 < caught_up(place, context) < 1_000
    # What the dead worker held comes back after a while; the next run does not wait for it.
    place.redis.flushdb()
    place.send_task("backfill.run")
    with place.worker():
        eventually(lambda: caught_up(place, context) > 0, timeout_s=60)
        for _ in range(50):
            place.publish([new_event(FlowRetried, context, live)], context)
        eventually(lambda: place.row(live)["retry_count"] == 50, timeout_s=60)
        eventually(lambda: caught_up(place, context) == 1_000, timeout_s=60)
    assert wrong(place, context) == 1  # the live one, which has no child


def test_a_chunk_gives_way_to_live_events_and_its_rest_comes_later(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_ids = [str(flow_id) for flow_id in add_flows(place, context, 200)]
    live = place.new_flow(context)
    chunk = place.send_task("backfill.apply_chunk", flow_ids=flow_ids)
    # More than a worker holds, or none would wait for it.
    for _ in range(60):
        place.publish([new_event(FlowRetried, context, live)], context)
    with place.worker():
        eventually(lambda: is_done(place, chunk), timeout_s=60)
        eventually(lambda: caught_up(place, context) == 200, timeout_s=60)
        eventually(lambda: place.row(live)["retry_count"] == 60, timeout_s=60)
    assert place.log.read_text().count("Task backfill.apply_chunk") == 4  # each received and succeeded


def test_the_script_works_without_a_broker_and_tells_what_it_did(
    make_workplace: MakeWorkplace, run_script: Callable[..., Result], context: FlowContext
) -> None:
    place = make_workplace()
    add_flows(place, context, 250)
    dry = run_script(place, "--dry-run", "--json")
    summary = json.loads(dry.stdout)
    assert (dry.exit_code, summary["would_change"], summary["changed"]) == (0, 250, 0)
    assert caught_up(place, context) == 0
    assert "250 changed" in run_script(place, "--direct").stdout
    again = run_script(place, "--direct", "--json", "--all")
    summary = json.loads(again.stdout)
    assert (summary["scanned"], summary["behind"], summary["looked_at"]) == (250, 0, 0)
    assert wrong(place, context) == 0


def test_the_script_names_what_failed_and_ends_with_1(
    make_workplace: MakeWorkplace, run_script: Callable[..., Result], context: FlowContext
) -> None:
    place = make_workplace()
    bad, *_ = add_flows(place, context, 30)
    with place.database() as database:
        database.execute(
            "alter table migration.crewai_flow_state_extensions add check"
            f" (flow_id <> '{bad}' or phase_transitions = '[]')"
        )
    ran = run_script(place, "--direct")
    assert ran.exit_code == 1
    assert f"Failed: {bad}: CheckViolation" in ran.stderr
    assert "29 changed" in ran.stdout


def test_the_script_keeps_to_its_filters(
    make_workplace: MakeWorkplace, run_script: Callable[..., Result], context: FlowContext
) -> None:
    place = make_workplace()
    one, *_ = add_flows(place, context, 4)
    summary = json.loads(
        run_script(place, "--direct", "--json", "--flow", str(one), "--flow", str(uuid4())).stdout
    )
    assert (summary["changed"], list(summary["skipped"].values())) == (1, ["no child of its tenant"])
    assert (
        json.loads(run_script(place, "--direct", "--json", "--client", str(uuid4())).stdout)["scanned"] == 0
    )
    own = ["--engagement", str(context.engagement_id)]
    assert json.loads(run_script(place, "--direct", "--json", *own).stdout)["changed"] == 3
    assert run_script(place, "--since", "soon").exit_code == 2


def test_the_script_changes_nothing_while_enrichment_is_switched_off(
    make_workplace: MakeWorkplace, run_script: Callable[..., Result], context: FlowContext
) -> None:
    place = make_workplace(MASTER_STATE_ENRICHMENT_ENABLED="false")
    add_flows(place, context, 1)
    ran = run_script(place, "--direct")
    assert ran.exit_code == 1
    assert "switched off" in ran.stderr
    assert caught_up(place, context) == 0


def test_an_interrupted_script_reports_and_goes_on_where_it_was(
    make_workplace: MakeWorkplace, run_script: Callable[..., Result], context: FlowContext
) -> None:
    place = make_workplace(ENRICHMENT_LOCK_TIMEOUT_S="0.5")
    flow_ids = add_flows(place, context, 600)
    with place.database() as database, database.transaction():
        database.execute(_HOLD, [sorted(flow_ids)[300]])
        process = script(place, "--direct", "--json")
        eventually(lambda: caught_up(place, context) > 0, timeout_s=60)
        process.send_signal(signal.SIGINT)
        code, summary, err = outcome(process)
    assert (code, summary["is_complete"]) == (130, False), (err, summary)
    assert "run it again to go on" in err
    assert 0 < summary["changed"] == caught_up(place, context) < 600
    again = json.loads(run_script(place, "--direct", "--json").stdout)
    assert again["changed"] == 600 - summary["changed"]
    assert wrong(place, context) == 0


@pytest.mark.long
def test_a_postgres_that_crashes_in_the_middle_is_waited_for(
    make_workplace: MakeWorkplace, own_postgres: EmbeddedPostgres, context: FlowContext
) -> None:
    place = make_workplace(own_postgres.url, ENRICHMENT_LOCK_TIMEOUT_S="0.5")
    flow_ids = add_flows(place, context, 600)
    with suppress(psycopg.OperationalError), place.database() as database, database.transaction():
        database.execute(_HOLD, [sorted(flow_ids)[300]])
        process = script(place, "--direct", "--json")
        eventually(lambda: caught_up(place, context) > 0, timeout_s=60)
        own_postgres.restart_immediate()
    code, summary, err = outcome(process)
    assert (code, summary["is_complete"], summary["failed"], err) == (0, True, {}, "")
    assert caught_up(place, context) == 600
    assert wrong(place, context) == 0
