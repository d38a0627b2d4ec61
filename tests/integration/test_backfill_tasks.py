import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from domain import FlowContext
from domain.events import FlowRetried, new_event
from scripts.embedded import EmbeddedPostgres
from scripts.leash import children, send
from tasks.queues import BACKFILL_QUEUE, KEY_PREFIX
from tests.eventually import eventually
from tests.workplace import Workplace

MakeWorkplace = Callable[..., Workplace]
Flow = tuple[UUID, dict[str, Any]]

_ROOT = Path(__file__).parents[2]
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


def caught_up(place: Workplace) -> int:
    query = (
        "select count(*) as flows from migration.crewai_flow_state_extensions"
        " where flow_metadata #> '{_enrichment,backfill}' is not null"
    )
    with place.database() as database:
        found = database.execute(query).fetchone()
    assert found is not None
    return int(found["flows"])


def doubled(place: Workplace) -> int:
    """Return how many flows do not have just the two transitions and the snapshot they must have."""
    query = (
        "select count(*) as flows from migration.crewai_flow_state_extensions"
        " where jsonb_array_length(phase_transitions) <> 2 or not flow_metadata ? 'progress_snapshot'"
    )
    with place.database() as database:
        found = database.execute(query).fetchone()
    assert found is not None
    return int(found["flows"])


def run_now(place: Workplace) -> None:
    """Send what beat would."""
    place.send_task("backfill.run")


def script(place: Workplace, *options: str) -> subprocess.Popen[str]:
    module = "scripts.maintenance.backfill_master_state_from_child"
    return subprocess.Popen(
        [sys.executable, "-m", module, *options],
        env=place.environment,
        cwd=place.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_beat_finds_what_is_behind_and_all_workers_catch_it_up(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace(ENRICHMENT_BACKFILL_INTERVAL_S="1")
    add_flows(place, context, 500)
    with place.worker("--concurrency", "2"), place.celery("beat"), place.celery("beat"):
        eventually(lambda: caught_up(place) == 500, timeout_s=30)
        later = add_flows(place, context, 1)
        eventually(lambda: caught_up(place) == 501, timeout_s=30)
        assert place.row(later[0])["flow_metadata"]["progress_snapshot"]["current_phase"] == "asset_inventory"
    assert doubled(place) == 0
    assert place.counters()["backfill:changed"] == 501
    assert place.letters() == []


def test_a_killed_worker_is_continued_by_the_next_run_and_nothing_is_double(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_ids = add_flows(place, context, 1_000)
    with place.worker("--concurrency", "1") as worker:
        with place.database() as database, database.transaction():
            held = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"
            database.execute(held, [sorted(flow_ids)[500]])
            run_now(place)
            eventually(lambda: caught_up(place) > 0, timeout_s=20)
            send([*children(worker.pid), worker.pid], signal.SIGKILL)
            worker.wait(20)
    assert 0 < caught_up(place) < 1_000
    place.redis.flushdb()
    with place.worker("--concurrency", "2"):
        run_now(place)
        eventually(lambda: caught_up(place) == 1_000, timeout_s=30)
    assert doubled(place) == 0


def test_a_run_ends_at_once_while_another_is_going_on(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    add_flows(place, context, 3)
    with place.worker(), place.database() as database, database.transaction():
        database.execute("select pg_advisory_xact_lock(%s)", [0x6261636B66696C6C])
        run_now(place)
        eventually(lambda: "found 0 flows" in place.log.read_text())
        assert caught_up(place) == 0


def test_chunks_wait_while_enrichment_is_switched_off(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace(MASTER_STATE_ENRICHMENT_ENABLED="false")
    flow_ids = add_flows(place, context, 1)
    with place.worker():
        chunk = {"flow_ids": [str(flow_ids[0])]}
        place.send_task("backfill.apply_chunk", **chunk)
        place.send_task("backfill.apply_chunk", nonsense=1)
        run_now(place)
        eventually(lambda: place.log.read_text().count("succeeded in") == 3)
    assert caught_up(place) == 0


def test_a_chunk_gives_way_to_live_events(make_workplace: MakeWorkplace, context: FlowContext) -> None:
    place = make_workplace()
    flow_ids = [str(flow_id) for flow_id in add_flows(place, context, 200)]
    live = place.new_flow(context)
    place.send_task("backfill.apply_chunk", flow_ids=flow_ids)
    for _ in range(300):
        place.publish([new_event(FlowRetried, context, live)], context)
    with place.worker("--concurrency", "1"):
        eventually(lambda: caught_up(place) == 200, timeout_s=30)
        eventually(lambda: place.row(live)["retry_count"] == 300, timeout_s=30)
        assert "backfill.apply_chunk" in place.log.read_text()
    assert place.log.read_text().count("Task backfill.apply_chunk") > 2


def test_the_script_works_without_a_broker_and_says_what_it_did(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    place.environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    add_flows(place, context, 250)
    code, out, _ = outcome(script(place, "--dry-run", "--json"))
    report = json.loads(out)
    assert (code, report["would_change"], report["changed"], caught_up(place)) == (0, 250, 0, 0)
    code, out, err = outcome(script(place, "--direct"))
    assert (code, err) == (0, "")
    assert "250 changed" in out
    code, out, _ = outcome(script(place, "--direct", "--json", "--all"))
    report = json.loads(out)
    assert (code, report["behind"], report["looked_at"], report["scanned"]) == (0, 0, 0, 250)
    assert doubled(place) == 0


def test_the_script_lets_the_workers_do_it_and_hears_from_them(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    add_flows(place, context, 450)
    with place.worker("--concurrency", "2"):
        code, out, err = outcome(script(place, "--json"))
    assert (code, err) == (0, "")
    assert json.loads(out)["changed"] == 450


def test_the_script_names_what_failed_and_ends_with_1(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    bad, *_ = add_flows(place, context, 30)
    with place.database() as database:
        database.execute(
            "alter table migration.crewai_flow_state_extensions add check"
            f" (flow_id <> '{bad}' or phase_transitions = '[]')"
        )
    code, out, err = outcome(script(place, "--direct"))
    assert code == 1
    assert f"Failed: {bad}: CheckViolation" in err
    assert "29 changed" in out


def test_the_script_keeps_to_its_filters(make_workplace: MakeWorkplace, context: FlowContext) -> None:
    place = make_workplace()
    one, other, *_ = add_flows(place, context, 4)
    code, out, _ = outcome(script(place, "--direct", "--json", "--flow", str(one), "--flow", str(uuid4())))
    report = json.loads(out)
    assert (code, report["changed"], list(report["skipped"].values())) == (0, 1, ["no child of its tenant"])
    code, out, _ = outcome(script(place, "--direct", "--json", "--client", str(uuid4())))
    assert (code, json.loads(out)["scanned"]) == (0, 0)
    code, out, _ = outcome(script(place, "--direct", "--json", "--engagement", str(context.engagement_id)))
    assert (code, json.loads(out)["changed"]) == (0, 3)
    assert outcome(script(place, "--since", "soon"))[0] == 2
    assert place.row(other)["flow_metadata"]["progress_snapshot"]["source"] == "backfill"


def test_an_interrupted_script_reports_and_goes_on_where_it_was(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    flow_ids = add_flows(place, context, 600)
    with place.database() as database, database.transaction():
        held = "select from migration.crewai_flow_state_extensions where flow_id = any(%s) for update"
        database.execute(held, [flow_ids[300:301]])
        process = script(place, "--direct", "--json")
        eventually(lambda: caught_up(place) > 0, timeout_s=20)
        process.send_signal(signal.SIGINT)
        code, out, _ = outcome(process)
    report = json.loads(out)
    assert (code, report["is_complete"]) == (130, False)
    assert 0 < report["changed"] == caught_up(place) < 600
    code, out, _ = outcome(script(place, "--direct", "--json"))
    assert (code, json.loads(out)["changed"]) == (0, 600 - report["changed"])
    assert doubled(place) == 0


def test_a_postgres_that_restarts_is_waited_for(
    make_workplace: MakeWorkplace, own_postgres: EmbeddedPostgres, context: FlowContext
) -> None:
    place = make_workplace(own_postgres.url)
    flow_ids = add_flows(place, context, 600)
    place.environment["ENRICHMENT_LOCK_TIMEOUT_S"] = "0.5"
    with pytest.raises(psycopg.OperationalError), place.database() as database, database.transaction():
        held = "select from migration.crewai_flow_state_extensions where flow_id = any(%s) for update"
        database.execute(held, [flow_ids[300:301]])
        process = script(place, "--direct", "--json")
        eventually(lambda: caught_up(place) > 0, timeout_s=20)
        own_postgres.restart_immediate()
        database.execute("select 1")
    code, out, err = outcome(process)
    assert (code, err) == (0, "")
    assert json.loads(out)["is_complete"]
    assert caught_up(place) == 600
    assert doubled(place) == 0


def test_the_script_says_so_when_no_worker_answers_to_ctrl_c(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace()
    add_flows(place, context, 5)
    process = script(place)
    eventually(lambda: place.redis.llen(f"{KEY_PREFIX}{BACKFILL_QUEUE}") == 1, timeout_s=20)
    process.send_signal(signal.SIGINT)
    code, _, err = outcome(process)
    assert code == 130
    assert "run it again to go on" in err
    started = time.monotonic()
    with place.worker():
        eventually(lambda: caught_up(place) == 5, timeout_s=20)
    assert time.monotonic() - started < 30
