import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import PhaseTransitioned, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import descendants
from masterflow.tasks.dead_letters.letters import DeadLetter, Selection
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

MEGABYTE = 1_000_000


@pytest.fixture
def watched(workplace: Workplace, worker: SupervisedProcess, context: FlowContext) -> Iterator[Workplace]:
    """The workplace; at the end its worker must be the same one, no fatter, and at work."""
    parent, children = worker.pid, descendants(worker.pid)
    yield workplace
    flow_id, sender_id = workplace.new_flow(context), uuid4().hex
    event = new_event(PhaseTransitioned, context, flow_id, phase="data_import", status="processing")
    workplace.publish([event], context, sender_id=sender_id)
    eventually(lambda: workplace.confirmations(sender_id), timeout_s=30)
    assert worker.is_running
    assert set(children) <= set(descendants(parent))
    assert sum(resident_bytes(pid) for pid in (parent, *children)) < 500 * MEGABYTE


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def letter(workplace: Workplace, message_id: str) -> DeadLetter:
    found = eventually(
        lambda: [letter for letter in workplace.letters() if letter.batch_id == message_id], timeout_s=60
    )
    assert len(found) == 1
    return found[0]


def task_headers(task: str = "enrichment.apply_events") -> dict[str, Any]:
    return {"task": task, "id": uuid4().hex, "lang": "py"}


def put_task(workplace: Workplace, body: Any, **headers: Any) -> str:
    """Put a task's message into the queue, whatever is in it; return its id."""
    headers = task_headers() | headers
    workplace.put(body, headers=headers, content_type="application/json", content_encoding="utf-8")
    return str(headers["id"])


def test_an_unknown_task_is_kept_and_counted(watched: Workplace) -> None:
    before = watched.counters().get("dead:unknown_task", 0)
    task_id = watched.send_task("enrichment.forget_everything", flow_id="x")
    found = letter(watched, task_id)
    assert found.reason == "unknown_task"
    assert "enrichment.forget_everything" in found.error
    assert "flow_id" in str(found.event)
    eventually(lambda: watched.counters().get("dead:unknown_task", 0) == before + 1)


BODIES = {
    "no JSON": b"\xff\xfe\x00",
    "a number": "5",
    "an object": "{}",
    "an empty array": "[]",
    "two of three": "[[], {}]",
    "arguments that are no array": '["x", {}, {}]',
    "keywords that are no object": "[[], 5, {}]",
    "an embed that is no object": '[[], {}, "x"]',
    "nothing": "",
    "deeply nested": "[" * 100_000,
    "keywords nested 10,000 deep": '[[], {"events": ' + "[" * 10_000 + "]" * 10_000 + "}, {}]",
    "a number of 5,000 digits": "[[], {" + f'"events": {"9" * 5_000}' + "}, {}]",
    "a type that is no type": '[[], {"events": {"__type__": "datetime", "__value__": 5}}, {}]',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_call_is_kept(watched: Workplace, body: Any) -> None:
    found = letter(watched, put_task(watched, body))
    assert found.reason in {"unreadable", "invalid"}
    assert found.error.startswith("The message ")


HEADERS: dict[str, dict[str, Any]] = {
    "a time that is none": {"eta": "tomorrow"},
    "a time of another kind": {"eta": [1]},
    "an expiry that is none": {"expires": {"a": 1}},
    "a time limit that is none": {"timelimit": 5},
    "a task that is no text": {"task": ["x"]},
    "a gigantic header": {"kwargsrepr": "x" * MEGABYTE},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_malformed_headers_are_kept(watched: Workplace, headers: dict[str, Any]) -> None:
    found = letter(watched, put_task(watched, "[[], {}, {}]", **headers))
    assert found.reason in {"invalid", "option_refused", "too_large"}


def test_a_message_without_headers_or_in_another_format_is_kept(watched: Workplace) -> None:
    before = len(watched.letters(Selection(reason="unreadable"))) + len(
        watched.letters(Selection(reason="invalid"))
    )
    watched.put(b"\x80\x04N.", content_type="application/x-python-serialize", headers=task_headers())
    watched.put("hello", content_type="text/plain", content_encoding="utf-8")
    watched.put({"task": "enrichment.apply_events", "id": "1", "args": [], "kwargs": {}}, serializer="json")
    eventually(
        lambda: (
            len(watched.letters(Selection(reason="unreadable")))
            + len(watched.letters(Selection(reason="invalid")))
            >= before + 2
        )
    )


EVENTS = {
    "no JSON": ("{not json", "unreadable"),
    "no array": ('{"a": 1}', "unreadable"),
    "nested 10,000 deep": ("[" * 10_000 + "]" * 10_000, "unreadable"),
    "nested without end": ("[" * 1_000_000, "unreadable"),
    "a million events": ("[" + ",".join(["{}"] * 1_000_000) + "]", "too_large"),
    "as many events as fit": ("[" + ",".join(["{}"] * 600_000) + "]", "too_large"),
    "too many events": ("[" + ",".join(["{}"] * 2_000) + "]", "too_large"),
    "lone surrogates": ('["\\ud800"]', "unreadable"),
}


@pytest.mark.parametrize(("events", "reason"), EVENTS.values(), ids=EVENTS)
def test_a_batch_that_holds_no_events_is_kept_and_confirmed_as_dead(
    watched: Workplace, context: FlowContext, events: str, reason: str
) -> None:
    sender_id, batch_id = uuid4().hex, str(uuid4())
    kwargs = {
        "batch_id": batch_id,
        "sender_id": sender_id,
        "client_account_id": str(context.client_account_id),
        "events": events,
    }
    put_task(watched, json.dumps([[], kwargs, {}]), id=batch_id)
    found = letter(watched, batch_id)
    assert found.reason == reason
    assert len(str(found.event)) < 3_000
    confirmed = eventually(lambda: watched.confirmations(sender_id))
    assert confirmed == [{"batch_id": batch_id, "applied": 0, "repeated": 0, "dead": 1}]


def test_events_that_are_none_are_kept_each_for_itself(watched: Workplace, context: FlowContext) -> None:
    sender_id = uuid4().hex
    odd = ["5", "null", '"text"', "[]", "{}", '{"kind": 7}', '{"kind": "flow_retried", "flow_id": {}}']
    watched.publish(odd, context, sender_id=sender_id)
    [confirmed] = eventually(lambda: watched.confirmations(sender_id))
    assert (confirmed["applied"], confirmed["dead"]) == (0, len(odd))


SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "no event", "password": SECRET},
        {"kind": "no event", "note": f"postgresql://ana:{SECRET}@db/flows"},
        {"kind": "no event", "deep": [{"headers": {"Authorization": f"Bearer {SECRET}"}}]},
        {"kind": "phase_transitioned", f"password={SECRET}": 1},
        f"Authorization: Bearer {SECRET}",
    ],
)
def test_no_secret_lies_among_the_dead_letters(
    watched: Workplace, context: FlowContext, event: object
) -> None:
    sender_id = uuid4().hex
    batch_id = watched.publish([json.dumps(event)], context, sender_id=sender_id)
    assert eventually(lambda: watched.confirmations(sender_id))[0]["dead"] == 1
    assert SECRET not in letter(watched, batch_id).model_dump_json()


def test_no_secret_of_a_message_that_is_no_batch_lies_among_the_dead_letters(watched: Workplace) -> None:
    body = json.dumps([[], {"password": SECRET, "url": f"redis://:{SECRET}@cache:6379/0"}, {}])
    for task_id in (
        watched.send_task("enrichment.forget_everything", password=SECRET),
        watched.send_task("enrichment.apply_events", password=SECRET),
        put_task(watched, f"password={SECRET}"),
        put_task(watched, body, eta="tomorrow"),
        put_task(watched, "[[], {}, {}]", task=f"password={SECRET}"),
    ):
        assert SECRET not in letter(watched, task_id).model_dump_json()


@pytest.mark.parametrize("missing", ["batch_id", "sender_id", "client_account_id", "events"])
def test_a_batch_that_lacks_a_field_is_kept(watched: Workplace, missing: str) -> None:
    kwargs = {
        "batch_id": str(UUID(int=1)),
        "sender_id": "",
        "client_account_id": str(UUID(int=1)),
        "events": "[]",
    }
    del kwargs[missing]
    found = letter(watched, watched.send_task("enrichment.apply_events", **kwargs))
    assert found.reason == "invalid"
    assert missing in found.error


def test_a_bomb_of_100_megabytes_is_kept_as_a_short_excerpt(watched: Workplace) -> None:
    text = '{"x":"' + "y" * 100 * MEGABYTE + '"}'
    known = {one.letter_id for one in watched.letters()}
    put_task(watched, json.dumps([[], {"events": text}, {}]))
    # It is cut before its id is read.
    [found] = eventually(
        lambda: [one for one in watched.letters() if one.letter_id not in known], timeout_s=60
    )
    assert found.reason == "too_large"
    assert len(str(found.event)) < 5_000


def test_a_compressed_bomb_is_not_unpacked(watched: Workplace) -> None:
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(b"0" * MEGABYTE) for _ in range(1_000)) + packer.flush()
    found = letter(watched, put_task(watched, packed, compression="application/x-gzip"))
    assert found.reason == "too_large"


@pytest.mark.parametrize(
    "compression", ["application/x-gzip", "application/x-bz2", "application/x-lzma", "no/such"]
)
def test_what_cannot_be_unpacked_is_kept(watched: Workplace, compression: str) -> None:
    found = letter(watched, put_task(watched, b"not packed", compression=compression))
    assert found.reason == "unreadable"


@pytest.mark.parametrize(
    "value", ["no JSON", "5", "[]", "{}", '{"properties": {}}', '{"properties": null}', "[" * 100_000]
)
def test_a_stray_value_in_the_list_does_not_end_the_worker(watched: Workplace, value: str) -> None:
    watched.redis.lpush(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}", value)
    eventually(lambda: watched.redis.llen(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}") == 0)


def test_a_trigger_that_raises_for_one_flow_costs_no_other_flow(
    watched: Workplace, context: FlowContext
) -> None:
    locked, free = watched.new_flow(context), watched.new_flow(context)
    with watched.database() as database:
        database.execute(
            "create function migration.guard() returns trigger language plpgsql as $$ begin"
            f" if new.flow_id = '{locked}' then raise exception 'locked by an audit'; end if; return new;"
            " end $$".encode()
        )
        database.execute(
            "create trigger guard before update on migration.crewai_flow_state_extensions"
            " for each row execute function migration.guard()"
        )
    events = [
        new_event(PhaseTransitioned, context, flow_id, phase="data_import", status="processing")
        for flow_id in (locked, free)
    ]
    kept = letter(watched, watched.publish(events, context))
    assert (kept.reason, kept.flow_id) == ("data_refused", str(locked))
    assert "locked by an audit" in kept.error
    assert len(watched.row(free)["phase_transitions"]) == 1
