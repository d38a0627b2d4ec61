from uuid import uuid4

from masterflow import create_progress_tracker
from masterflow.domain.events import ControlRequested
from tests.support.events.reported import CONTEXT


def use(tracker, cost_usd: float, tokens: int = 10) -> None:
    tracker.report_usage(agent="reader", model="small", input_tokens=tokens, cost_usd=cost_usd)


def test_a_flow_over_its_budget_is_asked_to_stop_once(told):
    tracker = create_progress_tracker(uuid4(), CONTEXT, budget_usd=1)
    asked = []
    for _ in range(5):
        use(tracker, 0.4)
        asked.append(bool(tracker.stop_requested))
    assert asked == [False, False, True, True, True]
    [event] = told.of(ControlRequested)
    assert (event.action, event.by) == ("cancel", "budget")
    assert event.reason == "It cost $1.2 of $1."
    assert tracker.stop_requested.request_id == event.event_id


def test_tokens_are_a_budget_too(told):
    tracker = create_progress_tracker(uuid4(), CONTEXT, budget_tokens=0)
    use(tracker, 0.4)
    assert "tokens" in told.of(ControlRequested)[0].reason


def test_without_a_budget_nothing_is_asked(tracker, told):
    use(tracker, 100)
    assert tracker.stop_requested is None
    assert told.of(ControlRequested) == []
