import time
from uuid import uuid4

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, PhaseTransitioned, StatusChanged, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace


def test_while_enrichment_is_off_status_is_written_and_the_rest_is_counted_as_skipped(
    workplace: Workplace, context: FlowContext
) -> None:
    flow_id, sender_id = workplace.new_flow(context), uuid4().hex
    workplace.redis.set(f"{KEY_PREFIX}flag", "off")
    skipped = workplace.counters().get("skipped", 0)

    def is_off() -> bool:
        # Each worker looks at the flag every two seconds.
        probe = uuid4().hex
        workplace.publish([new_event(FlowRetried, context, flow_id)] * 2, context, sender_id=probe)
        return bool(eventually(lambda: workplace.confirmations(probe))[0]["applied"] == 0)

    try:
        started = time.monotonic()
        while not all(is_off() for _ in range(4)):
            assert time.monotonic() - started < 5
        before = workplace.row(flow_id)["retry_count"]
        events = [
            new_event(StatusChanged, context, flow_id, status="paused"),
            new_event(PhaseTransitioned, context, flow_id, phase="data_import", status="processing"),
            new_event(FlowRetried, context, flow_id),
        ]
        workplace.publish(events, context, sender_id=sender_id)
        [confirmation] = eventually(lambda: workplace.confirmations(sender_id))
        assert (confirmation["applied"], confirmation["dead"]) == (1, 0)
        row = workplace.row(flow_id)
        assert (row["flow_status"], row["phase_transitions"]) == ("paused", [])
        assert row["retry_count"] == before
        assert workplace.counters()["skipped"] >= skipped + 2
    finally:
        workplace.redis.delete(f"{KEY_PREFIX}flag")
