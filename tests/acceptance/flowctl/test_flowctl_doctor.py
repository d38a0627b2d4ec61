import json
import re
import time
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from kombu import Connection
from packaging.requirements import Requirement
from redis import Redis
from sqlalchemy import make_url

from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import FLAG_KEY, KEY_PREFIX
from masterflow.scripts.doctor import database, redis_server
from masterflow.scripts.doctor.outbox import room_result
from masterflow.scripts.doctor.packages import package_results, python_result
from masterflow.scripts.doctor.security import check_security
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.app import app
from masterflow.tasks.batch import Batch
from masterflow.tasks.delivery.skipped import note_skipped
from masterflow.tasks.enqueue import Publisher
from masterflow.tasks.heartbeats import leave_note, write_heartbeat
from masterflow.tasks.queues import BACKFILL_QUEUE, ENRICHMENT_QUEUE, all_queues
from masterflow.tasks.settings import QueueSettings
from masterflow.tracker.outbox.segments import Segment, encode_record
from tests.support.events.flows import new_context
from tests.support.events.july_rows import LATER_COLUMNS, LATER_MASTER_COLUMNS
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.limited import limited_redis_url, limited_role, overstepped

MASTER = "migration.crewai_flow_state_extensions"


def without_numbers(text):
    """Return the text without blanks, and without what differs between two looks: ages, bytes."""
    return re.sub(r"\d[\d,.]*m?s?", "#", "".join(text.split()))


@pytest.fixture
def redis(own_redis, monkeypatch):
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    with Redis.from_url(own_redis.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def healthy(database_setting, redis, tmp_path, monkeypatch):
    """Servers, tables, beat, a worker and an outbox folder as they should be."""
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ENRICHMENT_OUTBOX_MAX_BYTES", "1000000")
    write_heartbeat(redis, "beat")
    write_heartbeat(redis, "celery@here")


@pytest.fixture
def change(database_url):
    """What changes the tables behind our back."""

    def run(statement):
        address = make_url(database_url).set(drivername="postgresql")
        with psycopg.connect(address.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(statement)

    return run


@pytest.fixture
def examined(flowctl, healthy):
    """What runs the doctor for people and for programs, and returns its exit code and what is not well."""

    def run():
        code, said, complaint = flowctl("doctor")
        assert "Traceback" not in complaint
        as_json, written, _ = flowctl("doctor", "--json")
        results = json.loads(written)
        assert as_json == code
        words = without_numbers(said)
        for result in results:
            assert result["level"] == "well" or result["advice"]
            assert without_numbers(result["found"]) in words
        return code, [result for result in results if result["level"] != "well"]

    return run


def check(examined, level, name, *words):
    """Assert that a result of this level and name holds these words, and that the exit code says so."""
    code, results = examined()
    [found] = [it for it in results if it["level"] == level and it["name"] == name]
    said = f"{found['found']}; {found['advice']}"
    assert code == {"note": 0, "warning": 0, "problem": 1, "away": 3}[level]
    assert not [word for word in words if word not in said], said


# -- a healthy one


def test_a_healthy_system_has_only_notes(examined):
    code, results = examined()
    assert code == 0
    assert {result["level"] for result in results} == {"note", "warning"}
    assert [result["name"] for result in results if result["level"] == "warning"] == ["security"]
    assert {result["name"] for result in results} <= {
        "security", "cache keys", "jwt key", "redis memory", "lz4", "time zone"
    }  # fmt: skip


def test_keys_that_are_there_need_no_note(examined, flowctl, monkeypatch):
    account = "3f0cbb52-54a8-4a4f-a6a4-7ac2d0a2b1c5"
    for name, value in {
        **json.loads(flowctl("security", "keygen", "--client", account, "--json")[1]),
        **json.loads(flowctl("security", "cache-key", "--json")[1]),
        "ENRICHMENT_JWT_KEY": "k" * 32,
    }.items():
        monkeypatch.setenv(name, value)
    assert not {result["name"] for result in examined()[1]} & {"cache keys", "jwt key"}
    check(examined, "note", "security", "Level signing keys:", "docs/security.md")


def test_users_for_each_role_beside_keys_are_the_highest_level(flowctl, redis, own_redis, monkeypatch):
    account = "3f0cbb52-54a8-4a4f-a6a4-7ac2d0a2b1c5"
    for name, value in json.loads(flowctl("security", "keygen", "--client", account, "--json")[1]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", limited_redis_url(own_redis.url))
    found = {result.name: result for result in check_security()}
    assert (found["security"].level, "roles" in found["security"].found) == ("well", True)
    assert {found["remote control"].level, found["strangers"].level} == {"well"}
    redis.execute_command("ACL", "SETUSER", "default", "nopass")
    assert {result.name: result for result in check_security()}["strangers"].level == "warning"


@pytest.mark.parametrize("keys", ["", "{}", None])
def test_no_signing_keys_are_a_warning_however_there_are_none(examined, monkeypatch, keys):
    if keys is None:
        monkeypatch.delenv("ENRICHMENT_SIGNING_KEYS", raising=False)
    else:
        monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", keys)
    check(examined, "warning", "security", "whoever reaches the broker can change any flow", "keygen")


def test_what_remote_control_opens_is_told(examined, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_REMOTE_CONTROL", "true")
    check(examined, "warning", "remote control", "end workers", "configuration")


# -- settings and packages


def test_a_malformed_setting_is_named(examined, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_MAX_DEAD_LETTERS", "many")
    check(examined, "problem", "settings", "ENRICHMENT_MAX_DEAD_LETTERS")


def test_a_missing_setting_is_named(examined, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    check(examined, "problem", "settings", "DATABASE_URL")


def test_an_old_package_and_an_old_python_are_named():
    [found] = package_results([Requirement("celery>=5.7,<6")], {"celery": "5.6.2"})
    assert (found.level, "celery is 5.6.2" in found.sentence) == ("problem", True)
    assert package_results([Requirement("celery>=5.7,<6")], {"celery": "5.7.0"})[0].level == "well"
    assert python_result((3, 10)).level == "problem"


# -- Postgres


@pytest.mark.parametrize(("variable", "name"), [("DATABASE_URL", "postgres"), ("REDIS_URL", "redis")])
def test_a_wrong_url_is_named(examined, monkeypatch, variable, name):
    scheme = "postgresql" if name == "postgres" else "redis"
    monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:1/0")
    check(examined, "away", name, "does not answer", variable)


def test_an_old_postgres_is_named(examined, monkeypatch):
    monkeypatch.setattr(database, "LEAST_VERSION", 99)
    check(examined, "problem", "postgres version", "the merges need 99", "upgrade")


def test_missing_tables_are_named(examined, change):
    change("drop schema migration cascade")
    check(examined, "problem", "discovery_flows", "is missing", "flowctl init-db")


def test_a_missing_column_is_named(examined, change):
    change(f"alter table {MASTER} drop column phase_transitions")
    name = "crewai_flow_state_extensions"
    check(examined, "problem", name, "lacks the column phase_transitions")


def test_a_missing_later_column_is_only_a_note(examined, change):
    change(f"alter table {MASTER} drop column automation_tier")
    check(examined, "note", "crewai_flow_state_extensions", "automation_tier")


def test_a_column_of_another_type_is_named(examined, change):
    change(f"alter table {MASTER} alter error_history drop default, alter error_history type json")
    name = "crewai_flow_state_extensions"
    check(examined, "problem", name, "error_history is JSON, not JSONB")


def without(table, columns):
    return f"alter table {table} {', '.join(f'drop column {column}' for column in columns)}"


def test_tables_of_july_are_told_column_by_column(examined, flowctl, change):
    change(without(MASTER, LATER_MASTER_COLUMNS))
    change(without("migration.discovery_flows", LATER_COLUMNS))
    problems = [it for it in examined()[1] if it["level"] == "problem"]
    assert [it["name"] for it in problems] == ["crewai_flow_state_extensions"]
    assert "phase_transitions, error_history, retry_count" in problems[0]["found"]
    code, said, complaint = flowctl("init-db")
    assert (code, said) == (1, "")
    assert not [column for column in LATER_MASTER_COLUMNS if column not in complaint]
    code, said, complaint = flowctl("flow", "list", "--client", uuid4(), "--engagement", uuid4())
    assert (code, said, complaint.count("\n")) == (1, "", 1)
    assert "`flowctl doctor` says what to change" in complaint


@pytest.mark.parametrize(
    "harmless",
    [
        without("migration.discovery_flows", ["current_phase", "phases_completed", "crewai_state_data"]),
        "alter table migration.discovery_flows alter crewai_state_data drop default,"
        " alter crewai_state_data type json",
    ],
)
def test_children_that_are_read_as_they_are_are_only_a_note(examined, flowctl, change, harmless):
    change(harmless)
    check(examined, "note", "discovery_flows", "crewai_state_data", "which DiscoveryFlowRepository needs")
    assert flowctl("init-db")[0] == 0


def test_children_that_cannot_be_matched_with_their_masters_are_named(examined, change):
    change("alter table migration.discovery_flows alter engagement_id type text")
    check(examined, "problem", "discovery_flows", "engagement_id is VARCHAR, not UUID")


def test_a_missing_check_is_a_note(examined, change):
    change(f"alter table {MASTER} drop constraint chk_valid_flow_status")
    name = "crewai_flow_state_extensions"
    check(examined, "note", name, "no CHECK chk_valid_flow_status", "write a status")


def test_a_check_that_refuses_a_status_is_named(examined, change):
    change(f"alter table {MASTER} drop constraint chk_valid_flow_status")
    change(f"alter table {MASTER} add constraint chk_valid_flow_status check (flow_status in ('active'))")
    name = "crewai_flow_state_extensions"
    check(examined, "problem", name, "refuses the status", "waiting_for_approval")


def test_a_flow_id_that_is_not_unique_is_named(examined, change):
    change("alter table migration.discovery_flows drop constraint discovery_flows_flow_id_key")
    check(examined, "problem", "discovery_flows", "flow_id is not unique")


@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_a_view_in_the_place_of_a_table_is_a_note(examined, flowctl, change, kind):
    change("alter table migration.discovery_flows rename to discovery_flows_v2")
    change(f"create {kind} migration.discovery_flows as select * from migration.discovery_flows_v2")
    check(examined, "note", "discovery_flows", "migration.discovery_flows is a view", "flow_id is unique")
    assert flowctl("init-db")[0] == 0


@pytest.fixture
def role(database_url, monkeypatch):
    """A role that may do nothing yet, as which the doctor looks."""
    with limited_role(database_url) as role:
        monkeypatch.setenv("DATABASE_URL", role.url)
        yield role


def test_what_a_role_lacks_is_named_with_the_grants(examined, role):
    role.run("grant usage on schema migration to {role}", f"grant select on {MASTER} to {{role}}")
    said = ("lacks INSERT, UPDATE ON", "SELECT ON migration.discovery_flows", "run `GRANT INSERT, UPDATE ON")
    check(examined, "problem", "postgres rights", *said)
    role.run("grant select, insert, update on all tables in schema migration to {role}")
    assert "postgres rights" not in {result["name"] for result in examined()[1]}


def test_policies_that_hide_rows_are_named(examined, role):
    role.run(
        "grant usage on schema migration to {role}",
        "grant select, insert, update on all tables in schema migration to {role}",
        f"alter table {MASTER} enable row level security",
        f"create policy tenants on {MASTER} using (user_id = current_user)",
    )
    check(examined, "problem", "postgres rights", "Row-level security may hide rows of", "BYPASSRLS")


def test_a_role_that_only_reads_is_named(examined, role):
    role.run("alter role {role} set default_transaction_read_only = on")
    check(examined, "problem", "postgres rights", "are read-only", "RESET default_transaction_read_only")


def test_a_trigger_that_skips_what_a_merge_writes_is_named(examined, change):
    change(
        "create function migration.skip() returns trigger language plpgsql as $$ begin return null; end $$"
    )
    change(f"create trigger skipper before update on {MASTER} for each row execute function migration.skip()")
    check(examined, "problem", "postgres rights", "The trigger skipper skips", "let it return NEW")


def test_skewed_clocks_are_named(examined, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 120)
    for name in ("postgres clock", "redis clock"):
        check(examined, "problem", name, "s ahead of", "NTP")


# -- Redis and the broker


def test_an_old_redis_is_named(examined, monkeypatch):
    monkeypatch.setattr(redis_server, "LEAST_VERSION", (99, 1))
    check(examined, "problem", "redis", "upgrade it to 99.1")


@pytest.mark.parametrize(
    ("setting", "value", "name", "words"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis eviction", "noeviction"),
        ("appendonly", "no", "redis append-only file", "appendonly yes"),
        ("maxmemory", "1mb", "redis memory", "maxmemory"),
    ],
)
def test_a_redis_that_loses_events_is_named(examined, redis, setting, value, name, words):
    redis.config_set(setting, value)
    # A full one takes no heartbeat, but this one has taken it before.
    check(examined, "problem", name, words)


@pytest.mark.parametrize(
    ("rules", "level", "found", "advice"),
    [
        (["-info"], "note", "may not run info", "`ACL SETUSER enrichment +info`"),
        (["-watch", "-hgetall"], "problem", "may not run watch, hgetall", "+watch +hgetall`"),
        (["resetchannels"], "problem", "may not use our channels", "&enrichment:*`"),
        (["resetkeys", "~enrichment:enrichment"], "problem", "may not use our keys", "~enrichment:*`"),
        (["-multi"], "problem", "may not run multi", "+multi`"),
    ],
)
def test_what_a_user_of_redis_may_not_do_is_named_with_the_rule_that_lets_it(
    examined, own_redis, monkeypatch, rules, level, found, advice
):
    monkeypatch.setenv("REDIS_URL", limited_redis_url(own_redis.url, *rules))
    name = "redis rights"
    [result] = [it for it in examined()[1] if it["name"] == name]
    assert (result["level"], found in result["found"], advice in result["advice"]) == (level, True, True)
    assert "broker" not in {it["name"] for it in examined()[1] if it["level"] == "away"}


def test_a_user_of_redis_who_may_do_what_the_page_lists_is_well_and_the_trial_leaves_nothing(
    examined, own_redis, redis, monkeypatch
):
    keys = set(redis.keys())
    monkeypatch.setenv("REDIS_URL", limited_redis_url(own_redis.url))
    assert not {it["name"] for it in examined()[1]} & {"redis", "redis rights", "broker", "sharing"}
    assert (set(redis.keys()), overstepped(own_redis.url)) == (keys, set())


@pytest.mark.long
def test_a_broker_on_another_redis_is_looked_at_too(examined, redis, redis_url, monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", redis_url.rpartition(":")[0] + ":1/0")
    check(examined, "away", "broker redis", "CELERY_BROKER_URL")


@pytest.mark.parametrize("place", ["broker_transport_options", "result_backend_transport_options"])
def test_a_short_visibility_timeout_is_named(examined, monkeypatch, place):
    monkeypatch.setitem(getattr(app.conf, place), "visibility_timeout", 30)
    check(examined, "problem", "visibility timeout", "is 30 s", "task_time_limit")


def test_our_own_messages_are_no_other_application(examined, own_redis):
    publisher = Publisher(QueueSettings())
    publisher.publish(
        Batch(batch_id=str(uuid4()), sender_id="s", client_account_id=str(uuid4()), events="[]")
    )
    publisher.close()
    assert "sharing" not in {result["name"] for result in examined()[1]}


def test_our_own_live_worker_and_beat_are_no_other_application(examined, own_redis, database_url, tmp_path):
    place = Workplace(tmp_path / "place", database_url=database_url, redis_url=own_redis.url)
    place.redis.delete(f"{KEY_PREFIX}heartbeat:beat")
    # Celery's own ways to talk among workers are ours too.
    options = ["--concurrency=1", "--loglevel=INFO", "--hostname=busy@test"]
    with place.celery("worker", *options), place.celery("beat", ENRICHMENT_BACKFILL_INTERVAL_S="1"):
        eventually(lambda: place.is_ready("busy@test") and place.is_ready("beat"), timeout_s=60)
        assert place.redis.exists(f"{KEY_PREFIX}_kombu.binding.enrichment")
        assert "sharing" not in {result["name"] for result in examined()[1]}
    place.remove()


@pytest.mark.parametrize(("prefix", "level"), [("", "note"), ("theirs:", "note"), (KEY_PREFIX, "problem")])
def test_another_application_on_the_same_database_is_named(examined, own_redis, prefix, level):
    with Connection(own_redis.url, transport_options={"global_keyprefix": prefix}) as connection:
        connection.SimpleQueue("theirs").put({"what": "ever"})
    words = ("Another", "visibility timeout") if level == "problem" else ("Another", "another database")
    check(examined, level, "sharing", *words)


@pytest.fixture(scope="module")
def rabbitmq(server_folder, debian_package):
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / "rabbitmq-doctor") as server:
        yield server
    server.remove()


@pytest.fixture
def channel(rabbitmq, monkeypatch):
    """A channel to a RabbitMQ without queues that is our broker."""
    monkeypatch.setenv("CELERY_BROKER_URL", rabbitmq.url)
    with Connection(rabbitmq.url) as connection, connection.channel() as channel:
        yield channel
        for queue in all_queues(rabbitmq.url):
            queue(channel).delete()


def test_queues_that_no_worker_has_made_yet_are_a_note_and_are_not_made(examined, channel):
    for _ in range(2):
        found = [it for it in examined()[1] if it["name"] == "queues"]
        assert {it["level"] for it in found} == {"note"}
        # Whoever counts dead letters makes the queue that they would be in.
        missing = {it["found"] for it in found}
        assert {
            f"The queue {name} is not there yet" for name in (ENRICHMENT_QUEUE, BACKFILL_QUEUE)
        } <= missing


def test_quorum_queues_as_a_worker_makes_them_are_well(examined, channel, rabbitmq):
    for queue in all_queues(rabbitmq.url):
        queue(channel).declare()
    assert not {it["name"] for it in examined()[1]} & {"queues", "broker"}


def test_a_classic_queue_of_the_same_name_is_named(examined, channel, rabbitmq):
    enrichment, *others = all_queues(rabbitmq.url)
    for queue in others:
        queue(channel).declare()
    classic = channel.queue_declare(enrichment.name, durable=True, auto_delete=False)
    assert classic.queue == enrichment.name
    check(examined, "problem", "queues", "The queue enrichment is no quorum queue", "empty and delete it")


@pytest.mark.long
def test_a_rabbitmq_that_is_away_is_named(examined, monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:1//")
    check(examined, "away", "broker", "does not answer", "CELERY_BROKER_URL")


# -- processes


def test_enrichment_that_is_off_and_what_was_skipped_are_told(examined, redis):
    redis.set(FLAG_KEY, "off")
    check(examined, "note", "enrichment", "off by `flowctl flag off`", "flowctl flag on")
    event = new_event(FlowRetried, new_context(), uuid4())
    note_skipped(redis, [event] * 12, now=datetime.now(UTC))
    check(examined, "note", "enrichment", "12 events were skipped", "flowctl flag on")
    redis.delete(FLAG_KEY)
    check(examined, "note", "enrichment", "While enrichment was off, 12 events", "flowctl flow show")


def test_a_dead_beat_and_a_dead_worker_are_named(examined, redis):
    last_at = time.time() - 600
    for name in ("beat", "celery@here"):
        redis.set(f"{KEY_PREFIX}heartbeat:{name}", last_at)
    _, results = examined()
    [beat] = [it for it in results if it["name"] == "beat"]
    [age_s] = re.findall(r"no sign of life for (\d+) s", beat["found"])
    assert 600 <= int(age_s) <= time.time() - last_at + 1
    check(examined, "problem", "beat", "no sign of life for", "restart it")
    check(examined, "problem", "workers", "flowctl worker")


def test_a_worker_that_went_silent_beside_others_is_a_note(examined, redis):
    leave_note(redis, "heartbeat:celery@there", str(time.time() - 600), kept_s=3_600)
    check(examined, "note", "workers", "celery@there")


def test_a_backlog_is_named(examined, redis):
    redis.rpush(f"{KEY_PREFIX}enrichment", *["{}"] * 1_001)
    check(examined, "problem", "queue length", "1001 messages wait", "start more workers")


def test_dead_letters_are_named(examined, redis):
    redis.rpush(f"{KEY_PREFIX}enrichment.dead", "{}", "{}")
    check(examined, "problem", "dead letters", "2 dead letters", "flowctl dead list")


def test_events_that_came_late_are_a_note(examined, redis):
    counted = {
        "lag_seconds:count": 10,
        "lag_seconds:le:5": 8,
        "lag_seconds:le:3600": 1,
        "lag_seconds:le:inf": 1,
    }
    redis.hset(f"{KEY_PREFIX}counters", mapping=counted)
    check(examined, "note", "lag", "2 of 10 events")


# -- the outbox


def test_an_outbox_folder_that_cannot_be_used_is_named(examined, tmp_path):
    (tmp_path / "spool").write_text("a file in its place")
    check(examined, "problem", "outbox", "cannot be used", "ENRICHMENT_SPOOL_DIR")


def test_a_full_disk_is_named(examined, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_OUTBOX_MAX_BYTES", "1000000000000000")
    check(examined, "problem", "outbox room", "make room")
    assert room_result(0, most_bytes=1).level == "problem"
    assert room_result(2, most_bytes=1).level == "well"


def test_what_dead_processes_left_is_named(examined, tmp_path):
    folder = tmp_path / "spool" / "here-1-abcd"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    segment = Segment.create(folder, "vital")
    segment.append(encode_record(b"{}"))
    segment.close()
    check(examined, "problem", "outbox orphans", "flowctl outbox flush")
