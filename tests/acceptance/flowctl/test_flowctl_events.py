import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.broker import dead_letters
from masterflow.tasks.dead_letters.letters import DeadLetter
from masterflow.tasks.queues import ENRICHMENT_QUEUE


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))


# -- dead letters


@pytest.fixture
def letter(redis_setting):
    letter = DeadLetter(
        letter_id=uuid4(),
        reason="flow_not_found",
        error="No master row has this flow id.",
        event={"kind": "flow_retried", "flow_id": str(uuid4())},
        first_seen=datetime.now(UTC),
        last_seen=datetime.now(UTC),
        attempts=7,
        batch_id=str(uuid4()),
        sender_id="host-1",
        client_account_id=str(uuid4()),
    )
    with dead_letters() as letters:
        letters.put([letter])
    return letter


def test_dead_letters_are_listed_and_shown(flowctl, letter):
    code, said, _ = flowctl("dead", "list")
    assert code == 0
    assert any(str(letter.letter_id) in line and "flow_not_found" in line for line in said.splitlines())
    [listed] = json.loads(flowctl("dead", "list", "--flow", letter.flow_id, "--json")[1])
    assert listed["attempts"] == 7
    assert "no such dead letters" in flowctl("dead", "list", "--reason", "invalid")[1]
    for options in ([], ["--json"]):
        assert json.loads(flowctl("dead", "show", letter.letter_id, *options)[1]) == listed


def test_a_letter_that_is_not_there_is_no_success(flowctl, letter):
    code, _, complaint = flowctl("dead", "show", uuid4())
    assert code == 2
    assert "There is no dead letter" in complaint


def test_dead_letters_are_sent_again(flowctl, letter, redis_url):
    assert flowctl("dead", "replay", "--reason", "flow_not_found")[:2] == (0, "1 sent again.\n")
    assert json.loads(flowctl("dead", "list", "--json")[1]) == []
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}") == 1
    assert json.loads(flowctl("dead", "replay", "--all", "--json")[1]) == {"sent_again": 0}


def test_dead_letters_are_dropped_only_on_purpose(flowctl, letter):
    code, _, complaint = flowctl("dead", "drop")
    assert code == 2
    assert complaint.startswith("Say which letters")
    assert flowctl("dead", "drop", "--letter", uuid4())[1] == "0 dropped.\n"
    assert flowctl("dead", "drop", "--all")[1] == "1 dropped.\n"
    assert json.loads(flowctl("dead", "drop", "--all", "--json")[1]) == {"dropped": 0}


# -- the outbox

LEAVE_EVENTS = """
import os, uuid
from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried
context = FlowContext(client_account_id=uuid.uuid4(), engagement_id=uuid.uuid4(), user_id="ann")
for _ in range(3):
    tracker.report(FlowRetried, context, uuid.uuid4())
os._exit(0)
"""


@pytest.fixture
def left_events(spool, nothing_listens):
    """Three events of a process that died before anybody took them."""
    subprocess.run([sys.executable, "-c", LEAVE_EVENTS], cwd=Path(__file__).parents[3], check=True)


def test_what_waits_in_the_outbox_is_shown(flowctl, left_events):
    code, said, _ = flowctl("outbox", "status")
    assert code == 0
    assert "no" in said.splitlines()[1].split()
    [folder] = json.loads(flowctl("outbox", "status", "--json")[1])
    assert (folder["records"], folder["has_owner"]) == (3, False)


def test_what_waits_is_told_as_prometheus_reads_it(flowctl, left_events):
    code, said, _ = flowctl("outbox", "metrics")
    families = {family.name: family for family in text_string_to_metric_families(said)}
    assert code == 0
    assert families.keys() == {
        "enrichment_outbox_events",
        "enrichment_outbox_bytes",
        "enrichment_outbox_oldest_seconds",
    }
    values = {
        name: {sample.labels["alive"]: sample.value for sample in families[name].samples} for name in families
    }
    assert values["enrichment_outbox_events"] == {"yes": 0, "no": 3}
    assert values["enrichment_outbox_bytes"]["no"] > 0
    assert values["enrichment_outbox_oldest_seconds"]["no"] > 0


def test_metrics_of_an_empty_outbox_are_0_rather_than_missing(flowctl, spool):
    samples = [line for line in flowctl("outbox", "metrics")[1].splitlines() if not line.startswith("#")]
    assert len(samples) == 6
    assert all(line.endswith((" 0", " 0.0")) for line in samples)


def test_an_empty_outbox_says_so(flowctl, spool):
    assert flowctl("outbox", "status")[1] == "Nothing waits.\n"


def test_what_is_confirmed_is_told(flowctl, spool, redis_setting):
    assert flowctl("outbox", "flush")[:2] == (0, "Everything is confirmed.\n")
    assert json.loads(flowctl("outbox", "flush", "--json")[1]) == {"waiting": 0}


def test_what_nobody_confirms_is_no_success(flowctl, left_events):
    code, _, complaint = flowctl("outbox", "flush", "--timeout", "0.5")
    assert code == 1
    assert complaint.startswith("3 events are not confirmed")


def test_what_a_dead_process_left_is_taken_over(flowctl, left_events):
    assert flowctl("outbox", "adopt")[:2] == (0, "3 events taken over.\n")
    assert json.loads(flowctl("outbox", "adopt", "--json")[1]) == {"taken_over": 0}


def test_what_a_dead_process_left_is_deleted_only_on_purpose(flowctl, left_events, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert flowctl("outbox", "purge")[0] == 1
    assert flowctl("outbox", "purge", "--yes")[:2] == (0, "3 events deleted.\n")
    assert json.loads(flowctl("outbox", "purge", "--yes", "--json")[1]) == {"deleted": 0}
    assert flowctl("outbox", "status")[1] == "Nothing waits.\n"


def test_a_folder_that_cannot_be_used_is_told_in_one_sentence(flowctl, spool, tmp_path):
    (tmp_path / "spool").touch()
    code, _, complaint = flowctl("outbox", "adopt")
    assert code == 1
    assert complaint.endswith("check its path and its rights.\n")
    assert complaint.count("\n") == 1
