import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest

from masterflow.domain.events import SCHEMA_VERSION
from masterflow.domain.records.reading import AnyRecord, read_events
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.domain.tenant import flow_context
from masterflow.tasks.dead_letters.letters import Selection
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.events.record import NEW_EACH_TIME, RECORDED, SENDER_ID, record
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def recorded(version: int, folder: Path = RECORDED) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Return a message as it lay on Redis, the events in it, and the row that they make."""
    message = (folder / f"schema-{version}.message.json").read_text()
    body = json.loads(zlib.decompress(base64.b64decode(json.loads(message)["body"])))
    row: dict[str, Any] = json.loads((folder / f"schema-{version}.row.json").read_text())
    return message, json.loads(body[1]["events"]), row


def _kinds(annotation: Any) -> set[Any]:
    """Return the kinds of a union, also those of the unions in it."""
    if isinstance(annotation, type):
        return {annotation}
    return {kind for part in get_args(annotation) for kind in _kinds(part)}


def as_json(row: dict[str, Any]) -> Any:
    kept = {name: value for name, value in row.items() if name not in NEW_EACH_TIME}
    return json.loads(json.dumps(kept, default=str, sort_keys=True))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_message_of_every_version_so_far_makes_the_row_that_it_always_made(
    make_workplace: Callable[..., Workplace], version: int
) -> None:
    workplace = make_workplace()
    message, events, expected = recorded(version)
    first = events[0]
    context = flow_context(first["client_account_id"], first["engagement_id"], first["user_id"])
    flow_id = workplace.new_flow(context, UUID(first["flow_id"]))
    workplace.redis.lpush(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}", message)
    with workplace.worker():
        [confirmed] = eventually(lambda: workplace.confirmations(SENDER_ID))
    said = [event for record in events for event in read_events(record)]
    assert (confirmed["applied"], confirmed["dead"]) == (len(said), 0)
    assert as_json(workplace.row(flow_id)) == expected


def test_every_kind_of_event_is_in_a_recorded_message() -> None:
    kinds = {kind.model_fields["kind"].default for kind in _kinds(AnyRecord)}
    _, events, _ = recorded(SCHEMA_VERSION)
    assert {event["kind"] for event in events} == kinds
    assert {event["schema_version"] for event in events} == {SCHEMA_VERSION}


def test_the_recorder_records_what_is_recorded(
    make_workplace: Callable[..., Workplace], tmp_path: Path
) -> None:
    record(make_workplace(), tmp_path)
    _, events, row = recorded(SCHEMA_VERSION, tmp_path)
    assert (events, row) == recorded(SCHEMA_VERSION)[1:]


def test_an_event_of_a_later_version_is_kept_until_the_workers_know_it(workplace: Workplace) -> None:
    _, [first, *_], _ = recorded(SCHEMA_VERSION)
    event = first | {"schema_version": SCHEMA_VERSION + 1, "what_came_later": True}
    context = flow_context(first["client_account_id"], first["engagement_id"], first["user_id"])
    batch_id = workplace.publish([json.dumps(event)], context)
    [letter] = eventually(lambda: [each for each in workplace.letters() if each.batch_id == batch_id])
    assert (letter.reason, letter.event) == ("invalid", event)
    assert "schema_version" in letter.error
    with workplace.dead_letters() as letters:
        assert workplace.replay(letters, Selection(reason="invalid", letter_id=letter.letter_id)) == 1
    [again] = eventually(lambda: workplace.letters(Selection(letter_id=letter.letter_id)))
    assert (again.event, again.attempts) == (event, 2)
