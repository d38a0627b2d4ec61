import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace

from masterflow import FlowLogFilter
from masterflow.domain.events import AgentCollaborated, ErrorOccurred, PhaseTransitioned
from masterflow.tracker import phase
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")

TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736


@pytest.fixture
def traced() -> Iterator[str]:
    made = trace.SpanContext(TRACE_ID, 0xF067AA0BA902B7, is_remote=False)
    span = trace.NonRecordingSpan(made)
    token = contexts.attach(trace.set_span_in_context(span))
    yield f"{TRACE_ID:032x}"
    contexts.detach(token)


def test_what_is_reported_inside_a_trace_names_it(tracker, told, traced):
    with suppress(ValueError), tracker, phase("mapping"):
        tracker.report_agent_activity("Expert", "looked")
        raise ValueError("no")
    ids = [event.metadata.get("trace_id") for event in told.of(PhaseTransitioned)]
    ids += [event.details.get("trace_id") for event in told.of(ErrorOccurred)]
    ids += [event.entry.get("trace_id") for event in told.of(AgentCollaborated)]
    assert ids == [traced] * 4


def test_outside_of_a_trace_none_is_named(tracker, told):
    with tracker, phase("mapping"):
        pass
    assert "trace_id" not in told.of(PhaseTransitioned)[0].metadata


def test_a_tracing_that_breaks_fails_no_report(tracker, told, monkeypatch):
    monkeypatch.setattr(trace, "get_current_span", None)
    with tracker, phase("mapping"):
        pass
    assert told.transitions == ["mapping:processing", "mapping:completed"]


QUIET = """
import sys
from uuid import uuid4
from masterflow import FlowContext, create_progress_tracker, phase

context = FlowContext(client_account_id=uuid4(), engagement_id=uuid4(), user_id="ann")
with create_progress_tracker(uuid4(), context), phase("a"):
    pass
print("opentelemetry.trace" in sys.modules)
"""


def test_who_does_not_trace_loads_no_tracing():
    command = [sys.executable, "-c", QUIET]
    done = subprocess.run(
        command, env={"ENRICHMENT_OUTBOX": "off"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_records_say_of_which_flow_phase_and_tenant_they_are(tracker):
    log, lines = logging.getLogger("test.flows"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    form = "%(flow_id)s %(phase)s %(client_account_id)s %(engagement_id)s %(message)s"
    handler.setFormatter(logging.Formatter(form))
    handler.addFilter(FlowLogFilter())
    log.addHandler(handler)
    try:
        log.warning("before")
        with tracker, phase("mapping"):
            log.warning("inside")
            log.warning("its own", extra={"phase": "theirs"})
    finally:
        log.removeHandler(handler)
    tenant = f"{CONTEXT.client_account_id} {CONTEXT.engagement_id}"
    assert lines == [
        "- - - - before",
        f"{FLOW_ID} mapping {tenant} inside",
        f"{FLOW_ID} theirs {tenant} its own",
    ]
