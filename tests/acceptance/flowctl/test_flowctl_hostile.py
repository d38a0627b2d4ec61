import json
import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
from sqlalchemy import text

from masterflow.repository import CrewAIFlowStateExtensionsRepository, DiscoveryFlowRepository
from masterflow.scripts.broker import dead_letters
from masterflow.scripts.database import with_session
from masterflow.tasks.dead_letters.letters import DeadLetter
from masterflow.tracker.outbox.segments import Segment, encode_record
from tests.support.events.flows import new_context

CONTEXT = new_context()
OWNER = (CONTEXT.client_account_id, CONTEXT.engagement_id, CONTEXT.user_id)
TENANT = ["--client", CONTEXT.client_account_id, "--engagement", CONTEXT.engagement_id]

#: Escape sequences, C1 controls, overrides of direction, separators, what looks like NUL, and a forged line.
HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31mb\x85c\u202ed\u2066e\u2028f\u2029g\x7f\u200fh\u2400\t[b]x[/b]\r\nFORGED"
#: In a phase's and an agent's name too, and in a path, which ends at a slash.
NAME = HOSTILE.replace("/", "")

ROW = """
update migration.crewai_flow_state_extensions set
  flow_name = cast(:it as text),
  phase_transitions = jsonb_build_array(jsonb_build_object(
    'phase', cast(:it as text), 'status', cast(:it as text), 'timestamp', cast(:it as text),
    'metadata', jsonb_build_object(cast(:it as text), cast(:it as text)))),
  phase_execution_times = jsonb_build_object(cast(:it as text), jsonb_build_object(
    'execution_time_ms', 5, 'completed_at', cast(:it as text))),
  error_history = jsonb_build_array(jsonb_build_object(
    'phase', cast(:it as text), 'error', cast(:it as text), 'timestamp', cast(:it as text))),
  agent_collaboration_log = jsonb_build_array(jsonb_build_object(
    'agent', cast(:it as text), 'activity', cast(:it as text))),
  agent_performance_metrics = jsonb_build_object(cast(:it as text),
    jsonb_build_object(cast(:it as text), cast(:it as text)), 'other', cast(:it as text)),
  memory_usage_metrics = jsonb_build_object(cast(:it as text), cast(:it as text)),
  flow_metadata = jsonb_build_object('external_flow_id', cast(:it as text)),
  flow_persistence_data = jsonb_build_object('current_phase', cast(:it as text), 'last_progress_update',
    jsonb_build_object('message', cast(:it as text), 'current_phase', cast(:it as text)))
where flow_id = :flow_id
"""
ERROR = """
update migration.crewai_flow_state_extensions set updated_at = now(), error_history = error_history ||
  jsonb_build_array(jsonb_build_object('phase', cast(:it as text), 'error', cast(:it as text),
    'timestamp', now()))
where flow_id = :flow_id
"""
CHILD = """
update migration.discovery_flows set current_phase = cast(:it as text),
  phases_completed = json_build_array(cast(:it as text)), error_message = cast(:it as text),
  phase_state = jsonb_build_object(cast(:it as text), cast(:it as text))
where master_flow_id = :flow_id
"""


def assert_harmless(*said):
    for text_ in said:
        dangerous = {char for char in text_ if not char.isprintable()} - {"\n"}
        assert dangerous == set(), [unicodedata.name(char, hex(ord(char))) for char in dangerous]
        assert not any(line.startswith("FORGED") for line in text_.splitlines()), text_


@pytest.fixture
def flow(database_setting):
    flow_id = uuid4()

    async def make(session):
        await CrewAIFlowStateExtensionsRepository(session, *OWNER).create_master_flow(flow_id, "discovery")
        await DiscoveryFlowRepository(session, *OWNER).create_discovery_flow(flow_id, flow_name="child")
        for statement in (ROW, CHILD):
            await session.execute(text(statement), {"it": HOSTILE, "flow_id": flow_id})

    with_session(make)
    return flow_id


def test_a_hostile_row_is_shown_harmlessly_by_every_command_that_reads_rows(flowctl, flow):
    shown = flowctl("flow", "show", flow, *TENANT)[1]
    listed = flowctl("flow", "list", *TENANT)[1]
    # All that the row says is there.
    assert shown.count("a�[2J") >= 8
    assert listed.count("a�[2J") >= 2
    assert_harmless(shown, listed)
    for command in (["--dry-run"], ["--direct", "--repair-status"], ["--dry-run", "--flow", flow]):
        code, said, complaint = flowctl("backfill", *TENANT, *command)
        assert code in {0, 1}, complaint
        assert_harmless(said, complaint)


@pytest.mark.parametrize("command", [["flow", "show"], ["flow", "list"], ["backfill", "--dry-run", "--flow"]])
def test_json_of_a_hostile_row_is_harmless_and_means_the_same(flowctl, flow, command):
    arguments = [*command, *([] if command[1] == "list" else [flow]), *TENANT, "--json"]
    said = flowctl(*arguments)[1]
    assert_harmless(said)
    document = json.loads(said)
    if command[1] == "show":
        assert document["flow_name"] == document["errors"][0]["error"] == HOSTILE


def test_what_follows_a_hostile_row_is_harmless_too(flow):
    flowctl = Path(sys.executable).with_name("flowctl")
    environment = {**os.environ, "PYTHONUTF8": "1"}
    for command in (["flow", "watch", flow], ["flow", "watch"], ["flow", "watch", "--json"]):
        process = subprocess.Popen(
            [flowctl, *map(str, [*command, *TENANT])], stdout=subprocess.PIPE, env=environment
        )
        with process:
            line = process.stdout.readline().decode()
            process.terminate()
        assert "[2J" in line
        assert_harmless(line)
    process = subprocess.Popen(
        [flowctl, *map(str, ["events", "tail", *TENANT])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    with process:
        assert process.stderr.readline().startswith(b"Following")
        with_session(lambda session: session.execute(text(ERROR), {"it": HOSTILE, "flow_id": flow}))
        line = process.stdout.readline().decode()
        process.terminate()
    assert "[2J" in line
    assert_harmless(line)


def test_a_hostile_dead_letter_is_shown_harmlessly(flowctl, redis_setting, tmp_path):
    now = datetime.now(UTC)
    letter = DeadLetter(
        letter_id=uuid4(),
        reason=HOSTILE,
        error=HOSTILE,
        event={"kind": HOSTILE, "flow_id": HOSTILE, HOSTILE: [HOSTILE]},
        first_seen=now,
        last_seen=now,
        attempts=1,
        batch_id=HOSTILE,
        sender_id=HOSTILE,
        client_account_id=HOSTILE,
    )
    with dead_letters() as letters:
        letters.put([letter])
    listed, shown = flowctl("dead", "list")[1], flowctl("dead", "show", letter.letter_id)[1]
    assert str(letter.letter_id) in listed
    assert json.loads(shown)["error"] == HOSTILE
    as_json = flowctl("dead", "list", "--json")[1]
    assert_harmless(listed, shown, as_json)
    # What was printed so is loaded as it was.
    assert flowctl("dead", "drop", "--reason", HOSTILE)[0] == 0
    saved = tmp_path / "letters.json"
    saved.write_text(as_json)
    assert flowctl("dead", "import", saved)[0] == 0
    assert json.loads(flowctl("dead", "list", "--json")[1]) == json.loads(as_json)


def test_a_hostile_folder_in_the_spool_is_shown_harmlessly(flowctl, nothing_listens, tmp_path, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path))
    for trouble in ("", "sick"):
        folder = tmp_path / f"{trouble}{NAME}"
        folder.mkdir()
        (folder / "lock").touch()
        with_record = Segment.create(folder, "vital")
        with_record.append(encode_record(b"{}"))
        with_record.close()
    (folder / "lock").unlink()
    (folder / "lock").mkdir()
    said = flowctl("outbox", "status")[1]
    assert said.count("a�[2J") >= 2
    for command in (["status", "--json"], ["metrics"], ["flush", "--timeout", "0.1"], ["adopt"]):
        assert_harmless(*flowctl("outbox", *command)[1:])
    assert_harmless(said, *flowctl("doctor")[1:], *flowctl("doctor", "--json")[1:])


@pytest.mark.parametrize(
    "command",
    [
        "{}",
        "--{}",
        "flow {}",
        "flow show {}",
        "flow list --client {}",
        "flow list --limit {}",
        "flow list --status {}",
        "backfill --since {}",
        "dead show {}",
        "dead import {}",
        "health worker --name {}",
        "health api --live --url {}",
        "health api --live --url http://{}",
        "flower --address {}",
        "outbox flush --timeout {}",
    ],
)
def test_a_hostile_argument_is_refused_harmlessly(flowctl, nothing_listens, monkeypatch, command):
    monkeypatch.setenv("FLOWCTL_CLIENT", str(CONTEXT.client_account_id))
    monkeypatch.setenv("FLOWCTL_ENGAGEMENT", str(CONTEXT.engagement_id))
    arguments = [word.replace("{}", HOSTILE) for word in command.split()]
    code, said, complaint = flowctl(*arguments)
    assert code in {1, 2, 3}, complaint
    assert_harmless(said, complaint)
    assert complaint or said


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR", "FLOWCTL_CLIENT"]
)
@pytest.mark.parametrize(
    "value",
    [HOSTILE, f"postgresql://{HOSTILE}@127.0.0.1:1/{HOSTILE}", "redis://\udcff"],
    ids=["text", "address", "bytes"],
)
def test_a_hostile_setting_is_refused_harmlessly(
    flowctl, nothing_listens, monkeypatch, tmp_path, name, value
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    for command in (["doctor"], ["flow", "list", *TENANT[2:]], ["dead", "list"], ["outbox", "status"]):
        assert_harmless(*flowctl(*command)[1:])


class Hostile(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health/live":
            self.answer(200, "alive\n")
        else:
            self.answer(503, json.dumps({"detail": HOSTILE}))

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def test_a_hostile_status_api_is_told_of_harmlessly(flowctl):
    with HTTPServer(("127.0.0.1", 0), Hostile) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = ["health", "api", "--port", server.server_port, "--probe-token", "x"]
        for as_json in ([], ["--json"]):
            code, said, complaint = flowctl(*command, *as_json)
            assert code == 3
            assert "[2J" in said
            assert_harmless(said, complaint)
        server.shutdown()
