import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from masterflow.domain.events import FlowRetried, new_event
from masterflow.tasks.dead_letters.letters import DeadLetter
from tests.support.events.flows import new_context

HOSTILE = {"attempts": -1, "first_seen": "infinity", "letter_id": "x", "event": "text"}


def saved_letter(**fields):
    now = datetime.now(UTC)
    letter = DeadLetter(
        letter_id=uuid4(),
        reason="flow_not_found",
        error="No flow has this id.",
        event=new_event(FlowRetried, new_context(), uuid4()).model_dump(mode="json"),
        first_seen=now,
        last_seen=now,
        attempts=3,
        batch_id=str(uuid4()),
        sender_id="sender",
        client_account_id=str(uuid4()),
    )
    return letter.model_dump(mode="json") | fields


def test_letters_that_were_saved_as_json_are_loaded_each_once(flowctl, redis_setting, tmp_path):
    saved = saved_letter()
    file = tmp_path / "letters.json"
    file.write_text(json.dumps([saved] * 2))
    assert json.loads(flowctl("dead", "import", file, "--json")[1])["loaded"] == 1
    said = flowctl("dead", "list", "--json")[1]
    assert json.loads(said) == [saved]
    file.write_text(said)
    again = json.loads(flowctl("dead", "import", file, "--json")[1])
    assert (again["loaded"], again["were_there"]) == (0, 1)
    assert json.loads(flowctl("dead", "list", "--json")[1]) == json.loads(said)


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59Z"])
def test_a_letter_of_any_time_takes_no_other_one_away(flowctl, redis_setting, tmp_path, monkeypatch, at):
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    letters = [saved_letter(), saved_letter(first_seen=at, last_seen=at)]
    file = tmp_path / "letters.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(letters).encode())
    assert json.loads(flowctl("dead", "import", file, "--json")[1])["loaded"] == 2
    code, said, complaint = flowctl("dead", "list")
    assert (code, complaint) == (0, "")
    assert all(letter["letter_id"] in said for letter in letters)
    saved = flowctl("dead", "list", "--json")[1]
    assert json.loads(flowctl("dead", "drop", "--all", "--json")[1])["dropped"] == 2
    file.write_text(saved)
    flowctl("dead", "import", file)
    assert flowctl("dead", "list", "--json")[1] == saved


@pytest.mark.parametrize("field", HOSTILE)
def test_a_letter_that_is_none_is_refused_with_its_place_and_none_is_loaded(
    flowctl, redis_setting, tmp_path, field
):
    file = tmp_path / "letters.json"
    file.write_text(json.dumps([saved_letter(), saved_letter(**{field: HOSTILE[field]})]))
    code, said, complaint = flowctl("dead", "import", file)
    assert (code, said, complaint.count("\n")) == (2, "", 1)
    assert f"1.{field}" in complaint
    assert json.loads(flowctl("dead", "list", "--json")[1]) == []


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[" + b"9" * 5_000 + b"]", b""])
def test_json_that_no_reader_takes_is_refused_in_one_sentence(flowctl, redis_setting, tmp_path, content):
    file = tmp_path / "letters.json"
    file.write_bytes(content)
    code, said, complaint = flowctl("dead", "import", file)
    assert (code, said, complaint.count("\n")) == (2, "", 1)
