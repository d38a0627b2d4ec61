"""One message of somebody without a key that would keep a worker from all others, or go without a word."""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX, queue_key
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import descendants
from masterflow.tasks.queues import APPLY_CHUNK, APPLY_EVENTS, APPLY_REQUEST, BACKFILL_QUEUE, ENRICHMENT_QUEUE
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

pytestmark = pytest.mark.alone

CONTEXT = new_context()
TENANT = {name: str(value) for name, value in CONTEXT.model_dump().items()}
RETRY = "enrichment.increment_retry_count"
CALL = {"flow_id": str(uuid4()), **TENANT}


@pytest.fixture
def place(attacked: tuple[Workplace, SupervisedProcess]) -> Iterator[Workplace]:
    """The workplace, whose worker has to go on as it was: at once, with the same child and connection."""
    place, worker = attacked
    children, said = set(descendants(worker.pid)), len(place.log.read_text())
    yield place
    flow_id = place.new_flow(CONTEXT)
    place.publish([new_event(FlowRetried, CONTEXT, flow_id)], CONTEXT)
    eventually(lambda: place.row(flow_id)["retry_count"] == 1, timeout_s=10)
    assert children <= set(descendants(worker.pid))
    news = place.log.read_text()[said:]
    assert "Connection to broker lost" not in news
    assert "goes back" not in news
    assert "raised unexpected" not in news


def put(place: Workplace, body: Any, *, task: str = RETRY, **message: Any) -> str:
    """Put a message into the queue that calls a task; return its id."""
    headers = {"task": task, "id": str(uuid4()), "lang": "py", **message.pop("headers", {})}
    options = {"content_type": "application/json", "content_encoding": "utf-8", **message}
    body = body if isinstance(body, (str, bytes)) else json.dumps(body)
    place.put(body, headers=headers, **options)
    return str(headers["id"])


def reason_of(place: Workplace, message_id: str) -> str:
    [letter] = eventually(lambda: [one for one in place.letters() if one.batch_id == message_id])
    return letter.reason


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


CODECS = {
    "a bomb of data": ("application/data", "zip", zlib.compress(b" " * 300_000_000)),
    "a bomb of text": ("application/text", "zlib_codec", zlib.compress(b" " * 300_000_000)),
    "hours of a codec": ("application/data", "punycode", b"a" * 3_000_000),
    "minutes of a codec": ("application/text", "idna", b"a" * 3_000_000),
    "data in no codec": ("application/data", "binary", b"[[], {}, {}]"),
    "JSON in another codec": ("application/json", "utf-7", b"[[], {}, {}]"),
}


@pytest.mark.parametrize(("content_type", "encoding", "body"), CODECS.values(), ids=CODECS)
def test_no_codec_that_a_message_names_is_used(
    place: Workplace, content_type: str, encoding: str, body: bytes
) -> None:
    message_id = put(place, body, content_type=content_type, content_encoding=encoding)
    assert reason_of(place, message_id) == "unreadable"


ODD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "packed with something else": (
        b"BZh91AY",
        {"headers": {"compression": "application/x-bz2"}},
        "unreadable",
    ),
    "packed with nothing known": (b"x", {"headers": {"compression": "no-such"}}, "unreadable"),
    "no JSON": (b"nonsense \x1b[2J password=hunter2", {}, "unreadable"),
    "no call": (b'{"a": 1}', {}, "invalid"),
    "deeply nested": (b"[" * 100_000, {}, "unreadable"),
    "bad UTF-8": (b"\xff\xfe{}", {"content_encoding": "binary"}, "unreadable"),
    "another type": (b"\x80\x04.", {"content_type": "application/x-python-serialize"}, "unreadable"),
}


@pytest.mark.parametrize(("body", "options", "reason"), ODD.values(), ids=ODD)
def test_what_is_odd_among_letters_is_a_letter_as_a_message(
    place: Workplace, body: bytes, options: dict[str, Any], reason: str
) -> None:
    message_id = put(place, body, **options)
    assert reason_of(place, message_id) == reason
    [letter] = [one for one in place.letters() if one.batch_id == message_id]
    assert "hunter2" not in letter.model_dump_json()


def decimal(number: str) -> dict[str, str]:
    return {"__type__": "decimal", "__value__": number}


def of_bytes(text: str) -> dict[str, str]:
    return {"__type__": "bytes", "__value__": text}


BATCH = {"batch_id": str(uuid4()), "sender_id": "x", "client_account_id": TENANT["client_account_id"]}
BODIES: dict[str, tuple[str, Any, str]] = {
    "an immense number": (APPLY_EVENTS, {**BATCH, "events": "[]", "sent_at": decimal("1E+99999999")}, "un"),
    "one of a chunk": (APPLY_CHUNK, {"flow_ids": [], "sent_at": decimal("1E+99999999")}, "un"),
    "one of a request": (APPLY_REQUEST, {"signed_at": decimal("1E+99999999")}, "un"),
    "one with many digits": (RETRY, {**CALL, "x": decimal("9" * 100_000)}, "un"),
    "bytes for events": (APPLY_EVENTS, {**BATCH, "events": of_bytes("[]"), "sent_at": 5}, "invalid"),
    "bytes for a sender": (APPLY_EVENTS, {**BATCH, "sender_id": of_bytes("x"), "events": "[]"}, "invalid"),
    "text for a time": (APPLY_EVENTS, {**BATCH, "events": "[]", "sent_at": "5", "key_id": "own"}, "invalid"),
    "lone surrogates in events": (APPLY_EVENTS, {**BATCH, "events": '["\ud800"]'}, "invalid"),
    "lone surrogates in a sender": (APPLY_EVENTS, {**BATCH, "sender_id": "\ud800", "events": ""}, "invalid"),
    "lone surrogates in names": (RETRY, {**CALL, "\ud800": "\ud800"}, "signature_invalid"),
    "bytes for a request": (APPLY_REQUEST, {"events": of_bytes("[]"), "signed_at": 1.5}, "invalid"),
    "what a pool cannot pickle": (RETRY, {**CALL, "x": nested(900)}, "invalid"),
    "an argument that is Python's": (RETRY, {**CALL, "self": 1}, "invalid"),
    "an argument that is Celery's": (APPLY_EVENTS, {**BATCH, "events": "[]", "task": 1}, "invalid"),
    "arguments of what takes none": ("watch.look", {"x": 1}, "invalid"),
    "arguments of a run": ("backfill.run", {"x": 1}, "invalid"),
}


@pytest.mark.parametrize(("task", "kwargs", "reason"), BODIES.values(), ids=BODIES)
def test_no_argument_keeps_a_child_or_goes_without_a_word(
    place: Workplace, task: str, kwargs: dict[str, Any], reason: str
) -> None:
    message_id = put(place, [[], kwargs, {}], task=task)
    assert reason_of(place, message_id) == reason.replace("un", "unreadable")


SIGNATURE = {"task": RETRY, "args": [], "kwargs": {}, "options": {"queue": BACKFILL_QUEUE}}
HEADERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a chain in the headers": ({"chain": [SIGNATURE]}, {}),
    "a link in the headers": ({"callbacks": [SIGNATURE]}, {}),
    "an error link in the headers": ({"errbacks": [SIGNATURE]}, {}),
    "a chord in the headers": ({"chord": SIGNATURE, "group": "x"}, {}),
    "another id in the body": ({}, {"id": "x"}),
    "a call of its own in the body": ({}, {"is_eager": True, "called_directly": True, "hostname": "x"}),
    "an expiry in the body": ({}, {"expires": "2020-01-01T00:00:00"}),
}


@pytest.mark.parametrize(("headers", "embedded"), HEADERS.values(), ids=HEADERS)
def test_an_option_is_refused_wherever_it_stands(
    place: Workplace, headers: dict[str, Any], embedded: dict[str, Any]
) -> None:
    before = place.counters().get("dead:signature_invalid", 0)
    message_id = put(place, [[], CALL, embedded], headers=headers)
    assert reason_of(place, message_id) == "option_refused"
    assert place.counters().get("dead:signature_invalid", 0) == before


@pytest.mark.parametrize("task_id", ["\ud800", "x\ud800" * 50])
@pytest.mark.parametrize("headers", [{}, {"eta": "2999-01-01T00:00:00"}], ids=["plain", "refused"])
def test_an_id_that_no_key_and_no_letter_can_hold_goes_round_in_no_circle(
    place: Workplace, task_id: str, headers: dict[str, Any]
) -> None:
    before = place.counters().get("dead:invalid", 0)
    put(place, [[], CALL, {}], headers={**headers, "id": task_id})
    eventually(lambda: place.counters().get("dead:invalid", 0) == before + 1)


def raw(**properties: Any) -> dict[str, Any]:
    return {
        "body": base64.b64encode(json.dumps([[], CALL, {}]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": RETRY, "id": str(uuid4())},
        "properties": {
            "delivery_info": {"exchange": "", "routing_key": ENRICHMENT_QUEUE},
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
            **properties,
        },
    }


VALUES = {
    "a tag that is none": raw(delivery_tag=None),
    "a tag that is a truth": raw(delivery_tag=True),
    "a tag of another kind": raw(delivery_tag=[1]),
    "a tag that no key can hold": raw(delivery_tag="\ud800"),
    "an address that is none": raw(delivery_info=None),
    "an address of another kind": raw(delivery_info={"exchange": {}, "routing_key": [nested(800)]}),
    "an encoding that is none": raw(body_encoding="rot13"),
    "an answer nested deeply": raw(reply_to=nested(800)),
    "a content of another kind": {**raw(), "content-type": {}, "content-encoding": [1]},
    "headers of another kind": {**raw(), "headers": [1]},
    "headers nested deeply": {**raw(), "headers": {"task": RETRY, "id": "x", "y": nested(800)}},
    "no properties": {**raw(), "properties": None},
}


@pytest.mark.parametrize("attacked", ["redis"], indirect=True)  # RabbitMQ makes its own of these.
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_value_of_redis_that_is_no_message_of_kombu_s_costs_the_connection(
    place: Workplace, value: dict[str, Any]
) -> None:
    place.redis.lpush(queue_key(ENRICHMENT_QUEUE), json.dumps(value))
    eventually(lambda: place.redis.llen(queue_key(ENRICHMENT_QUEUE)) == 0)
    eventually(lambda: place.redis.hlen(f"{KEY_PREFIX}unacked") == 0)
