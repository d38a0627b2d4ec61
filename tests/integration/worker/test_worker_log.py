import re

from masterflow.domain.events import FlowRetried, new_event
from tests.support.eventually import eventually

FORGED = "[2026-01-01 00:00:00,000: INFO/MainProcess] FORGED"
HOSTILE = f"a\x1b[2J\x9b31m\u202e\u2028\x85\r\n{FORGED}"
ENTRY = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: .*\n", re.MULTILINE)


def test_no_message_steers_the_terminal_or_forges_an_entry_of_the_log(make_workplace, context):
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker():
        place.put(HOSTILE)
        place.send_task(HOSTILE, task_id=HOSTILE)
        place.send_task("backfill.apply_chunk", HOSTILE, task_id=HOSTILE)
        place.send_task("enrichment.apply_batch", HOSTILE, task_id=HOSTILE, **{HOSTILE: HOSTILE})
        place.publish([HOSTILE, '{"kind": "flow_retried"}'], context, sender_id=HOSTILE, batch_id=HOSTILE)
        place.publish([new_event(FlowRetried, context, flow_id)], context)
        eventually(lambda: place.row(flow_id)["retry_count"] == 1)
    said = place.log.read_text()
    assert said.count("[2J") >= 3
    assert {char for char in said if not char.isprintable()} <= {"\n"}
    assert not re.search(f"^{re.escape(FORGED)}", said, re.MULTILINE)
    # Between Celery's banner and its last word each line begins an entry, or is marked as one that goes on.
    first = ENTRY.search(said, said.index("[tasks]"))
    lines = said[first.start() : said.index("\nworker: Warm shutdown")].splitlines()
    assert [line for line in lines if not ENTRY.match(f"{line}\n") and not line.startswith("  | ")] == []
