import pytest

from masterflow.domain.events import FlowRetried
from masterflow.tracker import flush, outbox_status, report
from masterflow.tracker.outbox.process import process_delivery
from tests.support.events.reported import CONTEXT, FLOW_ID


@pytest.fixture
def feeds():
    before = list(process_delivery.feeds)
    yield process_delivery.feeds
    process_delivery.feeds[:] = before


def test_what_somebody_holds_back_is_reported_by_a_flush(feeds, flow_reports):
    feeds.append(lambda timeout_s: report(FlowRetried, CONTEXT, FLOW_ID) if timeout_s > 0 else None)
    assert flush(5)
    assert len(flow_reports.of(FlowRetried)) == 1


def test_somebody_who_fails_is_counted_and_keeps_no_other_from_it(feeds, flow_reports):
    before = outbox_status()["lost"]["feed"]

    def fail(timeout_s):
        raise OSError("it is gone")

    feeds += [fail, lambda _: report(FlowRetried, CONTEXT, FLOW_ID)]
    assert flush(5)
    assert len(flow_reports.of(FlowRetried)) == 1
    assert outbox_status()["lost"]["feed"] == before + 1
